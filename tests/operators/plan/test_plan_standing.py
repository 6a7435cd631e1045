"""Conditions and figures of a JointInference: what each state of the world is called."""

from dataclasses import replace
from typing import Any

import pytest

from umiak_operators.plan.desired import desired
from umiak_operators.plan.model import Child
from umiak_workers.contract.fleet import EdgeView, LineView, ReplayView

NOW = 1e9


def child(name: str, readiness: Any = "Ready", message: str = "") -> Child:
    return Child("Deployment", name, f"uid-{name}", readiness, message)


ALL = (child("yard-edge-n1"), child("yard-edge-n2"), child("yard-cloud"))


@pytest.mark.parametrize(
    ("children", "min_ready", "expected"),
    [
        (ALL, 2, ("True", "Available")),
        ((), 1, ("False", "EdgesProgressing")),
        ((child("yard-edge-n1"), child("yard-cloud")), 1, ("True", "Available")),
        ((child("yard-edge-n1"), child("yard-cloud")), 2, ("False", "EdgesProgressing")),
        ((child("yard-edge-n1", "Failed", "ImagePullBackOff"), child("yard-cloud")), 1, ("False", "EdgesFailed")),
        ((child("yard-edge-n1"), child("yard-cloud", "Progressing")), 1, ("False", "CloudProgressing")),
        ((child("yard-edge-n1"), child("yard-cloud", "Failed")), 1, ("False", "CloudFailed")),
        ((child("yard-cloud"),), 0, ("True", "Available")),
        (ALL, 3, ("False", "TooFewNodes")),
    ],
)
def test_ready(world: Any, condition: Any, children: Any, min_ready: int, expected: tuple[str, str]) -> None:
    plan = desired(world.joint(edge=world.edge(minReady=min_ready)), world.seen(children=children), NOW)
    assert condition(plan, "Ready") == expected


def test_no_node_matches(world: Any, condition: Any) -> None:
    plan = desired(world.joint(), world.seen(nodes=()), NOW)
    assert condition(plan, "Ready") == ("False", "NoMatchingNodes")
    assert "zone=a" in plan.status["conditions"][0]["message"]


def test_a_failed_edge_is_named_with_its_message(world: Any) -> None:
    seen = world.seen(children=(child("yard-edge-n2", "Failed", "no such image"),))
    assert "n2: no such image" in desired(world.joint(), seen, NOW).status["conditions"][0]["message"]


def other(world: Any, name: str, created: str, mark: int) -> Any:
    model = {"line": "scene", "uri": "builtin:other", "digest": world.digest(mark)}
    return world.joint(name, created, edge=world.edge(model=model))


@pytest.mark.parametrize(
    ("name", "created", "mark", "expected"),
    [
        ("elder", "2025-01-01T00:00:00Z", 7, ("False", "LineConflict")),
        ("elder", "2025-01-01T00:00:00Z", 1, ("True", "Available")),
        ("younger", "2027-01-01T00:00:00Z", 7, ("True", "Available")),
    ],
)
def test_the_elder_names_the_initial_model(
    world: Any, condition: Any, name: str, created: str, mark: int, expected: tuple[str, str]
) -> None:
    seen = world.seen(children=ALL, related=(other(world, name, created, mark),))
    assert condition(desired(world.joint(), seen, NOW), "Ready") == expected


def test_a_broken_neighbour_is_no_conflict(world: Any, condition: Any) -> None:
    broken = replace(world.joint("broken", "2020-01-01T00:00:00Z"), spec={"edge": 1})
    assert condition(desired(world.joint(), world.seen(children=ALL, related=(broken,)), NOW), "Ready")[0] == "True"


@pytest.mark.parametrize(("head", "reason"), [(None, "LineNotStarted"), (7, "LineConflict")])
def test_what_the_hub_says_of_the_line(world: Any, condition: Any, head: int | None, reason: str) -> None:
    digest = None if head is None else world.digest(head)
    line = LineView(line="site/scene", digest=digest, sequence=0, conflict="builtin:scene has another digest")
    seen = world.seen(children=ALL, fleet=world.view(world.joint(), line=line))
    plan = desired(world.joint(), seen, NOW)
    assert condition(plan, "Ready") == ("False", reason)
    assert plan.status["conditions"][0]["message"] == "builtin:scene has another digest"


def fleet(world: Any, *reporting: bool) -> Any:
    edges = tuple(EdgeView(edge=f"n{index + 1}", reporting=one) for index, one in enumerate(reporting))
    line = LineView(line="site/scene", digest=world.digest(1), sequence=4)
    return world.view(world.joint(), edges=edges, line=line, replay=ReplayView(watermark=9, samples=7))


