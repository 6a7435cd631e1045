"""How findings are said: to a person, to a machine, and never with a secret in them."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from cli_doctor_kit import NOW

from umiak_operators.cli.doctor import command
from umiak_operators.cli.doctor.examination import report
from umiak_operators.cli.doctor.finding import (
    Finding,
    Place,
    Report,
    counts,
    exit_code,
    line,
    ok,
    problem,
    unknown,
    warning,
)
from umiak_operators.cli.doctor.picture import show
from umiak_workers.contract.errors import ConfigError

SCHEMA = Path(__file__).resolve().parents[3] / "docs" / "reference" / "doctor.schema.json"
FINDINGS = (
    ok("versions.server", "Kubernetes v1.34.10"),
    problem(
        "installation.hub",
        "not available",
        "nothing is stored",
        "kubectl get pods",
        "then again",
        subject="Deployment a/b",
    ),
    warning("nodes.ready", "not ready since 10 min", "normal for an edge", subject="Node edge-1"),
    unknown("access.rights", "not allowed to read nodes", "left out", "kubectl auth can-i list nodes"),
)
PLACE = Place(
    kind="cluster", server="https://api.example", context="prod", namespace="umiak-system", kubernetes="v1.34"
)


def text(findings: tuple[Finding, ...], **how: Any) -> str:
    console = Console(file=io.StringIO(), highlight=False, **how)
    show(report(findings, PLACE, "1.0", NOW), console)
    found = console.file
    assert isinstance(found, io.StringIO)
    return found.getvalue()


def test_a_person_reads_what_why_and_what_to_type() -> None:
    assert text(FINDINGS).splitlines() == [
        "umiak doctor 1.0 · https://api.example (context prod) · Kubernetes v1.34 · namespace umiak-system",
        "",
        "Versions",
        " ✓ Kubernetes v1.34.10",
        "",
        "Installation",
        " ✗ Deployment a/b: not available",
        "     why nothing is stored",
        "     do  kubectl get pods",
        "         then again",
        "",
        "Nodes and clocks",
        " ! Node edge-1: not ready since 10 min",
        "     why normal for an edge",
        "",
        "Not looked at",
        " ? not allowed to read nodes",
        "     why left out",
        "     do  kubectl auth can-i list nodes",
        "",
        "1 problem, 1 warning, 1 not looked at, 1 well",
    ]


def test_on_a_narrow_terminal_text_wraps_and_commands_do_not() -> None:
    long = problem("storage.claim", "word " * 30, "reason " * 30, f"kubectl {'x' * 100}")
    said = text((long,), force_terminal=True, width=60, color_system=None)
    assert f"     do  kubectl {'x' * 100}" in said.splitlines()
    assert all(len(row) <= 60 for row in said.splitlines() if "xxx" not in row and "umiak doctor" not in row)


def test_markup_and_control_characters_of_others_are_only_text() -> None:
    said = text((problem("storage.claim", "[red]a\x1b[31m\nb[/red]", "[bold]x"),))
    assert "[red]a [31m b[/red]" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("found", "code"),
    [(FINDINGS, 1), (FINDINGS[::2], 0), ((FINDINGS[0], FINDINGS[3]), 2), (FINDINGS[:1], 0), ((), 0)],
)
def test_exit_codes(found: tuple[Finding, ...], code: int) -> None:
    assert exit_code(counts(found)) == code


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Authorization: Bearer abcdefghijkl rest", "abcdefghijkl"),
        ("password=correcthorsebattery", "correcthorsebattery"),
        ('{"token": "abc.def.ghi-123"}', "abc.def.ghi-123"),
        (f"key {'ab' * 32} was refused", "abababab"),
        ("-----BEGIN PRIVATE KEY-----MIIEvQ", "MIIEvQ"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(said: str, kept: str) -> None:
    assert kept not in line(said)
    assert "(hidden)" in line(said)


def test_digests_stay_readable_and_lines_bounded() -> None:
    digest = f"sha256:{'ab' * 32}"
    assert line(f"the head is {digest}") == f"the head is {digest}"
    assert len(line("x " * 5000)) == 600


def test_the_json_form_is_what_its_schema_says() -> None:
    wanted = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Report.model_json_schema()}
    assert json.loads(SCHEMA.read_text()) == wanted, f"the form of the report has changed: write {SCHEMA.name} again"
    said = report(FINDINGS, PLACE, "1.0", NOW).model_dump(mode="json")
    assert list(said) == ["version", "umiak", "at", "place", "counts", "exit_code", "findings"]
    assert said["counts"] == {"ok": 1, "warning": 1, "problem": 1, "unknown": 1}
    assert said["findings"][1] == {
        "check": "installation.hub", "level": "problem", "subject": "Deployment a/b", "found": "not available",
        "why": "nothing is stored", "next": ["kubectl get pods", "then again"],
    }  # fmt: skip
    assert Report.model_validate(said).exit_code == 1


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without kubeconfig and without a world."""
    for name in ("KUBECONFIG", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(command.doctor)
    return CliRunner().invoke(app, list(arguments))


def test_without_a_kubeconfig_it_says_so_and_looks_at_this_machine(bare: Path) -> None:
    done = run()
    assert "no kubeconfig was found" in done.output
    assert "this machine" in done.output
    assert done.exit_code in (0, 1)


def test_a_cluster_that_does_not_answer_is_exit_code_2(bare: Path) -> None:
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {"token": "t"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    }  # fmt: skip
    file = bare / "config"
    file.write_text(json.dumps(config))
    done = run("--kubeconfig", str(file), "-o", "json")
    assert done.exit_code == 2, done.output
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["check"], found["level"]) == ("access.server", "unknown")
    assert "https://127.0.0.1:1 was not reached" in found["found"]
    wrong = run("--kubeconfig", str(file), "--context", "nobody", "-o", "json")
    assert json.loads(wrong.stdout)["findings"][0]["check"] == "access.kubeconfig"
    assert wrong.exit_code == 2


def test_which_kubeconfig(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command.kubeconfig_file(None) is None
    assert command.kubeconfig_file(Path("named")) == Path("named")
    usual = bare / ".kube" / "config"
    usual.parent.mkdir()
    usual.touch()
    assert command.kubeconfig_file(None) == usual
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join((str(bare / "absent"), str(usual))))
    assert command.kubeconfig_file(None) is not None


def test_namespace_options_that_do_not_fit() -> None:
    assert isinstance(run("-n", "yard").exception, ConfigError)
    assert "ji/yard" in str(run("--resource", "pods/yard").exception)
    assert isinstance(run("--resource", "yard").exception, ConfigError)


def test_help_has_examples() -> None:
    said = run("--help").output
    assert "umiak doctor --resource ji/yard -n yard" in said
    assert "Exit code" in said
