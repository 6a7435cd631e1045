"""An honest twin of an API server in memory, and a clock to turn by hand: the operator's own code in milliseconds.

Honest: it fills in defaults, keeps other managers' fields, lets a field go that its manager no longer applies, counts
versions and generations, refuses a wrong uid, collects garbage, and tells watchers afterwards. What a kubelet and the
controllers do happens when `run_pods` is called.
"""

import asyncio
import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from umiak_operators.runtime.cluster.api import ApiError
from umiak_operators.runtime.structure import as_stored

Body = dict[str, Any]
Place = tuple[str, str, str]
Watcher = Callable[[str, Body, bool], None]
"""(kind, body, gone)"""
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "Deployment": {"progressDeadlineSeconds": 600},
    "Job": {"completionMode": "NonIndexed", "suspend": False},
    "Service": {"clusterIP": "10.96.0.1", "sessionAffinity": "None"},
    "PersistentVolumeClaim": {"volumeMode": "Filesystem"},
}


class ManualClock:
    """Time that moves only when told to. Starts at `now` seconds since the epoch."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        """See Clock.now."""
        return self._now

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        """See Clock.wait: only the event ends it, nobody else moves time."""
        await event.wait()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


class MemoryServer:
    """Objects by (kind, namespace, name). `watcher` is told of every change once it is stored."""

    def __init__(self, clock: ManualClock, watcher: Watcher) -> None:
        self._clock, self._watcher = clock, watcher
        self._objects: dict[Place, Body] = {}
        self._applied: dict[Place, Body] = {}
        self._versions, self._uids = itertools.count(1), itertools.count(1)
        self.writes: list[str] = []
        """Every write of the operator, as `verb kind/namespace/name`."""
        self.broken: ApiError | None = None
        """Raised by every request of the operator while it is set."""
        self.refused: str = ""
        """Kind that quota or admission refuses."""

    # the operator's side (cluster.api.Server)

    async def get(self, kind: str, namespace: str | None, name: str) -> Body | None:
        """See Server.get."""
        self._answer()
        return copy.deepcopy(self._objects.get((kind, namespace or "", name)))

    async def living(self, kind: str) -> set[tuple[str, str]]:
        """See Server.living."""
        self._answer()
        return {(place[1], place[2]) for place in self._objects if place[0] == kind}

    async def apply(self, body: Mapping[str, Any]) -> Body:
        """See Server.apply."""
        self._answer()
        place, wanted = _place(body), as_stored(copy.deepcopy(dict(body)))
        if place[0] == self.refused:
            raise ApiError(403, f"{place[0]} {place[2]} is forbidden: exceeded quota")
        self.writes.append(f"apply {'/'.join(place)}")
        old = self._objects.get(place, {})
        rest = _without(old, self._applied.get(place, {}))
        self._applied[place] = copy.deepcopy(wanted)
        return self._store(place, _over(rest, wanted))

    async def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """See Server.delete."""
        self._answer()
        self.writes.append(f"delete {kind}/{namespace}/{name}")
        live = self._objects.get((kind, namespace, name))
        if live is not None and live["metadata"]["uid"] == uid:
            self.remove(kind, namespace, name)

    async def set_status(
        self, kind: str, namespace: str, name: str, uid: str, status: Mapping[str, Any]
    ) -> Body | None:
        """See Server.set_status."""
        self._answer()
        self.writes.append(f"status {kind}/{namespace}/{name}")
        live = self._objects.get((kind, namespace, name))
        if live is None or live["metadata"]["uid"] != uid:
            return None
        return self._store((kind, namespace, name), {**live, "status": copy.deepcopy(dict(status))})

    # everybody else's side

    def put(self, body: Mapping[str, Any]) -> Body:
        """A person creates an object or replaces its spec and labels."""
        place = _place(body)
        old = self._objects.get(place, {})
        kept = {"status": old["status"]} if "status" in old else {}
        return self._store(place, {**copy.deepcopy(dict(body)), **kept})

    def edit(self, kind: str, namespace: str, name: str, changes: Mapping[str, Any]) -> Body:
        """A person's merge patch."""
        place = kind, namespace, name
        return self._store(place, _merged(self._objects[place], changes))

    def remove(self, kind: str, namespace: str, name: str, unseen: bool = False) -> None:
        """The object goes, and then what belonged to it alone; `unseen`: no watch was there to tell of it."""
        body = self._objects.pop((kind, namespace, name), None)
        self._applied.pop((kind, namespace, name), None)
        if body is None:
            return
        if not unseen:
            self._watcher(kind, copy.deepcopy(body), True)
        uid = body["metadata"]["uid"]
        for other in [item for item in self._objects.values() if uid in _owner_uids(item)]:
            self.remove(*_place(other), unseen)

    def objects(self, kind: str) -> Iterator[Body]:
        """Copies of every object of a kind, by namespace and name."""
        return (copy.deepcopy(self._objects[place]) for place in sorted(self._objects) if place[0] == kind)

    def run_pods(self) -> int:
        """What controllers and kubelets do: Deployments become available, Jobs complete. Returns how many moved."""
        moved = 0
        for place, body in sorted(self._objects.items()):
            status = _running(body)
            if status is not None and status != body.get("status"):
                self._store(place, {**body, "status": status})
                moved += 1
        return moved

    def _answer(self) -> None:
        if self.broken is not None:
            raise self.broken

    def _store(self, place: Place, body: Body) -> Body:
        old, kind = self._objects.get(place), place[0]
        body = copy.deepcopy(body)
        if kind in _DEFAULTS:
            body["spec"] = {**_DEFAULTS[kind], **body["spec"]}
        meta = body["metadata"] = dict(body["metadata"])
        known = old["metadata"] if old else self._birth()
        meta |= {key: known[key] for key in ("uid", "creationTimestamp", "generation", "resourceVersion")}
        if old is not None and _content(old) == _content(body):
            return copy.deepcopy(old)
        meta["resourceVersion"] = str(next(self._versions))
        if old is not None and old.get("spec") != body.get("spec"):
            meta["generation"] += 1
        self._objects[place] = body
        self._watcher(kind, copy.deepcopy(body), False)
        return copy.deepcopy(self._objects.get(place, body))

    def _birth(self) -> Body:
        created = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        uid = f"uid-{next(self._uids):06d}"
        return {"uid": uid, "creationTimestamp": created, "generation": 1, "resourceVersion": "0"}