@pytest.mark.parametrize(
    ("reporting", "expected"),
    [
        ((True, True), ("True", "AllReporting")),
        ((True, False), ("False", "EdgesSilent")),
        ((True,), ("False", "EdgesSilent")),
    ],
)
def test_silent_edges_do_not_gate_ready(
    world: Any, condition: Any, reporting: tuple[bool, ...], expected: tuple[str, str]
) -> None:
    plan = desired(world.joint(), world.seen(children=ALL, fleet=fleet(world, *reporting)), NOW)
    assert condition(plan, "EdgesReporting") == expected
    assert condition(plan, "Ready") == ("True", "Available")
    assert condition(plan, "FleetObserved") == ("True", "HubAnswered")


def test_figures(world: Any) -> None:
    plan = desired(world.joint(), world.seen(children=ALL[1:], fleet=fleet(world, True, False)), NOW)
    assert plan.status["edges"] == {"desired": 2, "ready": 1, "reporting": 1, "summary": "1/2"}
    assert plan.status["line"] == {"name": "site/scene", "digest": world.digest(1), "sequence": 4}
    assert plan.status["replay"] == {"samples": 7, "watermark": 9}


def test_figures_outlive_the_hub(world: Any, condition: Any) -> None:
    with_hub = desired(world.joint(), world.seen(children=ALL, fleet=fleet(world, True, True)), NOW)
    without = desired(replace(world.joint(), status=with_hub.status), world.seen(children=ALL[:1]), NOW + 60)
    assert condition(without, "FleetObserved") == ("Unknown", "HubUnreachable")
    assert condition(without, "EdgesReporting") == ("Unknown", "HubUnreachable")
    assert without.status["edges"] == {"desired": 2, "ready": 1, "reporting": 2, "summary": "1/2"}
    assert (without.status["line"], without.status["replay"]) == (with_hub.status["line"], with_hub.status["replay"])


def test_the_hub_is_told_everything_once(world: Any) -> None:
    plan = desired(world.joint(replay={"capacity": 5, "retention": "2h"}), world.seen(), NOW)
    assert plan.fleet is not None
    assert plan.fleet.owner.uid == "uid-yard"
    assert plan.fleet.line is not None
    assert (plan.fleet.line.line, plan.fleet.line.initial.digest) == ("site/scene", world.digest(1))
    assert plan.fleet.edges == ("n1", "n2")
    assert plan.fleet.replay is not None
    assert (plan.fleet.replay.capacity, plan.fleet.replay.retention_seconds) == (5, 7200)
    assert plan.fleet.settings is not None
    assert (plan.fleet.settings.budget, plan.fleet.settings.deadline_milliseconds) == (0.2, 2000)


def test_bytes_money_and_knots_travel_too(world: Any) -> None:
    miners = [
        {"miner": "Entropy", "threshold": 0.05, "calibration": [[0.2, 0], [0.8, 0.3]]},
        {"miner": "ScoreMargin", "bytesPerSecond": 20000},
        {"miner": "Random", "cost": {"perHour": 1.5, "perUpload": 0.01}},
    ]
    plan = desired(world.joint(hardExamples={"miners": miners}), world.seen(), NOW)
    assert plan.fleet is not None
    assert plan.fleet.settings is not None
    first, second, third = plan.fleet.settings.rules
    assert (first.threshold, first.calibration) == (0.05, ((0.2, 0), (0.8, 0.3)))
    assert second.bytes_per_second == 20_000
    assert third.cost is not None
    assert (third.cost.per_hour, third.cost.per_upload, third.cost.per_megabyte) == (1.5, 0.01, 0.0)


def test_several_rules_travel_by_position(world: Any) -> None:
    miners = [{"miner": "EdgeOnly"}, {"miner": "Random", "budget": 0.1}, {"miner": "ScoreMargin", "threshold": 0.4}]
    plan = desired(world.joint(hardExamples={"miners": miners}), world.seen(), NOW)
    assert plan.fleet is not None
    settings = plan.fleet.settings
    assert settings is not None
    assert [(rule.miner, rule.threshold, rule.budget) for rule in settings.rules] == [
        ("EdgeOnly", None, None),
        ("Random", None, 0.1),
        ("ScoreMargin", 0.4, None),
    ]
    assert (settings.threshold, settings.budget) == (None, 0.1)
