"""The `umiak` command: finds every subcommand by the entry point group `umiak.commands`.

Neither package imports the other for it: `umiak_workers` and `umiak_operators` both register typer apps or functions.
Only the subcommand that was asked for is imported: `umiak infer` does not wait for the operator's libraries, and a list
of all of them, which every press of the tab key asks for, waits for nobody's.
"""

import ast
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

import typer

from umiak_workers.contract.errors import UmiakError

GROUP = "umiak.commands"


def build(wanted: str | None) -> typer.Typer:
    """The root command with the subcommand that is `wanted`, or with all there are, by name and help alone."""
    app = typer.Typer(
        name="umiak",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
        help="AI between cloud and edge: answer at the edge, ask the cloud when it is hard, learn, deliver back.",
    )

    @app.callback()
    def root() -> None:
        """Keeps `umiak <command>` a group even while only one command is installed."""

    points = {point.name: point for point in entry_points(group=GROUP)}
    if wanted in points:
        add(app, wanted, points[wanted].load())
        return app
    for name in sorted(points):
        app.command(name, help=summary(points[name]))(_listed)
    return app


def asked() -> str | None:
    """The subcommand that this process was started for: its first word, or that of the line to complete."""
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS")
    words = sys.argv if line is None or "_UMIAK_COMPLETE" not in os.environ else line.split()
    return words[1] if len(words) > 1 else None


def summary(point: EntryPoint) -> str:
    """What a subcommand says of itself, read from its source: a function's docstring, a typer app's `help`."""
    spec = find_spec(point.module)
    if spec is None or spec.origin is None:
        return ""
    for node in ast.parse(Path(spec.origin).read_bytes()).body:
        if isinstance(node, ast.FunctionDef) and node.name == point.attr:
            return (ast.get_docstring(node) or "").partition("\n")[0]
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _named(node, point.attr):
            helps = [item.value for item in node.value.keywords if item.arg == "help"]
            return next((str(item.value) for item in helps if isinstance(item, ast.Constant)), "")
    return ""


def _named(node: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def _listed() -> None:
    """Stands for a subcommand in a list."""


def add(app: typer.Typer, name: str, command: object) -> None:
    """Register a typer app (a group) or a plain function (a command) under `name`."""
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    elif callable(command):
        app.command(name)(command)


def main() -> None:
    """Entry point of the console script: errors raised on purpose are one line on stderr and exit code 2."""
    try:
        build(asked())()
    except UmiakError as error:
        print(f"umiak: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