def _place(body: Mapping[str, Any]) -> Place:
    meta = body["metadata"]
    return str(body["kind"]), str(meta.get("namespace", "")), str(meta["name"])


def _content(body: Body) -> Any:
    """All but version and generation."""
    meta = {key: value for key, value in body["metadata"].items() if key not in ("resourceVersion", "generation")}
    return {**body, "metadata": meta}


def _owner_uids(body: Body) -> list[str]:
    return [reference["uid"] for reference in body["metadata"].get("ownerReferences") or ()]


def _without(live: Any, applied: Any) -> Any:
    """`live` without the leaves that `applied` set: what other managers hold."""
    if not isinstance(live, Mapping) or not isinstance(applied, Mapping):
        return live
    found = {}
    for key, value in live.items():
        if key not in applied:
            found[key] = value
        elif isinstance(value, Mapping) and (rest := _without(value, applied[key])):
            found[key] = rest
    return found


def _over(below: Any, above: Any) -> Any:
    """`above` laid over `below`: maps merge, all else is replaced."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return copy.deepcopy(above)
    return {**below, **{key: _over(below.get(key), value) for key, value in above.items()}}


def _merged(body: Mapping[str, Any], changes: Mapping[str, Any]) -> Body:
    """RFC 7386: None removes."""
    found = copy.deepcopy(dict(body))
    for key, value in changes.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merged(found.get(key) or {}, value) if isinstance(value, Mapping) else copy.deepcopy(value)
    return found


def _running(body: Body) -> Body | None:
    """The status that an object of this kind comes to by itself; None for other kinds."""
    if body["kind"] == "Deployment":
        count, generation = body["spec"].get("replicas", 1), body["metadata"]["generation"]
        return {"observedGeneration": generation, "updatedReplicas": count, "availableReplicas": count}
    if body["kind"] == "Job":
        return {"conditions": [{"type": "Complete", "status": "True", "message": "one pod succeeded"}]}
    return None
