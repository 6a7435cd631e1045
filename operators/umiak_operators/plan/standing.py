"""How a JointInference stands: a chain of one-idea checks; the first that speaks is the condition `Ready`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from umiak_operators.api.conditions import Condition
from umiak_operators.api.joint_inference import JointInference, parse
from umiak_operators.api.resource import Resource
from umiak_operators.api.spec import InvalidSpec
from umiak_operators.plan import names
from umiak_operators.plan.edges import may_keep_state
from umiak_operators.plan.model import Child, Node, Observed
from umiak_workers.contract.fleet import FleetView

_NAMED = 5
"""Most names in a message."""


@dataclass(frozen=True)
class Standing:
    """What the checks look at."""

    resource: Resource
    spec: JointInference
    seen: Observed
    nodes: tuple[Node, ...]

    def deployment(self, name: str) -> Child | None:
        """A Deployment as seen."""
        return next((child for child in self.seen.children if (child.kind, child.name) == ("Deployment", name)), None)

    def edge(self, node: Node) -> Child | None:
        """An edge's Deployment as seen."""
        return self.deployment(names.edge_pod(self.resource.key.name, node.name))

    def available(self) -> list[str]:
        """Edges whose pod is available."""
        return [node.name for node in self.nodes if (child := self.edge(node)) and child.readiness == "Ready"]

    def waiting(self) -> list[Node]:
        """The other edges."""
        ready = set(self.available())
        return [node for node in self.nodes if node.name not in ready]


Check = Callable[[Standing], Condition | None]


def ready(standing: Standing) -> Condition:
    """The condition `Ready`."""
    for check in CHECKS:
        if (found := check(standing)) is not None:
            return found
    return Condition("Ready", "True", "Available", "edges and cloud are available")


def state_volume_allowed(standing: Standing) -> Condition | None:
    """hostPath state volumes only in a namespace labelled for them."""
    if may_keep_state(standing.seen):
        return None
    label, namespace = f"{names.HOST_PATH_ALLOWED}=allowed", standing.resource.key.namespace
    fix = f"edges keep their state in a hostPath; allow it: kubectl label namespace {namespace} {label}"
    return _not_ready("HostPathNotAllowed", fix)


def line_agreed(standing: Standing) -> Condition | None:
    """Two resources that start one line with different models cannot both be right; the older one is."""
    line = standing.spec.edge.model
    for other in sorted(standing.seen.related, key=_age):
        theirs = _edge_model(other)
        if theirs and theirs[0] == line.line and theirs[1] != line.digest and _age(other) < _age(standing.resource):
            text = f"JointInference {other.key.name} starts line {line.line} with {theirs[1]}; name the same digest"
            return _not_ready("LineConflict", text)
    return None


def line_started(standing: Standing) -> Condition | None:
    """The hub took the initial model."""
    fleet = standing.seen.fleet
    if fleet is None or fleet.line is None or not fleet.line.conflict:
        return None
    return _not_ready("LineConflict" if fleet.line.digest else "LineNotStarted", fleet.line.conflict)


def enough_nodes(standing: Standing) -> Condition | None:
    """As many nodes match as must be ready."""
    wanted = standing.spec.edge.min_ready
    if len(standing.nodes) >= wanted:
        return None
    selector = ",".join(f"{key}={value}" for key, value in sorted(standing.spec.edge.nodes.match_labels.items()))
    reason = "TooFewNodes" if standing.nodes else "NoMatchingNodes"
    return _not_ready(reason, f"{len(standing.nodes)} nodes carry {selector}, edge.minReady is {wanted}")


def enough_edges(standing: Standing) -> Condition | None:
    """As many edges are available as must be ready."""
    ready_edges, wanted = len(standing.available()), standing.spec.edge.min_ready
    if ready_edges >= wanted:
        return None
    waiting = standing.waiting()
    seen = [(node.name, standing.edge(node)) for node in waiting]
    failed = [f"{name}: {child.message or 'failed'}" for name, child in seen if child and child.readiness == "Failed"]
    text = f"{ready_edges} of {len(standing.nodes)} edges available, edge.minReady is {wanted}"
    if failed:
        return _not_ready("EdgesFailed", f"{text}; {named(failed)}")
    return _not_ready("EdgesProgressing", f"{text}; waiting for {named([node.name for node in waiting])}")


def cloud_available(standing: Standing) -> Condition | None:
    """The cloud worker, where there is one, is available."""
    if standing.spec.cloud is None:
        return None
    child = standing.deployment(names.cloud_pod(standing.resource.key.name))
    if child and child.readiness == "Ready":
        return None
    reason = "CloudFailed" if child and child.readiness == "Failed" else "CloudProgressing"
    return _not_ready(reason, (child.message if child else "") or "the cloud worker is not available yet")


CHECKS: Final[tuple[Check, ...]] = (
    state_volume_allowed,
    line_agreed,
    line_started,
    enough_nodes,
    enough_edges,
    cloud_available,
)


def edges_reporting(standing: Standing) -> Condition:
    """Whether heartbeats arrive; never gates `Ready`, as offline edges are normal."""
    fleet = standing.seen.fleet
    if fleet is None:
        return Condition("EdgesReporting", "Unknown", "HubUnreachable", "the hub has not answered")
    silent = sorted({node.name for node in standing.nodes} - set(reporting(fleet)))
    if silent:
        return Condition("EdgesReporting", "False", "EdgesSilent", f"no fresh heartbeat from {named(silent)}")
    return Condition("EdgesReporting", "True", "AllReporting", "every edge has a fresh heartbeat")


def reporting(fleet: FleetView) -> list[str]:
    """Edges with a fresh heartbeat."""
    return [view.edge for view in fleet.edges if view.reporting]


def fleet_observed(fleet: FleetView | None) -> Condition:
    """Whether the hub's view is there; without it the last figures are kept."""
    if fleet is None:
        return Condition("FleetObserved", "Unknown", "HubUnreachable", "the hub has not answered; figures are old")
    return Condition("FleetObserved", "True", "HubAnswered", "")


def named(items: list[str]) -> str:
    """A few of many, for a message."""
    more = len(items) - _NAMED
    return ", ".join(items[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _not_ready(reason: str, message: str) -> Condition:
    return Condition("Ready", "False", reason, message)


def _age(resource: Resource) -> tuple[str, str]:
    """The older first; one that is not stored yet is the youngest."""
    return resource.created or "~", resource.key.name


def _edge_model(resource: Resource) -> tuple[str, str] | None:
    """(line, initial digest) of another JointInference; None if it has none to speak of."""
    if resource.key.kind != "JointInference" or resource.deleting:
        return None
    try:
        model = parse(resource).edge.model
    except InvalidSpec:
        return None
    return model.line, model.digest
