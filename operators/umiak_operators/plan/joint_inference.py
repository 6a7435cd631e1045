"""What a JointInference asks for: edge pods, a cloud worker, and the hub's part."""

from collections.abc import Mapping
from typing import Any

from umiak_operators.api.conditions import set_conditions
from umiak_operators.api.joint_inference import JointInference, parse
from umiak_operators.api.resource import Resource
from umiak_operators.plan import live, standing
from umiak_operators.plan.cloud import cloud_objects
from umiak_operators.plan.edges import Site, edge_objects, matching, may_keep_state
from umiak_operators.plan.model import Node, Observed, Plan
from umiak_operators.plan.objects import Obj
from umiak_operators.plan.owner import owner_of
from umiak_workers.contract.fleet import FleetSpec, FleetView, InitialModel, LineSpec, ReplaySpec


def desired(resource: Resource, seen: Observed, now: float) -> Plan:
    """The plan of a JointInference; raises InvalidSpec."""
    spec = parse(resource)
    nodes = matching(spec, seen.nodes)
    site = Site(resource, spec, seen.platform)
    children = _edges(site, seen, nodes)
    if spec.cloud is not None:
        children += cloud_objects(site, spec.cloud)
    return Plan(tuple(children), _fleet(site, nodes), _status(standing.Standing(resource, spec, seen, nodes), now))


def _edges(site: Site, seen: Observed, nodes: tuple[Node, ...]) -> list[Obj]:
    if not may_keep_state(seen):
        return []
    return [item for node in nodes for item in edge_objects(site, node)]


def _fleet(site: Site, nodes: tuple[Node, ...]) -> FleetSpec:
    model, replay = site.spec.edge.model, site.spec.replay
    return FleetSpec(
        owner=owner_of(site.resource),
        line=LineSpec(line=site.line, initial=InitialModel(uri=model.uri, digest=model.digest)),
        edges=tuple(node.name for node in nodes),
        replay=ReplaySpec(capacity=replay.capacity, retention_seconds=replay.retention_seconds()),
        settings=live.settings(site.spec, site.resource.generation),
    )


def _status(found: standing.Standing, now: float) -> Mapping[str, Any]:
    resource, fleet = found.resource, found.seen.fleet
    conditions = (standing.ready(found), standing.edges_reporting(found), standing.fleet_observed(fleet))
    known = resource.status.get("conditions") or ()
    return {
        "observedGeneration": resource.generation,
        "conditions": set_conditions(known, conditions, resource.generation, now),
        "edges": _edge_figures(found),
        **_fleet_figures(found.spec, resource, fleet),
    }


def _edge_figures(found: standing.Standing) -> Mapping[str, Any]:
    fleet, desired_edges, ready = found.seen.fleet, len(found.nodes), len(found.available())
    figures: dict[str, Any] = {"desired": desired_edges, "ready": ready, "summary": f"{ready}/{desired_edges}"}
    before = (found.resource.status.get("edges") or {}).get("reporting")
    reporting = before if fleet is None else len(standing.reporting(fleet))
    return figures if reporting is None else {**figures, "reporting": reporting}


def _fleet_figures(spec: JointInference, resource: Resource, fleet: FleetView | None) -> Mapping[str, Any]:
    """Line and replay as the hub holds them; the last known ones while it is away."""
    if fleet is None:
        return {key: resource.status[key] for key in ("line", "replay") if key in resource.status}
    figures: dict[str, Any] = {}
    if fleet.line is not None:
        digest = {"digest": fleet.line.digest} if fleet.line.digest else {}
        figures["line"] = {"name": fleet.line.line, "sequence": fleet.line.sequence, **digest}
    if fleet.replay is not None:
        figures["replay"] = {"samples": fleet.replay.samples, "watermark": fleet.replay.watermark}
    return figures
