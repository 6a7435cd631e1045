"""The examples, as a person applies them one after the other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver_kit import ROOT, Kube, Operator, eventually, path

EXAMPLES = ROOT / "docs" / "examples"
NUMBERED = sorted(EXAMPLES.glob("0*"))
PLURALS = {
    "JointInference": "jointinferences", "LifelongLearning": "lifelonglearnings", "ModelPatch": "modelpatches"
}  # fmt: skip


def bodies(file: Path) -> list[dict[str, Any]]:
    return [body for body in yaml.safe_load_all(file.read_text()) if isinstance(body, dict) and "kind" in body]


FILES = [*EXAMPLES.glob("*/*.yaml"), *(ROOT / "workers" / "umiak_workers" / "bench" / "demo").glob("*.yaml")]
EVERY = sorted(file for file in FILES if bodies(file))


@pytest.fixture(scope="module")
def yard(kube: Kube) -> Iterator[None]:
    """The examples' namespace goes in the end."""
    yield
    kube.run("delete", "namespace", "yard", "--wait=false")


def test_the_minimal_example_becomes_ready(kube: Kube, operator: Operator, yard: None) -> None:
    kube.run("apply", "-f", f"{EXAMPLES}/01-minimal/")
    done = kube.run("wait", "-n", "yard", "--for=condition=Ready", "jointinference", "--all", "--timeout=60s")
    assert "condition met" in done.stdout
    kube.run("wait", "-n", "yard", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    text = kube.run("get", "umiak", "-n", "yard").stdout
    assert "True" in text
    assert "Available" in text


@pytest.mark.parametrize("folder", NUMBERED, ids=lambda folder: folder.name)
def test_every_example_gets_its_verdict(kube: Kube, operator: Operator, yard: None, folder: Path) -> None:
    kube.run("apply", "-f", f"{folder}/")
    for body in bodies(folder / "umiak.yaml"):
        if body["kind"] in PLURALS:
            place = path(PLURALS[body["kind"]], "yard", body["metadata"]["name"])
            what = f"{body['kind']} of {folder.name}"
            if body["kind"] == "ModelPatch":
                eventually(lambda p=place: kube.condition(p, "Succeeded")[1] == "HubUnreachable", 60, what)
            else:
                eventually(lambda p=place: kube.condition(p, "Ready")[0] == "True", 60, what)


def test_there_are_examples() -> None:
    assert [folder.name for folder in NUMBERED][:4] == [
        "01-minimal",
        "02-hard-examples",
        "03-model-patch",
        "04-lifelong",
    ]


@pytest.mark.parametrize("file", EVERY, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_manifest_of_the_house_is_taken(kube: Kube, file: Path) -> None:
    spaces = {body["metadata"].get("namespace", "default") for body in bodies(file) if body["kind"] in PLURALS}
    for space in spaces:
        kube.run("create", "namespace", space, check=False)
    kube.run("apply", "--dry-run=server", "-f", str(file))
