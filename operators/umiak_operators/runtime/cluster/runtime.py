"""A Kubernetes cluster as a runtime: observe from an index, apply through the API server and the hub."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from umiak_operators.api.resource import Key, Resource
from umiak_operators.plan.model import Observed, Plan, Platform
from umiak_operators.runtime.clock import Clock
from umiak_operators.runtime.cluster.api import KINDS, Server
from umiak_operators.runtime.cluster.applier import Applier
from umiak_operators.runtime.cluster.index import Index
from umiak_operators.runtime.fleet import Hub
from umiak_operators.runtime.structure import missing
from umiak_workers.contract.fleet import FleetView, Owner

log = structlog.get_logger()


@dataclass(frozen=True)
class World:
    """What a cluster runtime works with. `fleet` is None where no hub was named."""

    api: Server
    index: Index
    platform: Platform
    fleet: Hub | None
    clock: Clock
    ring: Callable[[Key], None]
    """Asks for a look at a resource."""


class Cluster:
    """See runtime.seam.Runtime."""

    def __init__(self, world: World, refresh_seconds: float) -> None:
        self._world = world
        self._refresh_seconds = refresh_seconds
        self._applier = Applier(world.api, world.index, world.clock, refresh_seconds)
        self._uids: dict[Key, str] = {}
        self._pruned: dict[Key, tuple[str, str]] = {}

    async def observe(self, key: Key) -> tuple[Resource, Observed] | None:
        """From the index; the owner itself is fetched again once it has been silent for long."""
        resource = await self._owner(key)
        if resource is None:
            return None
        index, former = self._world.index, self._uids.get(key)
        if former not in (None, resource.uid):
            await self.forget(key)
        self._uids[key] = resource.uid
        namespace = index.namespace(key.namespace)
        return replace(resource, deleting=resource.deleting or namespace.ending), Observed(
            platform=self._world.platform,
            children=index.observed_children(resource),
            related=index.related(key),
            nodes=index.nodes(),
            namespace_labels=namespace.labels,
            fleet=await self._view(resource),
        )

    async def apply(self, resource: Resource, plan: Plan) -> None:
        """Children, the hub's part, then status; a child that is refused keeps nothing from the hub.

        A status that was decided before a child changed would call the new generation Ready on the strength of the
        old child; it is left to the look that the child's watch event rings for.
        """
        try:
            changed = await self._applier.apply(resource, plan)
        finally:
            if self._world.fleet is not None:
                await self._world.fleet.tell(resource.uid, plan.fleet)
        if not changed:
            await self.report(resource, plan.status)

    async def report(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """Write the status if it differs from the one last seen."""
        key, world = resource.key, self._world
        known = world.index.owner(key)
        live = known.status if known and known.uid == resource.uid else resource.status
        if live == status or self._pruned.get(key) == (_digest(status), _digest(live)):
            return
        log.info("status", key=str(key), why=_difference(status, live))
        body = await world.api.set_status(key.kind, key.namespace, key.name, resource.uid, status)
        if body is None:
            world.index.lost_owner(key, resource.uid)
            return
        for other in world.index.saw_owner(body, world.clock.now()) - {key}:  # the watch will tell nothing new
            world.ring(other)
        stored = body.get("status") or {}
        if stored != status:
            log.warning("the server keeps another status than asked for", key=str(key), path=missing(status, stored))
            self._pruned[key] = (_digest(status), _digest(stored))

    async def forget(self, key: Key) -> None:
        """Drop the hub's part; children go by their owner references."""
        self._applier.forget(key)
        self._pruned.pop(key, None)
        uid = self._uids.pop(key, None)
        if uid and self._world.fleet is not None:
            await self._world.fleet.drop(uid)

    async def sweep(self) -> None:
        """Drop at the hub every owner whose resource is gone: deleted while nobody was looking."""
        if self._world.fleet is None:
            return
        held = await self._world.fleet.owners()
        living = {resource.uid for resource in self._world.index.owners()}
        for uid in held:
            if uid not in living:
                log.info("the hub holds a resource that is gone, dropping it", uid=uid)
                await self._world.fleet.drop(uid)

    async def relist(self) -> None:
        """Forget what is gone without a word: a watch that had to begin afresh tells of no deletions."""
        for kind in KINDS:
            known = self._world.index.known(kind)
            living = await self._world.api.living(kind) if known else set()
            for place in known.keys() - living:
                for key in self._world.index.gone(kind, *place, known[place]):
                    self._world.ring(key)

    async def _owner(self, key: Key) -> Resource | None:
        index, now = self._world.index, self._world.clock.now()
        resource = index.owner(key)
        if resource is None or now - index.seen_at(key) < self._refresh_seconds:
            return resource
        body = await self._world.api.get(key.kind, key.namespace, key.name)
        if body is None:
            index.lost_owner(key, resource.uid)
            return None
        index.saw_owner(body, now)
        return index.owner(key)

    async def _view(self, resource: Resource) -> FleetView | None:
        if self._world.fleet is None:
            return None
        key = resource.key
        return await self._world.fleet.view(
            Owner(kind=key.kind, namespace=key.namespace, name=key.name, uid=resource.uid)
        )


def _digest(status: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(status, sort_keys=True, default=str).encode()).hexdigest()


def _difference(status: Mapping[str, Any], live: Mapping[str, Any]) -> str:
    """Where a status is to change, and how its conditions read then: one line for the log."""
    conditions = (f"{item['type']}={item['status']}/{item['reason']}" for item in status.get("conditions") or ())
    return f"{missing(status, live) or 'fields leave'}; {' '.join(conditions)}"
