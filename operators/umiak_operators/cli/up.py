"""`umiak up FILE...`: the same plan as in a cluster, as processes on this machine. A development runtime."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import structlog
import typer
from rich.console import Console
from rich.live import Live

from umiak_operators.cli.metrics import LOOPBACK, Address, OperatorMetrics, served
from umiak_operators.cli.up_drive import Drive
from umiak_operators.cli.up_news import news
from umiak_operators.cli.up_table import picture
from umiak_operators.runtime.local.broker import find_mosquitto
from umiak_operators.runtime.local.files import make_private, write_private
from umiak_operators.runtime.local.world import Options
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.world import World, last_world

BrokerChoice = Literal["auto", "mosquitto", "amqtt"]
_WHAT = "A development runtime: processes on this machine, no cluster, no isolation between pods, loopback only."


def up(
    files: Annotated[list[Path], typer.Argument(help="YAML files or folders of them.", show_default=False)],
    nodes: Annotated[int, typer.Option(min=1, max=64, help="How many edge nodes to simulate.")] = 1,
    state: Annotated[
        Path | None,
        typer.Option(help="Keep state here and go on from it. Without: a temporary folder, removed at the end."),
    ] = None,
    seconds: Annotated[float | None, typer.Option("--for", min=0.1, help="Stop after so many seconds.")] = None,
    listen_base: Annotated[
        int | None, typer.Option(min=1024, max=65000, help="First port to listen on; without: from 20000 up.")
    ] = None,
    broker: Annotated[BrokerChoice, typer.Option(help="auto: mosquitto where it is installed, else amqtt.")] = "auto",
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve the operator's own figures for Prometheus here.")
    ] = None,
) -> None:
    """Run resources as local processes until Ctrl-C: a development runtime, without a cluster.

    Files are followed: a change is applied, a removed resource stops. Logs lie under STATE/logs, STATE/status.json says
    what runs, and `umiak infer` finds it.

    Examples:

        umiak up docs/examples/01-minimal --nodes 2

        umiak up my.yaml --state ~/umiak-state

        umiak up my.yaml --broker amqtt --for 60
    """
    mosquitto = _choose(broker)
    throwaway = state is None
    folder = Path(tempfile.mkdtemp(prefix="umiak-")) if state is None else make_private(state.resolve())
    options = Options(folder.resolve(), nodes, listen_base, throwaway, mosquitto)
    try:
        asyncio.run(_run(files, options, seconds, Address(LOOPBACK, metrics_port) if metrics_port else None))
    finally:
        if throwaway:
            shutil.rmtree(folder, ignore_errors=True)


def _choose(broker: BrokerChoice) -> str | None:
    found = None if broker == "amqtt" else find_mosquitto()
    if broker == "mosquitto" and found is None:
        raise ConfigError("mosquitto is not installed here; install it or use --broker amqtt")
    return found


async def _run(files: list[Path], options: Options, seconds: float | None, figures: Address | None) -> None:
    console = Console()
    screen = _Screen(console, options)
    metrics = OperatorMetrics()
    drive = Drive(files, options, screen.say, screen.show, metrics)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, drive.stop.set)
    if seconds is not None:
        loop.call_later(seconds, drive.stop.set)
    structlog.configure(processors=[screen.log])
    screen.begin()
    remember(options.state)
    try:
        with served(metrics, figures):
            await drive.run()
    finally:
        screen.end()
        if options.throwaway:
            forget(options.state)


def remember(state: Path) -> None:
    """Leave a note where `umiak infer` looks for the world that was started last."""
    write_private(Path(last_world(os.environ, Path.home())), str(state).encode())


def forget(state: Path) -> None:
    """Take the note back, if it still names this world."""
    note = Path(last_world(os.environ, Path.home()))
    if note.exists() and note.read_text() == str(state):
        note.unlink()


class _Screen:
    """A live table on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, options: Options) -> None:
        self._console = console
        self._broker = "mosquitto" if options.mosquitto else "the embedded amqtt"
        self._options = options
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._before: World | None = None

    def begin(self) -> None:
        self.say(_WHAT)
        kept = "a temporary folder, removed at the end" if self._options.throwaway else "kept"
        self.say(f"state: {self._options.state} ({kept}); broker: {self._broker}; nodes: {self._options.nodes}")
        if self._live:
            self._live.start()

    def show(self, world: World, models: Mapping[str, str]) -> None:
        if self._live:
            self._live.update(picture(world, models, f"umiak up · {self._options.state}"), refresh=True)
        else:
            for line in news(self._before, world):
                self.say(line)
        self._before = world

    def say(self, line: str) -> None:
        stamp = time.strftime("%H:%M:%S")
        if self._live:
            self._console.print(f"{stamp} {line}", markup=False, highlight=False)
        else:
            print(f"{stamp} {line}", file=sys.stdout, flush=True)

    def log(self, _: object, method: str, event: MutableMapping[str, Any]) -> NoReturn:
        """A structlog processor: what the reconciler has to say is a line like any other."""
        text = event.pop("event")
        details = " ".join(f"{name}={value}" for name, value in event.items())
        if method != "debug":
            self.say(f"{text} {details}".strip())
        raise structlog.DropEvent

    def end(self) -> None:
        if self._live:
            self._live.stop()
        self.say("stopped: every process has ended")
