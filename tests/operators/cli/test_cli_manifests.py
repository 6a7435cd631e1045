"""Files become resources, or one line that names file, line and field."""

from pathlib import Path

import pytest

from umiak_operators.api.resource import Key
from umiak_operators.cli.manifests import ManifestError, load

DIGEST = "sha256:" + "1" * 64
GOOD = f"""\
apiVersion: umiak.dev/v1alpha1
kind: JointInference
metadata: {{name: yard}}
spec:
  edge:
    model: {{line: scene, uri: "builtin:scene", digest: "{DIGEST}"}}
    nodes: {{matchLabels: {{zone: a}}}}
    source:
      http: {{}}
  hardExamples:
    miners:
    - {{miner: EdgeOnly}}
"""
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: site, labels: {umiak.dev/host-path: allowed}}\n"


def write(folder: Path, text: str, name: str = "some.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_a_resource_as_if_just_stored(tmp_path: Path) -> None:
    (one,) = load([write(tmp_path, GOOD)]).resources
    assert one.key == Key("JointInference", "default", "yard")
    assert one.generation == 1
    (again,) = load([write(tmp_path, GOOD)]).resources
    (elsewhere,) = load([write(tmp_path, GOOD)], "site").resources
    assert one.uid == again.uid != elsewhere.uid
    assert elsewhere.key.namespace == "site"


def test_folders_and_several_documents(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path, f"{NAMESPACE}---\n{GOOD}---\n", "a.yaml")
    write(tmp_path / "sub", GOOD.replace("name: yard", "name: other"), "b.yml")
    write(tmp_path, "# nothing to read here", "README.md")
    found = load([tmp_path])
    assert [body["metadata"]["name"] for body in found.bodies] == ["yard", "other"]
    assert found.namespaces == {"site": {"umiak.dev/host-path": "allowed"}}


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("miner: EdgeOnly", "miner: EdgeOnly, budget: 2", 12, "spec.hardExamples.miners[0].budget: "),
        ("    source:", "    sauce:", 8, "spec.edge.sauce: is not a field here"),
        ("  hardExamples:", "  hardExample:", 10, "spec.hardExample"),
        ("line: scene, ", "", 6, "spec.edge.model.line: is required"),
        ("kind: JointInference", "kind: JointInterference", 2, "JointInference, LifelongLearning, ModelPatch"),
        ("umiak.dev/v1alpha1", "umiak.dev/v1", 1, "apiVersion of JointInference must be umiak.dev/v1alpha1"),
        ("name: yard", "nam: yard", 3, "metadata.name is required"),
        ("name: yard", "name: 7", 3, "metadata.name is required and must be text"),
        ("http: {}", "http: {}\n      http: {}", 10, "'http' is written twice"),
        ("http: {}", "http: {", 11, "expected"),
        ("    - {miner", "   - {miner", 12, "block"),
        ("http: {}", "http: !!python/object:os.system {}", 9, "could not determine a constructor"),
    ],
)
def test_mistakes_are_named_where_they_stand(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    assert old in GOOD
    file = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ManifestError) as caught:
        load([file])
    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_line_is_counted_from_the_files_start(tmp_path: Path) -> None:
    file = write(tmp_path, f"{NAMESPACE}---\n{GOOD.replace('EdgeOnly', 'Sometimes')}")
    with pytest.raises(ManifestError, match=r"some\.yaml:16: spec\.hardExamples\.miners\[0\]\.miner: "):
        load([file])


def test_a_resource_written_twice(tmp_path: Path) -> None:
    one, two = write(tmp_path, GOOD, "one.yaml"), write(tmp_path, GOOD, "two.yaml")
    with pytest.raises(ManifestError, match=r"two\.yaml:3: .*written twice, first at .*one\.yaml:3"):
        load([one, two])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"- a list", ":1: expected a Kubernetes object"),
        (b"just words", ":1: expected a Kubernetes object"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "odd.yaml"
    file.write_bytes(content)
    with pytest.raises(ManifestError, match=says):
        load([file])


def test_missing_files_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"absent\.yaml: No such file"):
        load([tmp_path / "absent.yaml"])
    with pytest.raises(ManifestError, match=r"no \.yaml"):
        load([tmp_path])
