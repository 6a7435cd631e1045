"""The outermost frame of every role's process: arguments, logs, stop signals, and errors as one line and an exit code.

Exit codes: 0 stopped as asked, 1 could not go on (a taken port, a full disk), 2 a config is wrong.
"""

import argparse
import asyncio
import logging
import signal
import sys
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from umiak_workers.contract.errors import ConfigError, UmiakError

CANNOT_GO_ON = 1
BAD_CONFIG = 2


@dataclass(frozen=True)
class Arguments:
    """What a container is started with. `state` is None for a role without a state folder."""

    config: Path
    state: Path | None

    def state_folder(self) -> Path:
        """The state folder, made if it is new; raises ConfigError where a role needs one and none was given."""
        if self.state is None:
            raise ConfigError("--state is missing: this role keeps files and needs a folder for them")
        try:
            self.state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--state {self.state}: {error.strerror or error}") from error
        return self.state


def arguments(role: str, argv: Sequence[str] | None = None) -> Arguments:
    """Read `--config FILE [--state DIR]`."""
    parser = argparse.ArgumentParser(prog=f"python3 -m umiak_workers.{role}")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="this container's config.json")
    parser.add_argument("--state", type=Path, default=None, metavar="DIR", help="folder for what must survive")
    read = parser.parse_args(argv)
    return Arguments(read.config, read.state)


def configure_logs(role: str) -> None:
    """Structured lines on stderr: JSON, or readable where stderr is a terminal."""
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is odd about a photo is said in the answer to it
    readable = sys.stderr.isatty()
    structlog.configure(
        processors=[
            _named(role),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def run(role: str, main: Callable[[Arguments, asyncio.Event], Awaitable[None]]) -> None:
    """Run an async role until it returns, then exit the process.

    `main` gets the arguments and an event that SIGTERM or SIGINT sets; it should return within 3 s of that.
    """
    given = arguments(role)
    configure_logs(role)
    sys.exit(exit_code(role, lambda: asyncio.run(_with_signals(main, given))))


def exit_code(role: str, act: Callable[[], None]) -> int:
    """Do it; errors raised on purpose, and the machine's, become one line on stderr and a code."""
    try:
        act()
    except ConfigError as error:
        print(f"{role}: {error}", file=sys.stderr, flush=True)
        return BAD_CONFIG
    except (UmiakError, OSError) as error:
        print(f"{role}: {error}", file=sys.stderr, flush=True)
        return CANNOT_GO_ON
    except KeyboardInterrupt:
        return 0
    return 0


async def _with_signals(main: Callable[[Arguments, asyncio.Event], Awaitable[None]], given: Arguments) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await main(given, stop)


def _named(role: str) -> structlog.typing.Processor:
    def add(
        logger: structlog.typing.WrappedLogger, name: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        return {"role": role, **event}

    return add
