"""What a ModelPatch asks for: nothing but the hub's part; its status counts what the edges really run.

The head moves once. A patch that succeeded or was refused stays so: the figures of that moment are kept, whatever the
line does later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from umiak_operators.api.conditions import Condition, find, set_conditions
from umiak_operators.api.model_patch import ModelPatch, parse
from umiak_operators.api.resource import Resource
from umiak_operators.plan.model import Observed, Plan
from umiak_operators.plan.owner import owner_of
from umiak_operators.plan.standing import fleet_observed, named
from umiak_workers.contract.fleet import EdgeView, FleetSpec, FleetView, ReleaseSpec

_REFUSED: Final = {
    "Superseded": "the head has moved on before every edge was updated",
    "Conflict": "the head is not `from`",
}


@dataclass(frozen=True)
class Rollout:
    """How far the edges of the line are."""

    edges: tuple[EdgeView, ...]
    to: str

    def updated(self) -> list[str]:
        """Edges whose agent reports the new digest as active."""
        return [edge.edge for edge in self.edges if edge.agent and edge.agent.active == self.to]

    def failed(self) -> list[str]:
        """Edges that tried and refused, with their reason."""
        return [
            f"{edge.edge}: {edge.agent.reason or 'failed'}"
            for edge in self.edges
            if edge.agent and edge.agent.state == "Failed" and edge.agent.active != self.to
        ]

    def silent(self) -> list[str]:
        """Edges that are not updated and send no heartbeat."""
        done = set(self.updated())
        return [edge.edge for edge in self.edges if not edge.reporting and edge.edge not in done]


def desired(resource: Resource, seen: Observed, now: float) -> Plan:
    """The plan of a ModelPatch; raises InvalidSpec."""
    spec = parse(resource)
    move = spec.model
    release = ReleaseSpec(
        line=f"{resource.key.namespace}/{move.line}", from_digest=move.from_digest, to_digest=move.to_digest
    )
    return Plan((), FleetSpec(owner=owner_of(resource), release=release), _status(resource, spec, seen.fleet, now))


def _status(resource: Resource, spec: ModelPatch, fleet: FleetView | None, now: float) -> Mapping[str, Any]:
    known = resource.status.get("conditions") or ()
    ended = _ended(known, resource.generation)
    rollout = Rollout(fleet.edges if fleet else (), spec.model.to_digest)
    succeeded = ended or _succeeded(fleet, rollout)
    conditions = set_conditions(known, (succeeded, fleet_observed(fleet)), resource.generation, now)
    status: dict[str, Any] = {"observedGeneration": resource.generation, "conditions": conditions}
    if ended or fleet is None:
        return {**status, **{key: resource.status[key] for key in ("edges", "sequence") if key in resource.status}}
    status["edges"] = _figures(rollout)
    if fleet.release and fleet.release.sequence is not None:
        status["sequence"] = fleet.release.sequence
    return status


def _ended(known: Any, generation: int) -> Condition | None:
    """The verdict of earlier on this generation, if there was one."""
    found = find(known, "Succeeded")
    if found is None or found.get("observedGeneration") != generation:
        return None
    if found.get("status") not in ("True", "False") or found.get("reason") == "InvalidSpec":
        return None
    return Condition("Succeeded", found["status"], found["reason"], found.get("message", ""))


def _succeeded(fleet: FleetView | None, rollout: Rollout) -> Condition:
    if fleet is None:
        return Condition("Succeeded", "Unknown", "HubUnreachable", "the hub has not answered")
    release = fleet.release
    if release is None:
        return Condition("Succeeded", "Unknown", "WaitingForHub", "the hub has not taken the release yet")
    if release.state in _REFUSED:
        return Condition("Succeeded", "False", release.state, release.message or _REFUSED[release.state])
    if release.state != "Published":
        return Condition("Succeeded", "Unknown", release.state, release.message)
    return _rolled_out(rollout, fleet.line.digest if fleet.line else None)


def _rolled_out(rollout: Rollout, head: str | None) -> Condition:
    if not rollout.edges:
        return Condition("Succeeded", "True", "HeadMoved", "no edge follows the line")
    if len(rollout.updated()) == len(rollout.edges):
        return Condition("Succeeded", "True", "EdgesUpdated", "every edge of the line runs the new model")
    if head not in (None, rollout.to):
        return Condition("Succeeded", "False", "Superseded", f"{_REFUSED['Superseded']}: it is {head}")
    if failed := rollout.failed():
        return Condition("Succeeded", "Unknown", "EdgesFailing", named(failed))
    if silent := rollout.silent():
        return Condition("Succeeded", "Unknown", "WaitingForEdges", f"no heartbeat from {named(silent)}")
    return Condition("Succeeded", "Unknown", "RollingOut", "edges are taking the new model")


def _figures(rollout: Rollout) -> Mapping[str, Any]:
    updated, total = len(rollout.updated()), len(rollout.edges)
    failed = len(rollout.failed())
    return {"total": total, "updated": updated, "failed": failed, "summary": f"{updated}/{total}"}
