"""What becomes of hard examples after their frames were answered: receipts, late answers, crashes, long outages."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from umiak_workers.adapters.memory import FakeClock, settle
from umiak_workers.contract.config import MinerRule
from umiak_workers.contract.errors import IdentityError, Refused, Unavailable
from umiak_workers.contract.messages import Receipt

Make = Callable[..., Any]


async def answer(world: Any, clock: FakeClock, frames: int = 1, seconds: float = 2.0) -> list[str]:
    """Reasons of so many new frames, offered one after the other."""
    reasons = []
    for _ in range(frames):
        task = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
        await clock.advance(seconds)
        reasons.append(task.result().answer.reason)
    return reasons


async def deliver(world: Any, clock: FakeClock, seconds: float) -> None:
    """Run the delivery loop for a while."""
    task = asyncio.ensure_future(world.delivery.run())
    await clock.advance(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_examples_of_an_outage_are_delivered_once_and_become_revisions(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.cloud.error, world.cloud.seconds = Unavailable("refused"), 0.0
    assert await answer(world, clock, 5, 0.1) == ["CloudUnreachable"] * 5
    await deliver(world, clock, 200)
    assert await world.waiting() == 5
    world.cloud.error = None
    await deliver(world, clock, 60)
    assert await world.waiting() == 0
    assert sorted(world.hub.puts) == [f"edge-1/http/{number}" for number in range(5)]
    log = await world.log()
    assert [entry.revision for entry in log] == [0] * 5 + [1] * 5
    assert {entry.answered_by for entry in log[5:]} == {"cloud"}


async def test_after_an_outage_everything_goes_out_without_waiting_for_its_own_turn(
    inside: Make, clock: FakeClock
) -> None:
    world = inside()
    world.cloud.error, world.cloud.seconds = Unavailable("refused"), 0.0
    await answer(world, clock, 20, 0.1)
    await deliver(world, clock, 900)
    world.cloud.error = None
    await deliver(world, clock, 16)
    assert await world.waiting() == 0


async def test_without_a_receipt_the_example_stays_and_only_the_receipt_is_asked_for(
    inside: Make, clock: FakeClock
) -> None:
    world = inside()
    world.hub.up, world.hub.error = False, Unavailable("hub away")
    assert await answer(world, clock) == ["CloudAnswered"]
    await deliver(world, clock, 120)
    assert await world.waiting() == 1
    assert len(world.cloud.asked) == 1, "nothing is sent again before the hub has been asked"
    world.hub.up, world.hub.error = True, None
    await deliver(world, clock, 60)
    assert await world.waiting() == 0
    assert [header.answer for header in world.cloud.asked] == [True, False]
    assert [entry.revision for entry in await world.log()] == [0], "answered already, no revision"


async def test_a_stored_sample_whose_receipt_got_lost_is_not_sent_again(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.hub.up = False
    await answer(world, clock)
    header = world.cloud.asked[0]
    world.hub.stored[header.frame] = Receipt(
        frame=header.frame, digest=header.digest, outcome="stored", stored_at=clock.now()
    )
    await deliver(world, clock, 10)
    assert await world.waiting() == 0
    assert len(world.cloud.asked) == 1


async def test_a_rejection_is_a_decision_too(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.hub.up = False
    await answer(world, clock)
    header = world.cloud.asked[0]
    world.hub.stored[header.frame] = Receipt(
        frame=header.frame, digest=header.digest, outcome="rejected", reason="too large", stored_at=clock.now()
    )
    await deliver(world, clock, 10)
    assert await world.waiting() == 0


async def test_an_example_the_cloud_will_never_take_is_given_up_and_counted(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.cloud.error, world.cloud.seconds = Refused("not a photo", 422), 0.0
    assert await answer(world, clock) == ["CloudUnreachable"]
    fill = await world.queue.fill(clock.now())
    assert (fill.items, fill.dropped) == (0, 1)


@pytest.mark.parametrize("error", [IdentityError("whose token is this"), Refused("no such route", 404)])
async def test_what_an_operator_can_heal_is_kept(inside: Make, clock: FakeClock, error: Exception) -> None:
    world = inside()
    world.cloud.error, world.cloud.seconds = error, 0.0
    await answer(world, clock)
    await deliver(world, clock, 300)
    assert await world.waiting() == 1
    world.cloud.error = None
    await deliver(world, clock, 120)
    assert await world.waiting() == 0


async def test_a_hub_that_refuses_to_say_costs_no_example(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.hub.up, world.hub.error = False, Refused("bad request", 400)
    await answer(world, clock)
    await deliver(world, clock, 60)
    assert await world.waiting() == 1


async def test_one_example_that_always_fails_does_not_hold_up_the_others(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.cloud.error, world.cloud.seconds = Unavailable("refused"), 0.0
    await answer(world, clock, 4, 0.1)
    world.cloud.error = None
    honest = world.cloud.ask

    async def moody(header: Any, photo: bytes) -> Any:
        if header.frame.endswith("/0"):
            raise Unavailable("this one again")
        return await honest(header, photo)

    world.cloud.ask = moody
    await deliver(world, clock, 200)
    assert await world.queue.frames() == ["edge-1/http/0"]


async def test_tries_are_spaced_and_bounded(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.cloud.error, world.cloud.seconds = Unavailable("refused"), 0.0
    await answer(world, clock, 1, 0.1)
    asked = len(world.cloud.asked)
    await deliver(world, clock, 900)
    assert 10 <= len(world.cloud.asked) - asked <= 900 / 7.5


async def test_killed_between_example_and_answer_the_frame_is_answered_once_after_the_restart(
    inside: Make, clock: FakeClock
) -> None:
    world = inside()
    world.cloud.seconds = 100.0
    frame = await world.frame()
    task = asyncio.ensure_future(world.pipeline.answer(frame))
    await settle()
    assert await world.waiting() == 1
    assert await world.log() == []
    del task  # as if killed: the state folder is all that is left
    second = inside()
    second.edge.error = Unavailable("still starting")
    assert await second.recovery.find() == 1
    recovering = asyncio.ensure_future(second.recovery.run())
    delivering = asyncio.ensure_future(second.delivery.run())
    await clock.advance(5)
    assert not second.cloud.asked, "held back until it is answered"
    second.edge.error = None
    await clock.advance(1)
    assert recovering.done()
    log = await second.log()
    assert [(entry.frame, entry.revision, entry.reason) for entry in log] == [(frame.id, 0, "DeadlineNear")]
    assert log[0].rule == "ScoreMargin"
    await clock.advance(10)
    delivering.cancel()
    assert await second.waiting() == 0
    assert [entry.revision for entry in await second.log()] == [0, 1]
    fresh = await second.frame()
    assert fresh.id == "edge-1/http/1", "the number of the lost frame is not used again"


async def test_a_caller_that_comes_back_after_the_restart_gets_that_same_answer(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.cloud.seconds = 100.0
    asyncio.ensure_future(world.pipeline.answer(await world.frame(sequence=3)))  # noqa: RUF006
    await settle()
    second = inside()
    await second.recovery.find()
    recovering = asyncio.ensure_future(second.recovery.run())
    again = asyncio.ensure_future(second.pipeline.answer(await second.frame(sequence=3)))
    await clock.advance(5)
    assert recovering.done()
    assert len([entry for entry in await second.log() if entry.revision == 0]) == 1
    assert again.result().answer.frame == "edge-1/http/3"


async def test_a_receipt_that_was_lost_with_the_process_is_found_after_the_restart(
    inside: Make, clock: FakeClock
) -> None:
    world = inside(rules=(MinerRule(miner="CloudOnly"),))
    world.hub.up = False
    await answer(world, clock)
    second = inside()
    second.hub.stored = world.hub.stored
    assert await second.recovery.find() == 0
    await deliver(second, clock, 5)
    assert await second.waiting() == 0
    assert [header.answer for header in second.cloud.asked] == [False]
    assert len(await second.log()) == 1
