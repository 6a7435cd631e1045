"""What the agent does in a world that behaves, misbehaves and comes back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from umiak_workers.agent.ledger import read_ledger
from umiak_workers.agent.loop import LONGEST_WAIT, pause
from umiak_workers.contract.errors import MessageError


def test_an_empty_edge_takes_the_head_of_its_line(world: Any) -> None:
    digest = world.hub.publish(1.0)
    world.hub.release(1, digest)
    world.settle(world.agent())
    assert world.in_force() == world.edge.active == digest
    assert world.slots.is_good(digest)
    assert read_ledger(world.state).sequence == 1
    last = world.hub.reports[-1]
    assert (last.state, last.active, last.sequence, last.wanted) == ("Idle", digest, 1, digest)
    assert {"Downloading", "Installing"} <= {report.state for report in world.hub.reports}


@pytest.mark.parametrize("away", [True, False])
def test_an_empty_edge_starts_with_the_initial_model_while_there_is_no_head(world: Any, away: bool) -> None:
    world.hub.away = away
    world.settle(world.agent())
    assert world.in_force() == world.edge.active == world.initial.digest
    assert world.hub.sent == 0
    assert read_ledger(world.state).sequence == 0


def test_the_first_release_of_the_initial_model_is_taken_without_a_download(world: Any) -> None:
    world.hub.away = True
    agent = world.agent()
    world.settle(agent)
    world.hub.away = False
    world.hub.release(1, world.initial.digest)
    world.settle(agent)
    assert world.hub.sent == 0
    assert read_ledger(world.state).sequence == 1
    assert world.hub.reports[-1].sequence == 1


def test_an_initial_model_of_another_digest_is_not_used(world: Any) -> None:
    world.hub.away = True
    world.initial = world.initial.model_copy(update={"digest": "sha256:" + "1" * 64})
    world.settle(world.agent())
    assert world.in_force() is None
    assert world.edge.active is None


def test_a_new_head_replaces_the_model_and_leaves_the_old_one_in_the_other_slot(world: Any) -> None:
    first, second = world.hub.publish(1.0), world.hub.publish(2.0)
    agent = world.agent()
    world.hub.release(1, first)
    world.settle(agent)
    world.hub.release(2, second)
    world.settle(agent)
    assert world.in_force() == world.edge.active == second
    assert world.slots.held(world.slots.other_slot()) == first


def test_a_release_back_to_the_model_of_the_other_slot_needs_no_download(world: Any) -> None:
    first, second = world.hub.publish(1.0), world.hub.publish(2.0)
    agent = world.agent()
    for sequence, digest in ((1, first), (2, second)):
        world.hub.release(sequence, digest)
        world.settle(agent)
    sent = world.hub.sent
    world.hub.release(3, first)
    world.settle(agent)
    assert world.in_force() == first
    assert world.hub.sent == sent
    assert read_ledger(world.state).sequence == 3


class TestDistrust:
    """Nothing unsigned, strange, foreign or old moves an edge."""

    @pytest.fixture
    def running(self, world: Any) -> Any:
        world.hub.release(5, world.hub.publish(1.0))
        world.settle(world.agent())
        return world

    @pytest.mark.parametrize(
        ("attack", "words"),
        [
            (lambda w, key: w.hub.release(6, w.hub.publish(2.0), key=key), "no key that is trusted"),
            (lambda w, key: w.hub.release(6, w.hub.publish(2.0), line="yard/other"), "yard/other"),
            (lambda w, key: w.hub.release(4, w.hub.publish(2.0)), "older"),
            (lambda w, key: w.hub.release(5, w.hub.publish(2.0)), "accepted before"),
        ],
        ids=["stranger", "other line", "older", "same sequence"],
    )
    def test_i3_is_refused_and_said(self, running: Any, stranger: Any, attack: Any, words: str) -> None:
        before, sent = running.in_force(), running.hub.sent
        attack(running, stranger)
        running.settle(running.agent())
        assert running.in_force() == running.edge.active == before
        assert running.hub.sent == sent
        assert running.hub.reports[-1].state == "Failed"
        assert words in running.hub.reports[-1].reason
        assert running.hub.reports[-1].sequence == 5

    def test_an_edge_without_its_slots_does_not_go_back_to_the_initial_model(self, running: Any) -> None:
        (running.state / "current").unlink()
        running.edge.start()
        running.hub.away = True
        running.settle(running.agent())
        assert running.in_force() is None

    def test_an_unreadable_ledger_stops_the_agent_with_its_name(self, running: Any) -> None:
        (running.state / "agent.json").write_text("{")
        with pytest.raises(MessageError, match=r"agent\.json"):
            running.agent().step()


class TestDownloads:
    def test_a_corrupt_download_is_refused_and_the_old_model_serves(self, world: Any) -> None:
        first, second = world.hub.publish(1.0), world.hub.publish(2.0)
        agent = world.agent()
        world.hub.release(1, first)
        world.settle(agent)
        world.hub.release(2, second)
        world.hub.corrupt = True
        world.settle(agent)
        assert world.in_force() == world.edge.active == first
        assert second not in world.edge.loads
        assert world.hub.reports[-1].state == "Failed"
        assert "do not have digest" in world.hub.reports[-1].reason
        world.hub.corrupt = False
        world.settle(agent)
        assert world.in_force() == world.edge.active == second

    def test_a_broken_download_goes_on_where_it_was_even_after_a_restart(self, world: Any) -> None:
        digest = world.hub.publish(1.0)
        world.hub.release(1, digest)
        size = sum(file.stat().st_size for file in world.hub.models[digest].iterdir() if file.name != "manifest.json")
        world.hub.break_after = size // 2
        world.agent().step()
        assert world.hub.reports[-1].state == "Downloading"
        assert "connection lost" in world.hub.reports[-1].reason
        world.settle(world.agent())
        assert world.in_force() == digest
        assert world.hub.sent == size

    def test_half_downloads_of_other_models_are_removed(self, world: Any) -> None:
        first, second = world.hub.publish(1.0), world.hub.publish(2.0)
        world.hub.release(1, first)
        world.hub.break_after = 1000
        world.agent().step()
        assert list((world.state / "slots").glob("*.part"))
        world.hub.release(2, second)
        world.settle(world.agent())
        assert not list((world.state / "slots").glob("*.part"))

    def test_a_model_that_is_too_large_is_refused_before_its_bytes_come(self, world: Any) -> None:
        agent = world.agent()
        agent._config = agent._config.model_copy(update={"max_artefact_bytes": 4096})
        world.hub.release(1, world.hub.publish(1.0, side=64))
        agent.step()
        assert world.hub.sent == 0
        assert "at most 4096" in world.hub.reports[-1].reason


class TestRefusingEdge:
    def test_a_model_that_fails_its_golden_input_is_tried_three_times_and_not_hammered(self, world: Any) -> None:
        first, second = world.hub.publish(1.0), world.hub.publish(2.0)
        agent = world.agent()
        world.hub.release(1, first)
        world.settle(agent)
        world.edge.bad.add(second)
        world.hub.release(2, second)
        world.settle(agent, 5)
        world.settle(world.agent(), 5)
        assert world.edge.loads.count(second) == 3
        assert world.in_force() == world.edge.active == first
        assert world.slots.held(world.slots.other_slot()) is None
        last = world.hub.reports[-1]
        assert (last.state, last.sequence, last.wanted) == ("Failed", 1, second)
        assert "golden input" in last.reason
        sent = world.hub.sent
        world.settle(world.agent(), 5)
        assert world.hub.sent == sent

    def test_the_next_release_is_tried_again(self, world: Any) -> None:
        bad, good = world.hub.publish(2.0), world.hub.publish(3.0)
        world.edge.bad.add(bad)
        world.hub.release(2, bad)
        world.settle(world.agent(), 8)
        assert world.in_force() == world.initial.digest
        world.hub.release(3, good)
        world.settle(world.agent())
        assert world.in_force() == world.edge.active == good
        assert world.hub.reports[-1].state == "Idle"

    def test_a_model_that_kills_the_edge_is_given_up(self, world: Any) -> None:
        first, second = world.hub.publish(1.0), world.hub.publish(2.0)
        agent = world.agent()
        world.hub.release(1, first)
        world.settle(agent)
        world.edge.deadly.add(second)
        world.hub.release(2, second)
        world.settle(agent, 8)
        assert world.edge.loads.count(second) == 3
        assert world.in_force() == world.edge.active == first
        assert world.hub.reports[-1].state == "Failed"

    def test_an_edge_that_is_still_starting_costs_no_try(self, world: Any) -> None:
        world.edge.up = False
        world.hub.release(1, world.hub.publish(1.0))
        agent = world.agent()
        world.settle(agent, 8)
        assert read_ledger(world.state).trial is None
        assert "edge" in world.hub.reports[-1].reason
        sent = world.hub.sent
        world.edge.start()
        world.settle(agent)
        assert world.edge.active == world.in_force()
        assert world.in_force() is not None
        assert world.hub.sent == sent


class TestRestartedEdge:
    def test_an_edge_that_serves_something_else_is_brought_to_the_slot_in_force(self, world: Any) -> None:
        world.hub.release(1, world.hub.publish(1.0))
        world.settle(world.agent())
        world.edge.active = None
        world.hub.away = True
        world.settle(world.agent())
        assert world.edge.active == world.in_force()

    def test_a_damaged_slot_in_force_is_replaced(self, world: Any) -> None:
        digest = world.hub.publish(1.0)
        world.hub.release(1, digest)
        world.settle(world.agent())
        weights = world.slots.folder(world.slots.read_current().slot) / "weights.safetensors"
        weights.write_bytes(b"damaged")
        world.edge.active = None
        world.settle(world.agent())
        assert world.in_force() == world.edge.active == digest

    def test_the_other_slot_comes_back_into_force_when_the_edge_fell_back_to_it(self, world: Any) -> None:
        first, second = world.hub.publish(1.0), world.hub.publish(2.0)
        agent = world.agent()
        world.hub.release(1, first)
        world.settle(agent)
        world.hub.release(2, second)
        world.settle(agent)
        (world.state / "good" / second.replace(":", "-")).unlink()
        for _ in range(3):
            world.slots.begin_attempt(second)
        world.edge.bad.add(second)
        world.edge.start()
        assert world.edge.active == first
        world.hub.away = True
        world.settle(world.agent())
        assert world.in_force() == world.edge.active == first
        assert read_ledger(world.state).sequence == 2
        world.hub.away = False
        world.settle(world.agent())
        assert world.hub.reports[-1].state == "Failed"
        assert world.in_force() == first


def test_waits_grow_to_a_bound_and_start_again_after_success(world: Any, tmp_path: Path) -> None:
    world.hub.release(1, "sha256:" + "2" * 64)
    agent = world.agent()
    waits = [agent.step() for _ in range(12)]
    assert waits[-1] <= LONGEST_WAIT * 1.1
    assert waits[-1] > LONGEST_WAIT * 0.8
    assert waits[2] > 3 * waits[0] / 1.3
    world.hub.release(2, world.hub.publish(1.0))
    world.settle(agent)
    assert agent.step() <= 1.1


def test_pauses_differ_between_edges() -> None:
    assert len({pause(10, 0, np.random.default_rng(seed)) for seed in range(20)}) == 20
