"""A pod as a group of containers: kept running for a Deployment, run to completion for a Job."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from umiak_operators.api.resource import Key
from umiak_operators.plan.model import Readiness
from umiak_operators.runtime.local.backoff import Backoff
from umiak_operators.runtime.local.container import Container, ContainerState, Surroundings
from umiak_operators.runtime.local.folders import Folders
from umiak_operators.runtime.local.logfile import LogFile
from umiak_operators.runtime.local.mounts import Rooms, Secrets
from umiak_operators.runtime.local.template import PodSpec

_OFTEN = 5
"""Failures in a row after which a pod counts as failed (it is still started again)."""


@dataclass(frozen=True)
class PodState:
    """What can be said of a pod now."""

    readiness: Readiness
    message: str
    containers: tuple[ContainerState, ...]


class Pod:
    """One pod of this world. `start` it, `await stop()` it; `state` tells how it is."""

    def __init__(
        self,
        spec: PodSpec,
        owner: Key | None,
        rooms: Rooms,
        folders: Folders,
        around: Surroundings,
        changed: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.owner = owner
        """None for the platform's own."""
        self._rooms = rooms
        self._folders = folders
        self._around = around
        self._changed = changed
        self._containers: tuple[Container, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._finished: Readiness | None = None
        self._message = ""

    def start(self, secrets: Secrets) -> None:
        """Furnish the pod and start its containers; raises ConfigError when its files cannot be made."""
        self.refresh(secrets)
        self._containers = tuple(self._container(index) for index in range(len(self.spec.containers)))
        work = self._to_completion() if self.spec.kind == "Job" else self._for_ever()
        self._task = asyncio.create_task(work, name=self.spec.id)
        self._task.add_done_callback(self._ended)

    def refresh(self, secrets: Secrets) -> None:
        """Rewrite its files where they changed; running containers read them at their next start."""
        self._rooms.furnish(self.spec, secrets)

    async def stop(self) -> None:
        """End every container, then drop what goes with the pod."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        self._rooms.clear(self.spec.id)

    @property
    def state(self) -> PodState:
        """How the pod is now."""
        states = tuple(container.state for container in self._containers)
        if self._finished is not None:
            return PodState(self._finished, self._message, states)
        if self.spec.kind == "Job":
            return PodState("Progressing", self._message, states)
        return PodState(_readiness(states), _message(states), states)

    def _container(self, index: int) -> Container:
        spec = self.spec.containers[index]
        return Container(
            spec.name,
            self._rooms.launch(self.spec, spec),
            LogFile(self._folders.log(self.spec.id, spec.name)),
            self._rooms.address(self.spec, spec),
            self._around,
            self._changed,
            grace=self.spec.grace,
            backoff=Backoff(),
        )

    async def _for_ever(self) -> None:
        async with asyncio.TaskGroup() as group:
            for container in self._containers:
                group.create_task(container.keep_running())

    async def _to_completion(self) -> None:
        try:
            async with asyncio.timeout(self.spec.deadline):
                await self._tries()
        except TimeoutError:
            self._finish("Failed", f"did not end within {self.spec.deadline} s")

    async def _tries(self) -> None:
        backoff, failures = Backoff(first=1.0), 0
        while True:
            started = time.monotonic()
            async with asyncio.TaskGroup() as group:
                runs = [group.create_task(container.run_once()) for container in self._containers]
            if all(run.result() == 0 for run in runs):
                return self._finish("Succeeded", "")
            failures += 1
            self._message = _message(tuple(container.state for container in self._containers))
            if failures > self.spec.backoff_limit:
                return self._finish("Failed", f"failed {failures} times; {self._message}")
            delay, backoff = backoff.after(time.monotonic() - started)
            await asyncio.sleep(delay)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A defect in here must show as a failed pod, not as silence."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._finish("Failed", f"the local runtime lost this pod: {error!r}")

    def _finish(self, readiness: Readiness, message: str) -> None:
        self._finished, self._message = readiness, message
        self._rooms.clear(self.spec.id)
        self._changed()


def _readiness(states: tuple[ContainerState, ...]) -> Readiness:
    if all(state.ready for state in states):
        return "Ready"
    return "Failed" if any(not state.ready and state.failures >= _OFTEN for state in states) else "Progressing"


def _message(states: tuple[ContainerState, ...]) -> str:
    return "; ".join(f"{state.name}: {state.message or 'starting'}" for state in states if not state.ready)
