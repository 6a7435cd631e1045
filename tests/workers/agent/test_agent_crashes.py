"""Kill the agent at every single step of everything it does: one whole published model stays in force (I2), no accepted
sequence is forgotten (I3), and the next start finishes the work."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from umiak_workers.agent.ledger import read_ledger

Story = Callable[[Any], None]


def first_model(world: Any) -> None:
    world.hub.release(1, world.hub.publish(1.0))


def initial_model(world: Any) -> None:
    world.hub.away = True


def next_model(world: Any) -> None:
    world.hub.release(1, world.hub.publish(1.0))
    world.settle(world.agent())
    world.hub.release(2, world.hub.publish(2.0))


def third_model(world: Any) -> None:
    next_model(world)
    world.settle(world.agent())
    world.hub.release(3, world.hub.publish(3.0))


def refused_model(world: Any) -> None:
    next_model(world)
    world.edge.bad.add(world.hub.publish(2.0))


def damaged_slot(world: Any) -> None:
    world.hub.release(1, world.hub.publish(1.0))
    world.settle(world.agent())
    (world.slots.folder(world.slots.read_current().slot) / "weights.safetensors").write_bytes(b"damaged")
    world.edge.active = None


STORIES = [first_model, initial_model, third_model, refused_model, damaged_slot]


@pytest.mark.parametrize("edge_survives", [True, False], ids=["agent alone", "whole pod"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_i2_every_prefix_of_the_steps_leaves_one_whole_model(
    new_world: Callable[[], Any], killed: Any, monkeypatch: pytest.MonkeyPatch, story: Story, edge_survives: bool
) -> None:
    moment = 0
    while True:
        moment += 1
        world = new_world()
        story(world)
        before, sequence = world.slots.read_current(), read_ledger(world.state).sequence
        agent = world.agent()
        with world.killed_at(moment, monkeypatch) as count, contextlib.suppress(killed):
            world.settle(agent, 2)
        died = count[0] >= moment
        _check(world, story, before, sequence, edge_survives)
        if not died:
            break
    assert moment > 15, "the story has fewer steps than an installation needs"


def _check(world: Any, story: Story, before: Any, sequence: int, edge_survives: bool) -> None:
    if before is not None and story is not damaged_slot:
        assert world.in_force() is not None
    assert read_ledger(world.state).sequence >= sequence
    if not edge_survives:
        if story is damaged_slot:
            world.edge.active = None
        else:
            world.edge.start()
            assert world.edge.active == world.in_force()
    world.settle(world.agent(), 4)
    _finished(world, story)


def _finished(world: Any, story: Story) -> None:
    """After a start without faults everything is as if nothing had happened."""
    ledger, digest = read_ledger(world.state), world.in_force()
    assert digest is not None
    assert world.edge.active == digest
    assert world.slots.is_good(digest)
    if story is refused_model:
        assert ledger.sequence == 1
        assert world.edge.loads.count(next(iter(world.edge.bad))) <= 4
    elif story is initial_model:
        assert digest == world.initial.digest
    else:
        assert ledger.accepted.sequence == {first_model: 1, third_model: 3, damaged_slot: 1}[story]
        assert ledger.accepted.digest == digest
        assert ledger.trial is None
    leftovers = [path.name for path in (world.state / "slots").iterdir() if path.name not in ("a", "b")]
    assert leftovers == []
