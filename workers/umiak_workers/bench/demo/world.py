"""A local world as the demo's client sees it: `umiak up` as a process of its own, and its status file."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from umiak_workers.contract.errors import MessageError, Unavailable
from umiak_workers.contract.identity import Principal, token
from umiak_workers.contract.wire import parse
from umiak_workers.contract.world import STATUS_FILE, ResourceStatus, World

STOP_SECONDS = 20.0


class LocalWorld:
    """`umiak up FILES` while the context is open; `async with` starts it and stops it."""

    def __init__(self, files: list[Path], nodes: int, state: Path) -> None:
        self._files, self._nodes, self._state = files, nodes, state
        self._process: asyncio.subprocess.Process | None = None
        self.log = state / "up.log"

    async def __aenter__(self) -> "LocalWorld":
        command = [sys.executable, "-m", "umiak_workers.cli.main", "up", *map(str, self._files)]
        command += ["--nodes", str(self._nodes), "--state", str(self._state)]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the terminal's Ctrl-C reaches the demo alone, which then stops this in order
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    def status(self) -> World | None:
        """The newest status, or None before the first; raises Unavailable once `umiak up` has ended."""
        if self._process is not None and self._process.returncode is not None:
            raise Unavailable(f"`umiak up` ended with code {self._process.returncode}:\n{self._tail()}")
        with contextlib.suppress(FileNotFoundError, MessageError):
            return parse(World, (self._state / STATUS_FILE).read_bytes())
        return None

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])

    async def until(self, what: str, happened: Callable[[World], bool], timeout: float) -> World:
        """Wait until the status says so; raises Unavailable that names `what` after `timeout` seconds."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            world = self.status()
            if world is not None and happened(world):
                return world
            await asyncio.sleep(0.2)
        raise Unavailable(f"waited {timeout:.0f} s for {what}; logs are under {self._state / 'logs'}:\n{self._tail()}")

    def token(self, world: World, namespace: str, resource: str) -> str:
        """A token to ask the cloud of one JointInference directly, as its router would (for the cloud-only figures)."""
        key = bytes.fromhex(Path(world.operator_key_file).read_text().strip())
        return token(key, Principal(namespace, resource, "-", "router"))


def resource(world: World, kind: str, name: str | None = None) -> ResourceStatus | None:
    """The first resource of a kind (and name), or None."""
    found = (item for item in world.resources if item.kind == kind and name in (None, item.name))
    return next(found, None)


def condition(found: ResourceStatus | None, kind: str) -> dict[str, Any]:
    """One condition of a resource as a dict; empty if it is not there."""
    conditions = (found.status.get("conditions") or []) if found else []
    return next((item for item in conditions if item.get("type") == kind), {})


def holds(found: ResourceStatus | None, kind: str) -> bool:
    """Whether a condition is True."""
    return condition(found, kind).get("status") == "True"
