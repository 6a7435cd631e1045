"""The CRDs and `api/` say the same: every field in both, the same types, defaults, bounds and choices."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from umiak_operators.api.immutable import IMMUTABLE
from umiak_operators.api.joint_inference import JointInference
from umiak_operators.api.lifelong_learning import LifelongLearning
from umiak_operators.api.model_patch import ModelPatch
from umiak_operators.api.resource import GROUP, PLURALS, VERSION, Kind
from umiak_operators.api.spec import Spec
from umiak_operators.cli.manifests import load

FOLDER = Path(__file__).parents[3] / "crds"
MODELS: dict[str, type[Spec]] = {
    "JointInference": JointInference,
    "LifelongLearning": LifelongLearning,
    "ModelPatch": ModelPatch,
}
SAME = ("pattern", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
Facts = dict[str, Any]


def crd(kind: str) -> Facts:
    found: Facts = yaml.safe_load((FOLDER / f"{PLURALS[kind]}.{GROUP}.yaml").read_text())
    return found


def schema(kind: str) -> Facts:
    found: Facts = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def of_crd(path: str, node: Facts, required: bool) -> Iterator[tuple[str, Facts]]:
    """(path, facts) of a CRD's node and all below it."""
    kind = "string" if node.get("x-kubernetes-int-or-string") else node["type"]
    facts: Facts = {"type": kind, "required": required, **{key: node[key] for key in SAME if key in node}}
    for bound in ("minimum", "maximum"):
        if bound in node:
            facts[f"{bound}, open" if node.get(f"exclusive{bound.capitalize()}") else bound] = float(node[bound])
    facts["enum"] = sorted(node.get("enum", ()))
    facts["default"] = "object" if node.get("default") == {} else node.get("default")
    yield path, facts
    for name, child in node.get("properties", {}).items():
        yield from of_crd(f"{path}.{name}", child, name in node.get("required", ()))
    for name in ("items", "additionalProperties"):
        if isinstance(node.get(name), dict):
            yield from of_crd(f"{path}.{name}", node[name], False)


def of_model(path: str, node: Facts, required: bool, defs: Facts) -> Iterator[tuple[str, Facts]]:
    """The same of a pydantic JSON schema."""
    outer, node = node, follow(node, defs)
    facts: Facts = {"type": node["type"], "required": required, **{key: node[key] for key in SAME if key in node}}
    for bound in ("minimum", "maximum"):
        if bound in node:
            facts[bound] = float(node[bound])
        if (opened := f"exclusive{bound.capitalize()}") in node:
            facts[f"{bound}, open"] = float(node[opened])
    facts["enum"] = sorted(node.get("enum", [node["const"]] if "const" in node else []))
    facts["default"] = "object" if isinstance(outer.get("default"), dict) else outer.get("default")
    yield path, facts
    for name, child in node.get("properties", {}).items():
        yield from of_model(f"{path}.{name}", child, name in node.get("required", ()), defs)
    for name in ("items", "additionalProperties"):
        if isinstance(node.get(name), dict):
            yield from of_model(f"{path}.{name}", node[name], False, defs)


def follow(node: Facts, defs: Facts) -> Facts:
    """Through references, and past `| None`."""
    for choice in node.get("anyOf", ()):
        if choice.get("type") != "null":
            node = choice
    found: Facts = defs[node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
    return found


@pytest.mark.parametrize("kind", MODELS)
def test_crd_and_api_agree(kind: str) -> None:
    written = dict(of_crd("spec", schema(kind)["properties"]["spec"], True))
    model = MODELS[kind].model_json_schema(by_alias=True)
    assert dict(of_model("spec", model, True, model.get("$defs", {}))) == written


def nodes(path: str, node: Facts) -> Iterator[tuple[str, Facts]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(f"{path}.{name}", child)
    if isinstance(node.get("items"), dict):
        yield from nodes(f"{path}.items", node["items"])


@pytest.mark.parametrize("kind", MODELS)
def test_every_field_is_explained_and_the_schema_is_closed(kind: str) -> None:
    for path, node in nodes("", schema(kind)):
        assert "x-kubernetes-preserve-unknown-fields" not in node, path
        if not path.endswith(".conditions.items"):
            assert str(node.get("description", "")).strip().endswith((".", ")")) or ":" in node["description"], path


@pytest.mark.parametrize("kind", get_args(Kind))
def test_crd_and_api_refuse_the_same_changes(kind: Kind) -> None:
    rules = [
        (path, rule) for path, node in nodes("", schema(kind)) for rule in node.get("x-kubernetes-validations", ())
    ]
    written = {path[1:]: rule["message"] for path, rule in rules if "oldSelf" in rule["rule"]}
    assert written == IMMUTABLE[kind]


@pytest.mark.parametrize("kind", MODELS)
def test_names_and_columns(kind: str) -> None:
    spec = crd(kind)["spec"]
    version = spec["versions"][0]
    assert (spec["group"], version["name"], spec["scope"]) == (GROUP, VERSION, "Namespaced")
    assert spec["names"]["kind"] == kind
    assert spec["names"]["categories"] == ["umiak"]
    assert version["subresources"] == {"status": {}}
    first = "Succeeded" if kind == "ModelPatch" else "Ready"
    assert [column["name"] for column in version["additionalPrinterColumns"]][:2] == [first, "Reason"]


def test_one_crd_per_kind() -> None:
    assert {file.name for file in FOLDER.glob("*.yaml")} == {f"{PLURALS[kind]}.{GROUP}.yaml" for kind in get_args(Kind)}
    assert sorted(crd(kind)["spec"]["names"]["shortNames"][0] for kind in get_args(Kind)) == ["ji", "ll", "mp"]


def test_examples_parse() -> None:
    files = list((Path(__file__).parents[3] / "docs" / "examples").glob("*/umiak.yaml"))
    assert len(files) >= 4
    for file in files:
        assert load([file]).resources
