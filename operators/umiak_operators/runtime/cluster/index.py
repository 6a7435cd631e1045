"""What the operator remembers of a cluster, fed by watches: owners whole, children by hash and readiness, nodes.

Owners are kept with spec and status, as decisions need them and they are few. Children are never kept whole: at 6000
of them bodies alone cost 189 MB. Each `saw_` says which keys to ring; it decides nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from umiak_operators.api.resource import Key, Kind, Resource
from umiak_operators.plan.model import Child, Node
from umiak_operators.runtime.children import Seen, seen

Rung = set[Key]


@dataclass(frozen=True)
class Namespace:
    """What decisions need of a namespace."""

    labels: Mapping[str, str]
    ending: bool
    """It is being deleted: nothing can be made in it any more."""


class Index:
    """Not thread-safe: the event loop alone reads and writes it."""

    def __init__(self) -> None:
        self._owners: dict[Key, Resource] = {}
        self._versions: dict[Key, int] = {}
        self._fresh: dict[Key, float] = {}
        self._by_namespace: dict[str, set[Key]] = {}
        self._children: dict[tuple[str, str, str], Seen] = {}
        self._of_owner: dict[Key, set[tuple[str, str, str]]] = {}
        self._nodes: dict[str, Node] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._uids: dict[tuple[str, str], str] = {}
        """Of nodes and namespaces, by (kind, name)."""

    # owners

    def saw_owner(self, body: Mapping[str, Any], now: float) -> Rung:
        """A live custom resource; an older version than the known one changes nothing."""
        resource, version = Resource.from_body(body), _version(body)
        old = self._owners.get(resource.key)
        if old and old.uid == resource.uid and version < self._versions[resource.key]:
            return set()
        self._owners[resource.key] = resource
        self._versions[resource.key] = version
        self._fresh[resource.key] = now
        self._by_namespace.setdefault(resource.key.namespace, set()).add(resource.key)
        if old is not None and _gist(old) == _gist(resource):
            return {resource.key} if old.status != resource.status else set()
        return set(self._by_namespace[resource.key.namespace])

    def lost_owner(self, key: Key, uid: str) -> Rung:
        """A custom resource is gone, unless another one has its name by now. Rings those that may depend on it."""
        known = self._owners.get(key)
        if known is not None and known.uid != uid:
            return set()
        self._owners.pop(key, None)
        self._versions.pop(key, None)
        self._fresh.pop(key, None)
        others = self._by_namespace.get(key.namespace, set())
        others.discard(key)
        return {key, *others}

    def owner(self, key: Key) -> Resource | None:
        """The resource as last seen."""
        return self._owners.get(key)

    def seen_at(self, key: Key) -> float:
        """When `owner(key)` was last confirmed, seconds since the epoch."""
        return self._fresh.get(key, 0.0)

    def owners(self) -> Iterator[Resource]:
        """Every known resource."""
        return iter(tuple(self._owners.values()))

    def related(self, key: Key) -> tuple[Resource, ...]:
        """The other resources of the namespace, in a fixed order."""
        return tuple(self._owners[other] for other in sorted(self._by_namespace.get(key.namespace, ())) if other != key)

    # children

    def saw_child(self, body: Mapping[str, Any]) -> Rung:
        """A live object that may be a child."""
        place = str(body["kind"]), body["metadata"].get("namespace", "default"), body["metadata"]["name"]
        old, new = self._children.get(place), seen(body)
        if new is None:
            return self._drop(old)
        if old and old.uid == new.uid and _number(new.version) < _number(old.version):
            return set()
        rung = self._drop(old) if old and old.owner != new.owner else set()
        self._children[place] = new
        self._of_owner.setdefault(new.owner, set()).add(place)
        same = old is not None and old.child() == new.child() and old.body_hash == new.body_hash
        return rung if same and old and old.deleting == new.deleting else {*rung, new.owner}

    def lost_child(self, place: tuple[str, str, str], uid: str) -> Rung:
        """A child is gone, unless another object has its name by now."""
        known = self._children.get(place)
        return self._drop(known) if known and known.uid in ("", uid) else set()

    def _drop(self, known: Seen | None) -> Rung:
        if known is None:
            return set()
        self._children.pop(known.place, None)
        places = self._of_owner.get(known.owner, set())
        places.discard(known.place)
        if not places:
            self._of_owner.pop(known.owner, None)
        return {known.owner}

    def child(self, place: tuple[str, str, str]) -> Seen | None:
        """The child at (kind, namespace, name)."""
        return self._children.get(place)

    def children(self, key: Key) -> tuple[Seen, ...]:
        """The children that carry an owner's labels, in a fixed order."""
        return tuple(self._children[place] for place in sorted(self._of_owner.get(key, ())))

    def observed_children(self, resource: Resource) -> tuple[Child, ...]:
        """The owner's own children that are not on their way out."""
        own = (item for item in self.children(resource.key) if item.owner_uid in ("", resource.uid))
        return tuple(item.child() for item in own if not item.deleting)

    # nodes and namespaces

    def saw_node(self, body: Mapping[str, Any], gone: bool) -> Rung:
        """A node came, changed or went; heartbeats that change nothing ring nobody."""
        name = body["metadata"]["name"]
        old, new = self._nodes.pop(name, None), None if gone else node(body)
        if new is not None:
            self._nodes[name] = new
            self._uids["Node", name] = body["metadata"].get("uid", "")
        return set() if old == new else {key for key in self._owners if key.kind == "JointInference"}

    def nodes(self) -> tuple[Node, ...]:
        """Every node, by name."""
        return tuple(self._nodes[name] for name in sorted(self._nodes))

    def saw_namespace(self, body: Mapping[str, Any], gone: bool) -> Rung:
        """A namespace came, changed its labels or went."""
        name = body["metadata"]["name"]
        old = self._namespaces.pop(name, None)
        new = None if gone else namespace(body)
        if new is not None:
            self._namespaces[name] = new
            self._uids["Namespace", name] = body["metadata"].get("uid", "")
        return set() if old == new else set(self._by_namespace.get(name, ()))

    def namespace(self, name: str) -> Namespace:
        """A namespace as last seen; one that is not known has no labels."""
        return self._namespaces.get(name, Namespace({}, ending=False))

    # all of them

    def known(self, kind: str) -> dict[tuple[str, str], str]:
        """uid by (namespace, name) of everything that is remembered of a kind."""
        found = {("", name): uid for (of, name), uid in self._uids.items() if of == kind}
        found |= {(at[1], at[2]): child.uid for at, child in self._children.items() if at[0] == kind}
        return found | {(key.namespace, key.name): one.uid for key, one in self._owners.items() if key.kind == kind}

    def gone(self, kind: str, namespace: str, name: str, uid: str) -> Rung:
        """An object no longer exists, unless another one has its name by now; returns whom to ring."""
        if kind in ("Node", "Namespace"):
            if self._uids.get((kind, name), "") not in ("", uid):
                return set()
            self._uids.pop((kind, name), None)
            saw = self.saw_node if kind == "Node" else self.saw_namespace
            return saw({"metadata": {"name": name}}, gone=True)
        rung = self.lost_child((kind, namespace, name), uid)
        return rung | self.lost_owner(Key(cast(Kind, kind), namespace, name), uid) if kind in get_args(Kind) else rung


def node(body: Mapping[str, Any]) -> Node:
    """A live Node as placing edges needs it."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    ready = any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
    return Node(body["metadata"]["name"], dict(body["metadata"].get("labels") or {}), ready)


def namespace(body: Mapping[str, Any]) -> Namespace:
    """A live Namespace as decisions need it."""
    meta = body["metadata"]
    return Namespace(dict(meta.get("labels") or {}), "deletionTimestamp" in meta)


def _gist(resource: Resource) -> tuple[Any, ...]:
    """What of a resource others may depend on: all but figures and messages of its status."""
    conditions = resource.status.get("conditions") or ()
    verdicts = sorted((item.get("type", ""), item.get("status", ""), item.get("reason", "")) for item in conditions)
    return resource.uid, resource.generation, resource.deleting, dict(resource.labels), verdicts


def _version(body: Mapping[str, Any]) -> int:
    return _number(str(body["metadata"].get("resourceVersion", "")))


def _number(version: str) -> int:
    """Resource versions of one kind are ordered numbers; anything else counts as new."""
    return int(version) if version.isdigit() else 0
