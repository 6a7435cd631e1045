"""A local world from its first process to its last: keys, ports, broker, hub and signer, and the runtime on them."""

import os
import random
import shutil
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from umiak_operators.api.resource import Key
from umiak_operators.plan.model import Platform
from umiak_operators.plan.platform import platform_objects
from umiak_operators.runtime.clock import SystemClock
from umiak_operators.runtime.fleet import Fleet, FleetTimes
from umiak_operators.runtime.local import keys, report
from umiak_operators.runtime.local.broker import Broker, find_mosquitto
from umiak_operators.runtime.local.container import Surroundings
from umiak_operators.runtime.local.files import write_private
from umiak_operators.runtime.local.finished import Finished
from umiak_operators.runtime.local.folders import Folders, Lock
from umiak_operators.runtime.local.mounts import Rooms
from umiak_operators.runtime.local.pods import Pods
from umiak_operators.runtime.local.ports import PortBook
from umiak_operators.runtime.local.process import Reaper
from umiak_operators.runtime.local.runtime import LocalRuntime
from umiak_operators.runtime.local.store import Store
from umiak_operators.runtime.local.template import pod_spec, secret_data
from umiak_workers.contract import identity
from umiak_workers.contract.config import OPERATOR_KEY_FILE, TOKEN_FILE
from umiak_workers.contract.endpoints import BROKER, HUB
from umiak_workers.contract.identity import Principal
from umiak_workers.contract.world import World

_PLATFORM = "platform"
_REAPED_WITHIN = 10.0
OPERATOR = Principal("-", "-", "-", "operator")
VIEWER = Principal("-", "-", "-", "viewer")
ROLES = ("operator", "edge", "trainer", "cloud", "hub", "signer", "broker")


@dataclass(frozen=True)
class Options:
    """What `umiak up` was asked for."""

    state: Path
    nodes: int
    listen_base: int | None = None
    throwaway: bool = False
    """Remove `state` at the end."""
    mosquitto: str | None = None
    """The program; None: the embedded broker."""


class LocalWorld:
    """`async with` starts everything that is not a resource's, and in the end stops everything."""

    def __init__(self, options: Options, ring: Callable[[Key], None], changed: Callable[[], None]) -> None:
        """`ring`: look at this resource. `changed`: the picture (`status()`) may be another one."""
        self._options = options
        self._ring = ring
        self._changed = changed
        self._folders = Folders(options.state)
        self._exit = AsyncExitStack()
        self._stale_broker = False

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    def status(self, at: float) -> World:
        """Everything that runs, at `at` (seconds since the epoch)."""
        return report.world(self.pods.running, self.store.all(), self._outside, self._known, at)

    async def _start(self) -> None:
        lock = Lock(self._options.state)
        lock.take()
        self._exit.callback(lock.release)
        reaper = self._start_reaper()
        self._keys = keys.load_or_make(self._folders.keys)
        self._clear_last_run()
        ports = PortBook(self._folders.ports, self._options.listen_base)
        self._outside = {HUB: ports.url(_PLATFORM, "hub"), BROKER: ports.url(_PLATFORM, "broker", "mqtt")}
        self._broker = Broker(
            self._folders.broker,
            self._folders.keys / OPERATOR_KEY_FILE,
            self._keys.operator,
            ports.port(_PLATFORM, "broker"),
            self._options.mosquitto,
        )
        self._known = self._write_tokens()
        http = await self._exit.enter_async_context(httpx.AsyncClient(trust_env=False))
        rooms = Rooms(self._folders, ports, self._outside)
        finished = Finished(self._folders.resources / "jobs.json")
        self.pods = Pods(rooms, self._folders, Surroundings(reaper, http), finished, self._pod_changed)
        self._exit.push_async_callback(self.pods.stop_all)
        await self._start_runtime()

    async def _start_runtime(self) -> None:
        self.store = Store(self._folders.resources)
        self.store.load()
        token = identity.token(self._keys.operator, OPERATOR)
        times = FleetTimes(request=5.0, longest_backoff=2.0)
        fleet = Fleet(self._outside[HUB], token, times, SystemClock(), random.Random())
        self.fleet = await self._exit.enter_async_context(fleet)
        await self._start_platform()
        self.runtime = LocalRuntime(
            self.store,
            self.pods,
            self.fleet,
            self.platform,
            self._options.nodes,
            self._ring,
            self._admit,
            self._changed,
        )

    async def _start_platform(self) -> None:
        bodies = platform_objects(self.platform, self._keys.signing)
        self._secrets = {_place(body): secret_data(body) for body in bodies if body["kind"] == "Secret"}
        self._admit(())
        specs = [pod_spec(body) for body in bodies if body["kind"] == "Deployment"]
        await self.pods.converge(None, [self._broker.pod(), *specs], self._secrets)

    @property
    def platform(self) -> Platform:
        """What plans are told about this installation."""
        return Platform(
            images=dict.fromkeys(ROLES, "local"),
            endpoints=self._outside,
            inside=self._outside,
            operator_key=self._keys.operator,
            trusted_keys=(self._keys.trusted,),
            state_volume="hostPath",
            host_path_root=str(self._folders.volumes / "nodes"),
        )

    def _start_reaper(self) -> Reaper:
        reaper = Reaper()
        reaper.start()
        self._exit.callback(reaper.close, _REAPED_WITHIN)
        if self._options.throwaway:
            reaper.remove(self._options.state)
        return reaper

    def _clear_last_run(self) -> None:
        """What an earlier run that was killed left behind and nothing needs."""
        self._folders.status.unlink(missing_ok=True)
        shutil.rmtree(self._folders.root / "pods", ignore_errors=True)

    def _write_tokens(self) -> report.Known:
        viewer = self._folders.keys / "viewer.token"
        write_private(viewer, identity.token(self._keys.operator, VIEWER).encode())
        return report.Known(self._broker.kind, str(viewer), str(self._folders.keys / OPERATOR_KEY_FILE))

    def _admit(self, secrets: Iterable[Mapping[str, bytes]]) -> None:
        """Whoever holds a token may connect to the broker as itself."""
        holders = [holder for files in (*self._secrets.values(), *secrets) for holder in _holders(files)]
        if self._broker.admit((OPERATOR, VIEWER, *holders)):
            self._stale_broker = True
            self._reload_broker()

    def _reload_broker(self) -> None:
        """A broker that does not accept connections yet could not take the signal; it is told when it does."""
        for pod in self.pods.running:
            for state in pod.state.containers:
                if self._stale_broker and pod.spec.component == "broker" and state.ready and state.pid:
                    os.kill(state.pid, signal.SIGHUP)
                    self._stale_broker = False

    def _pod_changed(self, owner: Key | None) -> None:
        if owner is None:
            self._reload_broker()
        else:
            self._ring(owner)
        self._changed()


def _holders(files: Mapping[str, bytes]) -> list[Principal]:
    tokens = (text for name, text in files.items() if name == TOKEN_FILE or name.endswith(f".{TOKEN_FILE}"))
    return [identity.claimed(text.decode().strip()) for text in tokens]


def _place(body: Mapping[str, Any]) -> tuple[str, str]:
    return body["metadata"].get("namespace", "default"), body["metadata"]["name"]


__all__ = ["LocalWorld", "Options", "find_mosquitto"]
