"""One operating system process: in a group of its own, logged, and gone when `umiak up` is."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from umiak_operators.runtime.local import reaper
from umiak_operators.runtime.local.files import make_private
from umiak_operators.runtime.local.logfile import LogFile

_PR_SET_PDEATHSIG = 1
_CHUNK = 65_536


class Reaper:
    """This side of the reaper: told of every process group, asked at the end to leave."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, before anything else."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__],
            stdin=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )

    def started(self, group: int) -> None:
        """This group must not outlive us."""
        self._tell(f"+{group}")

    def ended(self, group: int) -> None:
        """This group is gone."""
        self._tell(f"-{group}")

    def remove(self, folder: Path) -> None:
        """This folder must not outlive us."""
        self._tell(f"rm {folder}")

    def close(self, timeout: float) -> None:
        """Let it end what is left, wait for that at most `timeout` seconds."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait(timeout)
            self._process = None

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # somebody killed it; the kernel still ends our children with us
                self._process.stdin.write(line.encode() + b"\n")
                self._process.stdin.flush()


@dataclass(frozen=True)
class Launch:
    """What it takes to start one process."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path
    niceness: int = 0


class Process:
    """One run of a `Launch`."""

    def __init__(self, launch: Launch, log: LogFile, reaper: Reaper) -> None:
        self._launch = launch
        self._log = log
        self._reaper = reaper
        self._process: asyncio.subprocess.Process | None = None
        self._pump: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Also the process group; 0 before the start."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Raises OSError when the program cannot be started."""
        make_private(self._launch.folder)
        reading, writing = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._launch.argv,
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=self._launch.folder,
                env=dict(self._launch.env),
                start_new_session=True,
                preexec_fn=before_the_program(os.getpid(), self._launch.niceness),
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._reaper.started(self.pid)
        self._pump = asyncio.create_task(_pump(reading, self._log))

    async def wait(self) -> int:
        """The exit status (negative: the signal that ended it), once it and its whole group are gone."""
        assert self._process is not None
        assert self._pump is not None
        status = await self._process.wait()
        reaper.send(self.pid, signal.SIGKILL)  # what the process left behind would keep its ports and its log open
        await asyncio.wait({self._pump})  # (awaiting the task itself would hand it our cancellation)
        self._reaper.ended(self.pid)
        return status

    async def stop(self, grace: float) -> int:
        """Ask to stop; kill after `grace` seconds."""
        reaper.send(self.pid, signal.SIGTERM)
        waiting = asyncio.ensure_future(self.wait())
        done, _ = await asyncio.wait({waiting}, timeout=grace)
        if not done:
            reaper.send(self.pid, signal.SIGKILL)
        return await waiting


def before_the_program(parent: int, niceness: int) -> Callable[[], None]:
    """What a new process does before its program starts: take its niceness and, on Linux, ask to end with `parent`,
    so that it cannot outlive it even in the moment before the reaper hears of it."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        os.nice(niceness)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


async def _pump(descriptor: int, log: LogFile) -> None:
    """Everything the process says goes into its log, as fast as the log takes it."""
    reader = asyncio.StreamReader(limit=_CHUNK)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    try:
        while data := await reader.read(_CHUNK):
            with contextlib.suppress(OSError):  # a full disk loses lines; it must not block who writes them
                log.write(data)
    finally:
        transport.close()
