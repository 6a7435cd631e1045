"""Every pod of a local world: which should run, which do."""

import asyncio
from collections.abc import Callable, Iterable

from umiak_operators.api.resource import Key
from umiak_operators.runtime.local.container import Surroundings
from umiak_operators.runtime.local.finished import Finished
from umiak_operators.runtime.local.folders import Folders
from umiak_operators.runtime.local.mounts import Rooms, Secrets
from umiak_operators.runtime.local.pod import Pod, PodState
from umiak_operators.runtime.local.template import PodSpec


class Pods:
    """Pods by id, each with its owner (None: the platform)."""

    def __init__(
        self,
        rooms: Rooms,
        folders: Folders,
        around: Surroundings,
        finished: Finished,
        changed: Callable[[Key | None], None],
    ) -> None:
        """`changed(owner)` is called when a pod of that owner is no longer as it was."""
        self._rooms = rooms
        self._folders = folders
        self._around = around
        self._changed = changed
        self._pods: dict[str, Pod] = {}
        self.finished = finished

    @property
    def running(self) -> tuple[Pod, ...]:
        """Every pod that was started and not stopped, by id."""
        return tuple(self._pods[name] for name in sorted(self._pods))

    def state(self, pod: str) -> PodState:
        """How a pod is, or how its Job ended."""
        if (ended := self.finished.get(pod)) is not None:
            return ended
        return self._pods[pod].state if pod in self._pods else PodState("Progressing", "not started yet", ())

    async def converge(self, owner: Key | None, wanted: Iterable[PodSpec], secrets: Secrets) -> None:
        """Make the pods of `owner` exactly these: stop, replace (stop, then start), refresh files, start."""
        specs = {spec.id: spec for spec in wanted}
        mine = {name for name, pod in self._pods.items() if pod.owner == owner}
        stale = [name for name in mine if not self._keeps(name, specs.get(name))]
        await asyncio.gather(*(self._stop(name) for name in stale))
        ended = set(self.finished.children(owner)) if owner else set()
        for name in (mine | ended) - set(specs):
            self.finished.drop(name)
            self._rooms.forget(name)
        for spec in specs.values():
            if not spec.paused and self.finished.get(spec.id) is None:
                self._start_or_refresh(spec, owner, secrets)

    async def stop_all(self) -> None:
        """Stop every pod at once."""
        await asyncio.gather(*(self._stop(name) for name in tuple(self._pods)))

    def _keeps(self, name: str, spec: PodSpec | None) -> bool:
        return spec is not None and not spec.paused and self._pods[name].spec.fingerprint == spec.fingerprint

    def _start_or_refresh(self, spec: PodSpec, owner: Key | None, secrets: Secrets) -> None:
        if spec.id in self._pods:
            self._pods[spec.id].refresh(secrets)
            return
        pod = Pod(spec, owner, self._rooms, self._folders, self._around, lambda: self._note(spec.id))
        pod.start(secrets)
        self._pods[spec.id] = pod
        self._changed(owner)

    async def _stop(self, name: str) -> None:
        pod = self._pods.pop(name)
        await pod.stop()
        self._changed(pod.owner)

    def _note(self, name: str) -> None:
        pod = self._pods.get(name)
        if pod is None:
            return  # it is being stopped
        if pod.spec.kind == "Job" and pod.state.readiness in ("Succeeded", "Failed"):
            self.finished.keep(pod.spec, pod.owner, pod.state)
        self._changed(pod.owner)
