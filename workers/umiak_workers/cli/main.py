"""The `umiak` command: finds every subcommand by the entry point group `umiak.commands`.

Neither package imports the other for it: `umiak_workers` and `umiak_operators` both register typer apps or functions.
"""

import sys
from importlib.metadata import entry_points

import typer

from umiak_workers.contract.errors import UmiakError

GROUP = "umiak.commands"


def build() -> typer.Typer:
    """The root command with every registered subcommand whose dependencies are installed."""
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

    for point in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        add(app, point.name, point.load())
    return app


def add(app: typer.Typer, name: str, command: object) -> None:
    """Register a typer app (a group) or a plain function (a command) under `name`."""
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    elif callable(command):
        app.command(name)(command)


def main() -> None:
    """Entry point of the console script: errors raised on purpose are one line on stderr and exit code 2."""
    try:
        build()()
    except UmiakError as error:
        print(f"umiak: {error}", file=sys.stderr)
        sys.exit(2)
