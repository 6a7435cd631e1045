"""The simulated nodes of a local world: as many as asked for, labelled so that the resources find them. Pure."""

from collections.abc import Iterable, Mapping

from umiak_operators.api.resource import Resource
from umiak_operators.plan.model import Node


def simulated(resources: Iterable[Resource], count: int) -> tuple[Node, ...]:
    """`edge-1` .. `edge-<count>`. Selectors that can hold together go to the same nodes; those that contradict each
    other take turns, so that with enough nodes each finds some."""
    groups: list[dict[str, str]] = []
    for labels in map(selector, resources):
        fitting = next((group for group in groups if _agree(group, labels)), None)
        if fitting is None:
            groups.append(dict(labels))
        else:
            fitting.update(labels)
    return tuple(_node(index, groups[index % len(groups)] if groups else {}) for index in range(count))


def selector(resource: Resource) -> Mapping[str, str]:
    """The labels a JointInference wants of its nodes; nothing for other kinds or an odd spec."""
    found: object = resource.spec
    for part in ("edge", "nodes", "matchLabels"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, Mapping) else {}


def _agree(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return all(one.get(key, value) == value for key, value in other.items())


def _node(index: int, labels: Mapping[str, str]) -> Node:
    name = f"edge-{index + 1}"
    return Node(name, {"kubernetes.io/hostname": name, "node-role.kubernetes.io/edge": "", **labels})
