"""A ModelPatch reports what edges really run, ends once, and never loops."""

from dataclasses import replace
from typing import Any

import pytest

from umiak_operators.plan.desired import desired
from umiak_workers.contract.fleet import EdgeView, LineView, ReleaseView
from umiak_workers.contract.messages import AgentState

NOW = 1e9


def edge(world: Any, name: str, active: int | None, state: Any = "Idle", reporting: bool = True) -> EdgeView:
    digest = None if active is None else world.digest(active)
    agent = AgentState(line="site/scene", active=digest, sequence=2, state=state, reason="BadSignature", at=1.0)
    return EdgeView(edge=name, reporting=reporting, agent=agent)


def view(world: Any, state: Any, *edges: EdgeView, message: str = "", head: int = 2) -> Any:
    release = ReleaseView(state=state, message=message, sequence=2 if state == "Published" else None)
    line = LineView(line="site/scene", digest=world.digest(head), sequence=2)
    return world.view(world.patch(), release=release, edges=edges, line=line)


def plan(world: Any, fleet: Any, status: Any = None) -> Any:
    return desired(world.patch(status), world.seen(fleet=fleet), NOW)


def test_the_hub_is_asked_to_move_the_head(world: Any) -> None:
    found = plan(world, None)
    assert found.children == ()
    release = found.fleet.release
    assert (release.line, release.from_digest, release.to_digest) == ("site/scene", world.digest(1), world.digest(2))


@pytest.mark.parametrize("state", ["WaitingForModel", "WaitingForLine", "WaitingForSignature"])
def test_waiting_is_unknown_with_the_hubs_reason(world: Any, condition: Any, state: str) -> None:
    assert condition(plan(world, view(world, state)), "Succeeded") == ("Unknown", state)


def test_no_hub_and_a_hub_that_has_not_read_it_yet(world: Any, condition: Any) -> None:
    assert condition(plan(world, None), "Succeeded") == ("Unknown", "HubUnreachable")
    assert condition(plan(world, world.view(world.patch())), "Succeeded") == ("Unknown", "WaitingForHub")


@pytest.mark.parametrize(
    ("edges", "expected", "summary"),
    [
        ([], ("True", "HeadMoved"), "0/0"),
        ([("a", 2, "Idle", True)], ("True", "EdgesUpdated"), "1/1"),
        ([("a", 2, "Idle", False)], ("True", "EdgesUpdated"), "1/1"),
        ([("a", 2, "Idle", True), ("b", 1, "Downloading", True)], ("Unknown", "RollingOut"), "1/2"),
        ([("a", 2, "Idle", True), ("b", 1, "Idle", False)], ("Unknown", "WaitingForEdges"), "1/2"),
        ([("a", 1, "Failed", True), ("b", 1, "Idle", False)], ("Unknown", "EdgesFailing"), "0/2"),
        ([("a", None, "Downloading", True)], ("Unknown", "RollingOut"), "0/1"),
    ],
)
def test_published_counts_what_edges_run(
    world: Any, condition: Any, edges: list[tuple[Any, ...]], expected: tuple[str, str], summary: str
) -> None:
    found = plan(world, view(world, "Published", *(edge(world, *parts) for parts in edges)))
    assert condition(found, "Succeeded") == expected
    assert found.status["edges"]["summary"] == summary
    assert found.status["sequence"] == 2


def test_an_edge_that_never_spoke_counts_as_not_updated(world: Any, condition: Any) -> None:
    found = plan(world, view(world, "Published", EdgeView(edge="a", reporting=False)))
    assert condition(found, "Succeeded") == ("Unknown", "WaitingForEdges")
    assert found.status["edges"] == {"total": 1, "updated": 0, "failed": 0, "summary": "0/1"}


def test_a_failing_edge_is_named_with_its_reason(world: Any) -> None:
    found = plan(world, view(world, "Published", edge(world, "a", 1, "Failed")))
    assert found.status["conditions"][0]["message"] == "a: BadSignature"
    assert found.status["edges"]["failed"] == 1


@pytest.mark.parametrize("state", ["Superseded", "Conflict"])
def test_a_refused_move_ends_it_for_good(world: Any, condition: Any, state: str) -> None:
    found = plan(world, view(world, state, edge(world, "a", 1), message="the head is sha256:3", head=3))
    assert condition(found, "Succeeded") == ("False", state)
    later = plan(world, view(world, "Published", edge(world, "a", 2)), found.status)
    assert condition(later, "Succeeded") == ("False", state)
    assert later.status["edges"] == found.status["edges"]


def test_a_release_that_was_overtaken_ends(world: Any, condition: Any) -> None:
    edges = (edge(world, "a", 2), edge(world, "b", 3))
    found = plan(world, view(world, "Published", *edges, head=3))
    assert condition(found, "Succeeded") == ("False", "Superseded")
    assert world.digest(3) in found.status["conditions"][0]["message"]


def test_success_stays_when_the_line_moves_on(world: Any, condition: Any) -> None:
    done = plan(world, view(world, "Published", edge(world, "a", 2)))
    later = plan(world, view(world, "Superseded", edge(world, "a", 3), head=3), done.status)
    assert condition(later, "Succeeded") == ("True", "EdgesUpdated")
    assert (later.status["edges"], later.status["sequence"]) == (done.status["edges"], 2)


def test_an_invalid_spec_of_earlier_is_no_verdict(world: Any, condition: Any) -> None:
    status = {"conditions": [{"type": "Succeeded", "status": "False", "reason": "InvalidSpec"}]}
    found = plan(world, view(world, "Published", edge(world, "a", 2)), status)
    assert condition(found, "Succeeded") == ("True", "EdgesUpdated")


def test_a_verdict_on_another_generation_is_none(world: Any, condition: Any) -> None:
    refused = plan(world, view(world, "Conflict", head=3))
    fleet = view(world, "Published", edge(world, "a", 2))
    later = desired(replace(world.patch(refused.status), generation=2), world.seen(fleet=fleet), NOW)
    assert condition(later, "Succeeded") == ("True", "EdgesUpdated")
    assert later.status["edges"]["summary"] == "1/1"


def test_figures_outlive_the_hub(world: Any, condition: Any) -> None:
    fleet = view(world, "Published", edge(world, "a", 2), edge(world, "b", 1))
    before = plan(world, fleet)
    after = plan(world, None, before.status)
    assert after.status["edges"] == before.status["edges"]
    assert condition(after, "FleetObserved") == ("Unknown", "HubUnreachable")


def test_a_second_look_changes_nothing(world: Any) -> None:
    fleet = view(world, "Published", edge(world, "a", 2), edge(world, "b", 1))
    first = plan(world, fleet)
    again = desired(replace(world.patch(), status=first.status), world.seen(fleet=fleet), NOW + 100)
    assert again == first
