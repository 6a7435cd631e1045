"""Keeping one container running: start, watch its readiness, start again with back-off."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx

from umiak_operators.runtime.local.backoff import Backoff
from umiak_operators.runtime.local.logfile import LogFile
from umiak_operators.runtime.local.process import Launch, Process, Reaper
from umiak_workers.contract.routes import HEALTH_READY

_LOOK_WHILE_STARTING = 0.3
_LOOK_WHEN_READY = 2.0
_ANSWER_WITHIN = 3.0


@dataclass(frozen=True)
class ContainerState:
    """What can be said of a container now."""

    name: str
    pid: int | None = None
    ready: bool = False
    restarts: int = 0
    failures: int = 0
    """Ends in a row without a good run between them."""
    address: str | None = None
    exit_status: int | None = None
    """How the last run ended; None before the first end."""
    message: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What every container of a world shares."""

    reaper: Reaper
    http: httpx.AsyncClient


class Container:
    """One container. `state` is always current; `changed` is called whenever it differs from before."""

    def __init__(
        self,
        name: str,
        launch: Launch,
        log: LogFile,
        address: str | None,
        around: Surroundings,
        changed: Callable[[], None],
        *,
        grace: float,
        backoff: Backoff,
    ) -> None:
        self.state = ContainerState(name, address=address)
        self._launch = launch
        self._log = log
        self._around = around
        self._changed = changed
        self._grace = grace
        self._backoff = backoff
        self._ready_since: float | None = None

    async def keep_running(self) -> None:
        """Run it again and again until cancelled; on cancellation the process is stopped first."""
        while True:
            self._ready_since = None
            status = await self.run_once()
            good_for = 0.0 if self._ready_since is None else time.monotonic() - self._ready_since
            delay, self._backoff = self._backoff.after(good_for)
            self._say(
                restarts=self.state.restarts + 1,
                failures=self._backoff.failures,
                message=f"{_ending(status)}: {self._log.last_words()}; starting again in {delay:.1f} s",
            )
            await asyncio.sleep(delay)

    async def run_once(self) -> int:
        """One run to its end: the exit status. On cancellation the process is stopped first."""
        process = Process(self._launch, self._log, self._around.reaper)
        try:
            await process.start()
        except OSError as error:
            self._log.write(f"cannot start {self._launch.argv[0]}: {error.strerror}\n".encode())
            self._say(exit_status=127)
            return 127
        self._say(pid=process.pid, ready=False, message="")
        watching = asyncio.create_task(self._watch())
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            await process.stop(self._grace)
            raise
        finally:
            watching.cancel()
            self._say(pid=None, ready=False)
        self._say(exit_status=status, message=f"{_ending(status)}: {self._log.last_words()}" if status else "")
        return status

    async def _watch(self) -> None:
        if self.state.address is None:
            self._ready_since = time.monotonic()
            self._say(ready=True)
            return
        while True:
            ready = await self._answers(self.state.address)
            if ready and self._ready_since is None:
                self._ready_since = time.monotonic()
            self._say(ready=ready, failures=0 if ready else self.state.failures)
            if ready and not self.state.address.startswith("http"):
                return  # a broker logs every knock; that it still runs has to do
            await asyncio.sleep(_LOOK_WHEN_READY if ready else _LOOK_WHILE_STARTING)

    async def _answers(self, address: str) -> bool:
        if not address.startswith("http"):
            return await accepts(address)
        try:
            answer = await self._around.http.get(address + HEALTH_READY, timeout=_ANSWER_WITHIN)
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK

    def _say(self, **news: object) -> None:
        state = replace(self.state, **news)  # type: ignore[arg-type]
        if state != self.state:
            self.state = state
            self._changed()


def _ending(status: int) -> str:
    return f"ended by signal {-status}" if status < 0 else f"exit status {status}"


async def accepts(address: str) -> bool:
    """Whether something accepts connections at `mqtt://host:port`."""
    url = httpx.URL(address)
    try:
        async with asyncio.timeout(_ANSWER_WITHIN):
            _, writer = await asyncio.open_connection(url.host, url.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
