"""kopf as a doorbell: its watches fill the index and ring keys. No decisions, no finalizers, nothing written.

Index handlers see an object before anything else does, and kopf runs event handlers only once every kind has been
listed; so the first ring comes when the picture is whole, and a restart cannot mistake "not yet listed" for "gone".
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import kopf

from umiak_operators.api.resource import Key
from umiak_operators.plan import names
from umiak_operators.runtime.clock import Clock
from umiak_operators.runtime.cluster.api import CHILD_KINDS, KINDS, OWNER_KINDS
from umiak_operators.runtime.cluster.index import Index, Rung


@dataclass(frozen=True)
class Bell:
    """What handlers touch: the index they fill, the queue they ring, and the moment when all has been listed."""

    index: Index
    ring: Callable[[Key], None]
    clock: Clock
    listed: asyncio.Event


def register(registry: kopf.OperatorRegistry, bell: Bell) -> None:
    """Watch everything that decisions depend on."""
    for kind, info in KINDS.items():
        group, _, version = info.api_version.rpartition("/")
        _watch(registry, (group, version, info.plural), kind, bell)


def _watch(registry: kopf.OperatorRegistry, place: tuple[str, str, str], kind: str, bell: Bell) -> None:
    rung: Rung = set()

    async def notice(body: kopf.Body, **_: Any) -> None:
        rung.update(saw(bell, kind, body))

    async def ring(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        bell.listed.set()
        if event["type"] == "DELETED":
            rung.update(lost(bell.index, kind, body))
        keys = set(rung)
        rung.clear()
        for key in keys:
            bell.ring(key)

    kopf.index(*place, id=f"index-{kind.lower()}", registry=registry)(notice)
    kopf.on.event(*place, id=f"ring-{kind.lower()}", registry=registry)(ring)


def saw(bell: Bell, kind: str, body: Mapping[str, Any]) -> Rung:
    """A live object of a kind: remember it; returns whom to ring."""
    whole = {**dict(body), "kind": kind}
    if kind == "Node":
        return bell.index.saw_node(whole, gone=False)
    if kind == "Namespace":
        return bell.index.saw_namespace(whole, gone=False)
    rung = bell.index.saw_owner(whole, bell.clock.now()) if kind in OWNER_KINDS else set()
    return rung | bell.index.saw_child(whole)


def lost(index: Index, kind: str, body: Mapping[str, Any]) -> Rung:
    """An object of a kind is gone: forget it; returns whom to ring."""
    meta = body["metadata"]
    return index.gone(kind, meta.get("namespace", ""), meta["name"], meta.get("uid", ""))


def settings() -> kopf.OperatorSettings:
    """kopf's settings for a doorbell that may run beside other operators and on bad links."""
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.posting.enabled = False
    chosen.posting.level = 30  # logging.WARNING, should somebody switch posting on
    chosen.persistence.finalizer = f"{names.PREFIX}/never-set"
    chosen.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=names.PREFIX)
    chosen.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=names.PREFIX)
    chosen.watching.inactivity_timeout = 90
    chosen.watching.connect_timeout = 10
    chosen.watching.server_timeout = 600
    chosen.networking.request_timeout = 60
    chosen.networking.connect_timeout = 10
    chosen.networking.error_backoffs = Backoffs(first=0.5, longest=30)
    for info in CHILD_KINDS.values():
        group, _, version = info.api_version.rpartition("/")
        chosen.watching.label_selectors[group, version, info.plural] = names.OWNER_KIND
    return chosen


@dataclass(frozen=True)
class Backoffs:
    """Seconds between attempts, without end: doubling up to a limit, jittered. Each iteration starts afresh."""

    first: float
    longest: float

    def __iter__(self) -> Iterator[float]:
        limit = self.first
        while True:
            yield random.uniform(limit / 2, limit)
            limit = min(self.longest, limit * 2)
