"""The seam's local side: observes and applies plans with files, folders and processes."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from umiak_operators.api.resource import PLURALS, Key, Resource
from umiak_operators.plan import names
from umiak_operators.plan.model import Child, Node, Observed, Plan, Platform
from umiak_operators.runtime.children import dress, readiness_of
from umiak_operators.runtime.fleet import Fleet
from umiak_operators.runtime.local.nodes import simulated
from umiak_operators.runtime.local.pods import Pods
from umiak_operators.runtime.local.store import Store
from umiak_operators.runtime.local.template import own_annotations, pod_id, pod_spec, secret_data
from umiak_workers.contract.fleet import FleetView, Owner

_PODS = ("Deployment", "Job")


class LocalRuntime:
    """Plans as processes. `ring(key)` is called for every resource that should be looked at."""

    def __init__(
        self,
        store: Store,
        pods: Pods,
        fleet: Fleet,
        platform: Platform,
        nodes: int,
        ring: Callable[[Key], None],
        admit: Callable[[Iterable[Mapping[str, bytes]]], None],
        changed: Callable[[], None],
    ) -> None:
        """`nodes`: how many to simulate. `admit` is told every Secret's content, so that brokers know who is who.
        `changed` is called when a status is another one."""
        self._store = store
        self._pods = pods
        self._fleet = fleet
        self._platform = platform
        self._count = nodes
        self._ring = ring
        self._admit = admit
        self._changed = changed
        self._kept: dict[Key, tuple[Mapping[str, Any], ...]] = {}
        self._secrets: dict[tuple[str, str], Mapping[str, bytes]] = {}
        self._holders: dict[tuple[str, str], Key] = {}
        self.views: dict[Key, FleetView] = {}
        """The hub's newest view of each resource."""
        self._uids: dict[Key, str] = {resource.key: resource.uid for resource in store.all()}

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The simulated nodes, labelled as today's resources want them."""
        return simulated(self._store.all(), self._count)

    def set_files(self, bodies: Iterable[Mapping[str, Any]]) -> int:
        """The user's YAML says exactly this now; returns how many resources changed, came or went."""
        changed = self._store.set_files(bodies)
        if changed:
            self.ring_all(changed)
        return len(changed)

    def ring_all(self, gone: Iterable[Key] = ()) -> None:
        """Look at every resource, and at those that are gone."""
        for key in {*(resource.key for resource in self._store.all()), *gone}:
            self._ring(key)

    def ring_uid(self, uid: str) -> None:
        """Look at the resource with this uid, if it is still here."""
        for resource in self._store.all():
            if resource.uid == uid:
                self._ring(resource.key)

    async def drop_strangers(self) -> None:
        """The hub should hold nothing for resources that went while it was away."""
        known = {resource.uid for resource in self._store.all()}
        for uid in await self._fleet.owners():
            if uid not in known:
                await self._fleet.drop(uid)

    async def observe(self, key: Key) -> tuple[Resource, Observed] | None:
        """See Runtime.observe."""
        resource = self._store.get(key)
        if resource is None:
            return None
        self._uids[key] = resource.uid
        others = (other for other in self._store.all() if other.key.namespace == key.namespace and other.key != key)
        view = await self._fleet.view(Owner(kind=key.kind, namespace=key.namespace, name=key.name, uid=resource.uid))
        if view is not None:
            self.views[key] = view
        labels = {names.HOST_PATH_ALLOWED: "allowed"}
        return resource, Observed(self._platform, self._children(resource), tuple(others), self.nodes, labels, view)

    async def apply(self, resource: Resource, plan: Plan) -> None:
        """See Runtime.apply."""
        key = resource.key
        if self._store.get(key) is None:
            return  # it went while its plan was made; forget() follows
        bodies = tuple(dress(body, resource) for body in plan.children)
        self._keep_secrets(key, bodies)
        kept = tuple(body for body in bodies if body["kind"] not in ("Secret", *PLURALS))
        if kept != self._kept.get(key, ()):
            self._kept[key] = kept
            self._ring(key)  # as a cluster's watch would: what was just made is to be seen
        specs = [pod_spec(body) for body in bodies if body["kind"] in _PODS]
        await self._pods.converge(key, specs, self._secrets)
        self._put_resources(key, [body for body in bodies if body["kind"] in PLURALS])
        await self._fleet.tell(resource.uid, plan.fleet)
        await self.report(resource, plan.status)

    async def report(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """See Runtime.report; resources beside it may depend on its conditions, never on its figures."""
        before = self._store.get(resource.key)
        if before is not None and self._store.report(resource.key, status):
            self._changed()
            if before.status.get("conditions") == status.get("conditions"):
                return
            for other in self._store.all():
                if other.key != resource.key and other.key.namespace == resource.key.namespace:
                    self._ring(other.key)

    async def forget(self, key: Key) -> None:
        """See Runtime.forget; here it is garbage collection too."""
        self._keep_secrets(key, ())
        self._kept.pop(key, None)
        self.views.pop(key, None)
        await self._pods.converge(key, (), self._secrets)
        self._put_resources(key, ())
        if (uid := self._uids.pop(key, None)) is not None:
            await self._fleet.drop(uid)

    def _keep_secrets(self, owner: Key, bodies: Iterable[Mapping[str, Any]]) -> None:
        for place in [place for place, holder in self._holders.items() if holder == owner]:
            del self._holders[place], self._secrets[place]
        for body in bodies:
            if body["kind"] == "Secret":
                place = (owner.namespace, body["metadata"]["name"])
                self._holders[place], self._secrets[place] = owner, secret_data(body)
        self._admit(self._secrets.values())

    def _put_resources(self, owner: Key, bodies: Iterable[Mapping[str, Any]]) -> None:
        wanted = set()
        for body in bodies:
            key = Resource.from_body(body).key
            wanted.add(key)
            if self._store.put(body, str(owner)):
                self.ring_all()
        for old in self._store.owned_by(owner):
            if old.key not in wanted:
                self.ring_all(self._store.delete(old.key))

    def _children(self, owner: Resource) -> tuple[Child, ...]:
        ended = self._pods.finished.children(owner.key)
        kept = self._kept.get(owner.key, ())
        pods = {pod_id(owner.key.namespace, body["metadata"]["name"]) for body in kept if body["kind"] in _PODS}
        seen = [self._child(owner, body) for body in kept]
        seen += [child for pod, child in ended.items() if pod not in pods]
        for patch in self._store.owned_by(owner.key):
            readiness, message = readiness_of(patch.key.kind, {"status": patch.status})
            notes = self._store.annotations(patch.key)
            seen.append(Child(patch.key.kind, patch.key.name, patch.uid, readiness, message, notes))
        return tuple(seen)

    def _child(self, owner: Resource, body: Mapping[str, Any]) -> Child:
        kind, meta = body["kind"], body["metadata"]
        uid = str(uuid.uuid5(uuid.UUID(owner.uid), f"{kind}/{meta['name']}"))
        if kind not in _PODS or body["spec"].get("replicas", 1) == 0:
            return Child(kind, meta["name"], uid, "Ready")
        state = self._pods.state(pod_id(owner.key.namespace, meta["name"]))
        return Child(kind, meta["name"], uid, state.readiness, state.message, own_annotations(meta))
