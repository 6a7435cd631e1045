"""The `umiak` command: finds every subcommand by the entry point group `umiak.commands`.

Neither package imports the other for it: `umiak_workers` and `umiak_operators` both register typer apps or functions.
Only the subcommand that was asked for is imported: `umiak infer` does not wait for the operator's libraries.
"""

import sys
from importlib.metadata import entry_points

import typer

from umiak_workers.contract.errors import UmiakError

GROUP = "umiak.commands"


def build(asked: str | None) -> typer.Typer:
    """The root command with the subcommand `asked` for, or with every registered one."""
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
    for name in [asked] if asked in points else sorted(points):
        add(app, name, points[name].load())
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
        build(sys.argv[1] if len(sys.argv) > 1 else None)()
    except UmiakError as error:
        print(f"umiak: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
