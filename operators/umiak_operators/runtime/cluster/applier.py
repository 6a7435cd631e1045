"""Making an owner's children be as planned, with as few writes as possible: most looks send nothing at all.

A child that was compared once is not fetched again while the index still shows the same body hash; so a quiet fleet
costs no request. Whoever edits, deletes or adds is noticed by that hash, and again after a while in any case.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from umiak_operators.api.resource import Key, Resource
from umiak_operators.plan.model import Plan
from umiak_operators.runtime.children import APPLIED, Seen, controller_uid, dress, owner_of
from umiak_operators.runtime.clock import Clock
from umiak_operators.runtime.cluster.api import CHILD_KINDS, KINDS, ApiError, Server
from umiak_operators.runtime.cluster.index import Index
from umiak_operators.runtime.seam import ChildRefused
from umiak_operators.runtime.structure import body_hash, missing

log = structlog.get_logger()
Place = tuple[str, str, str]
_FOR_A_PERSON = (400, 403, 413, 422)
_STATE = ("PersistentVolumeClaim",)
"""Never pruned: hard examples that were not delivered yet must outlive a node that registers anew. Claims go with
their owner."""


@dataclass(frozen=True)
class Compared:
    """A live body that was found to hold what was asked for (or that the server will not let be closer to it)."""

    live_hash: str
    applied: str
    until: float
    written: bool = False
    """Just now, so what was seen of it before is old."""


class Applier:
    """Applies and prunes children; remembers what it compared."""

    def __init__(self, api: Server, index: Index, clock: Clock, refresh_seconds: float) -> None:
        self._api, self._index, self._clock = api, index, clock
        self._refresh_seconds = refresh_seconds
        self._compared: dict[Key, dict[Place, Compared]] = {}

    async def apply(self, resource: Resource, plan: Plan) -> bool:
        """Apply every child, then prune; one that fails does not keep the others waiting. Raises the first failure.

        Returns whether a child was changed: then what was seen of it is old, and its watch event rings for a new look.
        """
        bodies = [dress(body, resource) for body in plan.children]
        known = self._compared.pop(resource.key, {})
        ends = await asyncio.gather(*(self._one(body, resource, known) for body in bodies), return_exceptions=True)
        compared = {_place(body): end for body, end in zip(bodies, ends, strict=True) if isinstance(end, Compared)}
        self._compared[resource.key] = compared
        await self._prune(resource, [_place(body) for body in bodies])
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return any(item.written for item in compared.values())

    def forget(self, key: Key) -> None:
        """The owner is gone."""
        self._compared.pop(key, None)

    async def _one(self, body: dict[str, Any], owner: Resource, known: Mapping[Place, Compared]) -> Compared:
        place, applied = _place(body), body["metadata"]["annotations"][APPLIED]
        last, entry = known.get(place), self._index.child(place)
        if last and entry and self._still(last, entry, applied):
            return replace(last, written=False)
        live = await self._api.get(*place)
        if live is not None:
            _must_be_ours(live, owner)
            if missing(body, live) is None:
                return self._compare(live, applied, written=False)
        written = await self._write(body, live)
        return self._compare(written, applied, written=entry is None or body_hash(written) != entry.body_hash)

    def _still(self, last: Compared, entry: Seen, applied: str) -> bool:
        same = entry.body_hash == last.live_hash and applied == last.applied and not entry.deleting
        return same and self._clock.now() < last.until

    def _compare(self, live: Mapping[str, Any], applied: str, written: bool) -> Compared:
        return Compared(body_hash(live), applied, self._clock.now() + self._refresh_seconds, written)

    async def _write(self, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        kind, _, name = _place(body)
        why = "new" if live is None else f"differs at {missing(body, live)}"
        log.info("apply", kind=kind, namespace=body["metadata"]["namespace"], name=name, why=why)
        try:
            written = await self._api.apply(body)
        except ApiError as error:
            if error.status in _FOR_A_PERSON:
                raise ChildRefused(f"{kind} {name}: {error}") from error
            raise
        if (path := missing(body, written)) is not None:
            log.warning("the server keeps another value than asked for", kind=kind, name=name, path=path)
        return written

    async def _prune(self, resource: Resource, wanted: Sequence[Place]) -> None:
        keep = set(wanted)
        for entry in self._index.children(resource.key):
            if entry.place in keep or entry.deleting or entry.owner_uid != resource.uid or entry.kind in _STATE:
                continue
            log.info("prune", kind=entry.kind, namespace=entry.namespace, name=entry.name)
            await self._api.delete(entry.kind, entry.namespace, entry.name, entry.uid)


def _place(body: Mapping[str, Any]) -> Place:
    kind = str(body["kind"])
    if kind not in KINDS or (kind not in CHILD_KINDS and kind != "ModelPatch"):
        raise ValueError(f"a plan may not contain a {kind}")
    return kind, str(body["metadata"]["namespace"]), str(body["metadata"]["name"])


def _must_be_ours(live: Mapping[str, Any], owner: Resource) -> None:
    """Raise unless the live object is this very owner's (by its reference, or an orphan's labels) and here to stay."""
    meta = live["metadata"]
    what, controller, labelled = f"{live['kind']} {meta['name']}", controller_uid(meta), owner_of(meta) == owner.key
    if controller != owner.uid and not labelled:
        raise ChildRefused(f"{what} exists and is not ours: delete it, or rename this {owner.key.kind}")
    if "deletionTimestamp" in meta:
        raise ApiError(409, f"{what} is being deleted, waiting for its end")
    if controller not in ("", owner.uid):
        raise ApiError(409, f"{what} still belongs to a former {owner.key.kind}, waiting for garbage collection")
