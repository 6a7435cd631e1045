"""The root command: what it lists, what it completes, and what it loads for that."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from umiak_workers.cli.main import GROUP, build, summary

NAMES = {point.name: point for point in entry_points(group=GROUP)}
HEAVY = ("torch", "kopf", "onnxruntime", "pydantic")


def test_the_list_says_of_each_command_what_the_command_says_of_itself() -> None:
    listed = CliRunner().invoke(build(None), ["--help"], terminal_width=200, env={"COLUMNS": "200"})
    assert listed.exit_code == 0, listed.output
    for name, point in NAMES.items():
        command = point.load()
        said = command.info.help if isinstance(command, typer.Typer) else command.__doc__.partition("\n")[0]
        assert said
        assert summary(point) == said
        assert name in listed.output


def test_the_list_loads_none_of_them() -> None:
    code = (
        f"import sys; from umiak_workers.cli.main import build; build(None); print({set(HEAVY)!r} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("line", "expected"), [("umiak to", "token"), ("umiak infer --rou", "--router"), ("umiak up --no", "--nodes")]
)
def test_the_shell_completes_commands_and_their_options(
    line: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "_UMIAK_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("umiak")], capture_output=True, text=True, env=environment, check=False
    )
    assert expected in done.stdout.split(), done.stderr
