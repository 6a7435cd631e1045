"""The examples name the built-in models as they are today, and the tool that pins them does what it says."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "workers" / "umiak_workers" / "bench" / "demo"
EXAMPLES = sorted([*(ROOT / "docs" / "examples").glob("*/umiak.yaml"), *DEMO.glob("*.yaml")])


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = spec_from_file_location("pin_examples", ROOT / "tools" / "pin_examples.py")
    assert spec is not None
    assert spec.loader is not None
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_digests_are_those_of_the_models_today(tool: ModuleType, file: Path) -> None:
    text = file.read_text()
    after, missing = tool.pinned(text, file.parent)
    assert after == text, f"run tools/pin_examples.py {file}"
    assert not missing, f"no model {missing}"


@pytest.mark.parametrize("folder", sorted((ROOT / "docs" / "examples").glob("0*")), ids=lambda folder: folder.name)
def test_every_example_says_what_it_shows(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert text.startswith("# ")
    assert f"umiak up docs/examples/{folder.name}" in text


def test_pinning(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"builtin:one": "sha256:" + "a" * 64, "file:./two": "sha256:" + "b" * 64}
    monkeypatch.setattr(tool, "digest_of", lambda uri, beside: known.get(uri))
    old = "sha256:" + "0" * 64
    text = f"""\
      uri: builtin:one
      digest: {old}
    sam: {{uri: "file:./two", digest: "{old}"}}
      digest: {old}
    from: {old}  # builtin:one
      uri: builtin:three
      digest: {old}
      uri: https://else.where/model
      digest: {old}
"""
    after, missing = tool.pinned(text, ROOT)
    digests = [line.split("sha256:")[1][0] for line in after.splitlines() if "sha256:" in line]
    assert digests == ["a", "b", "b", "a", "0", "0"]
    assert missing == {"builtin:three"}
