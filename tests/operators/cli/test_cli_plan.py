"""`umiak plan` prints children, hides secrets, and names what is wrong."""

import base64
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from umiak_operators.cli.node_list import load_nodes
from umiak_operators.cli.plan import plan
from umiak_workers.contract.errors import ConfigError, UmiakError

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
NODES = """\
apiVersion: v1
kind: List
items:
- kind: Node
  metadata: {name: z9, labels: {node-role.kubernetes.io/edge: ""}}
  status: {conditions: [{type: Ready, status: "False"}]}
- kind: Node
  metadata: {name: server}
"""


@pytest.fixture
def app() -> typer.Typer:
    found = typer.Typer()
    found.command()(plan)
    return found


def output(app: typer.Typer, *arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def test_children_as_yaml(app: typer.Typer) -> None:
    text, _ = output(app, str(EXAMPLES / "01-minimal"))
    bodies = list(yaml.safe_load_all(text))
    found = sorted((body["kind"], body["metadata"]["name"]) for body in bodies)
    edges = [("Deployment", f"yard-edge-edge-{n}") for n in (1, 2)]
    edges += [("Secret", f"yard-edge-edge-{n}-{role}") for n in (1, 2) for role in ("edge", "router", "agent")]
    assert found == sorted([*edges, *((kind, "yard-cloud") for kind in ("Deployment", "Secret", "Service"))])
    assert "# of JointInference/yard/yard" in text


def test_secrets_are_digests_unless_asked_for(app: typer.Typer) -> None:
    def data(*arguments: str) -> dict[str, str]:
        text, _ = output(app, str(EXAMPLES / "01-minimal"), *arguments)
        (found,) = [
            body["data"]
            for body in yaml.safe_load_all(text)
            if body["metadata"]["name"] == "yard-cloud" and "data" in body
        ]
        return dict(found)

    assert all(value.startswith("sha256:") for value in data().values())
    assert b'"namespace": "yard"' in base64.b64decode(data("--show-secrets")["cloud.json"])


def test_children_as_a_table(app: typer.Typer) -> None:
    text, _ = output(app, str(EXAMPLES / "01-minimal"), "--format", "table")
    assert "edge, router, agent" in text
    assert "JointInference/yard/yard" in text


def test_nodes_from_a_file(app: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "nodes.yaml"
    file.write_text(NODES)
    text, _ = output(app, str(EXAMPLES / "01-minimal"), "--nodes", str(file))
    names = {body["metadata"]["name"] for body in yaml.safe_load_all(text) if body["kind"] != "Secret"}
    assert names == {"yard-edge-z9", "yard-cloud"}
    assert [(node.name, node.ready) for node in load_nodes(file)] == [("server", True), ("z9", False)]


@pytest.mark.parametrize("text", ["- 1", "kind: Node", "{", "kind: Pod\nmetadata: {name: a}", ""])
def test_a_file_without_nodes_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"odd\.yaml: "):
        load_nodes(file)


def test_what_keeps_edges_away_is_said(app: typer.Typer, tmp_path: Path) -> None:
    example = (EXAMPLES / "01-minimal" / "umiak.yaml").read_text()
    file = tmp_path / "some.yaml"
    file.write_text(example.replace("umiak.dev/host-path: allowed", "other: label"))
    text, notes = output(app, str(file))
    assert "yard-edge-edge-1" not in text
    assert "HostPathNotAllowed" in notes
    text, notes = output(app, str(file), "--state-volume", "persistentVolumeClaim")
    assert "PersistentVolumeClaim" in text
    assert notes == ""


def test_what_only_a_running_hub_decides_is_said(app: typer.Typer) -> None:
    _, notes = output(app, str(EXAMPLES / "04-lifelong"))
    assert "LifelongLearning/yard/yard: no children while nothing has run yet" in notes


def test_a_bad_file_is_one_line(app: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text((EXAMPLES / "01-minimal" / "umiak.yaml").read_text().replace("budget: 0.3", "budget: 3"))
    result = CliRunner().invoke(app, [str(file)])
    assert isinstance(result.exception, UmiakError)
    assert "spec.hardExamples.miners[0].budget" in str(result.exception)


def test_help_has_examples(app: typer.Typer) -> None:
    text, _ = output(app, "--help")
    assert "umiak plan docs/examples/01-minimal" in text
