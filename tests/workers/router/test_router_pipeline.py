"""The way of a frame on a clock moved by hand: one final answer, by its deadline, whatever the cloud does."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from umiak_workers.adapters.memory import FakeClock, settle
from umiak_workers.contract.config import Bounds, MinerRule
from umiak_workers.contract.errors import InvalidInput, InvalidPrediction, MessageError, Refused, Unavailable
from umiak_workers.core.mask_png import decode_mask

Make = Callable[..., Any]
ALL_HARD = (MinerRule(miner="CloudOnly"),)


async def answered(world: Any, clock: FakeClock, frame: Any, seconds: float = 60) -> Any:
    """The outcome, moving the clock as far as it takes."""
    task = asyncio.ensure_future(world.pipeline.answer(frame))
    await clock.advance(seconds)
    assert task.done()
    return task.result()


async def test_an_easy_frame_is_answered_by_the_edge_alone(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.edge.margin, world.edge.seconds = 0.9, 0.1
    outcome = await answered(world, clock, await world.frame())
    answer = outcome.answer
    assert (answer.answered_by, answer.reason, answer.rule, answer.revision) == ("edge", "Easy", "", 0)
    assert answer.stages_milliseconds == {"edge": 100, "judge": 0, "log": 0, "total": 100}
    assert not world.cloud.asked
    assert await world.waiting() == 0
    assert decode_mask(outcome.payloads.final).max() == 0


async def test_a_hard_frame_is_fused_and_its_receipt_empties_the_queue(inside: Make, clock: FakeClock) -> None:
    world = inside()
    outcome = await answered(world, clock, await world.frame(), seconds=0.3)
    answer = outcome.answer
    assert (answer.answered_by, answer.reason, answer.rule) == ("cloud", "CloudAnswered", "ScoreMargin")
    assert answer.stages_milliseconds["cloud"] == 300
    assert answer.cloud_models
    assert answer.bytes_up > 0
    assert answer.bytes_down == 40
    assert (decode_mask(outcome.payloads.final) == 7).all()
    assert decode_mask(outcome.payloads.edge).max() == 0
    assert await world.waiting() == 0
    assert world.hub.puts == ["edge-1/http/0"]


@pytest.mark.parametrize(("patient", "late"), [(True, 0), (False, 8)])
async def test_a_backlog_that_nobody_waits_for_is_due_turn_by_turn(
    inside: Make, clock: FakeClock, patient: bool, late: int
) -> None:
    world = inside(in_flight=8)
    world.edge.seconds = 1.0
    frames = [replace(await world.frame(), patient=patient) for _ in range(12)]
    tasks = [asyncio.ensure_future(world.pipeline.answer(frame)) for frame in frames]
    await clock.advance(20)
    assert [task.result().answer.reason for task in tasks].count("DeadlineNear") == late


async def test_a_late_cloud_means_the_edge_answers_exactly_at_the_reserve_before_the_deadline(
    inside: Make, clock: FakeClock
) -> None:
    world = inside()
    world.edge.seconds, world.cloud.seconds = 0.2, 5.0
    frame = await world.frame()
    task = asyncio.ensure_future(world.pipeline.answer(frame))
    await clock.advance(1.949)
    assert not task.done()
    await clock.advance(0.001)
    answer = task.result().answer
    assert (answer.answered_by, answer.reason) == ("edge", "DeadlineNear")
    assert answer.answered_at == pytest.approx(frame.captured_at + 2.0 - 0.05)
    assert await world.waiting() == 1, "not lost before there is a receipt"
    await clock.advance(3.3)
    assert [(one.revision, one.answered_by) for one in await world.log()] == [(0, "edge"), (1, "cloud")]
    assert (await world.log())[1].stages_milliseconds["cloud"] == pytest.approx(5000)
    assert await world.waiting() == 0
    late = await world.answers.find(frame.id, 1)
    assert (decode_mask(late.payloads.final) == 7).all()


async def test_an_answer_that_comes_just_in_time_counts(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.cloud.seconds = 1.95
    assert (await answered(world, clock, await world.frame(), 1.95)).answer.reason == "CloudAnswered"


@pytest.mark.parametrize(
    "error", [Unavailable("refused"), Refused("no", 400), MessageError("nonsense"), Refused("gone", 404)]
)
async def test_a_cloud_that_cannot_be_asked_costs_no_waiting(inside: Make, clock: FakeClock, error: Exception) -> None:
    world = inside()
    world.cloud.error, world.cloud.seconds = error, 0.0
    answer = (await answered(world, clock, await world.frame(), 0.0)).answer
    assert (answer.answered_by, answer.reason) == ("edge", "CloudUnreachable")
    assert answer.stages_milliseconds["total"] == 0


async def test_a_reply_that_does_not_fit_the_frame_is_no_answer(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.cloud.width = 99
    answer = (await answered(world, clock, await world.frame())).answer
    assert (answer.answered_by, answer.reason) == ("edge", "CloudUnreachable")


async def test_an_absent_cloud_costs_only_the_first_frames_their_wait(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.cloud.error, world.cloud.seconds = Unavailable("no route"), 1.0
    waits = []
    for _ in range(10):
        begun = clock.monotonic()
        task = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
        while not task.done():
            await clock.advance(0.05)
        assert task.result().answer.reason == "CloudUnreachable"
        waits.append(round(clock.monotonic() - begun, 2))
    assert waits[:2] == [1.0, 1.0]
    assert sum(waits[2:]) <= 1.0, "at most one probe"
    assert await world.waiting() == 10


async def test_the_cloud_is_found_again(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.cloud.error, world.cloud.seconds = Unavailable("no route"), 0.0
    for _ in range(5):
        await answered(world, clock, await world.frame(), 0.0)
    asked = len(world.cloud.asked)
    assert asked == 2
    world.cloud.error = None
    await clock.advance(20)
    assert (await answered(world, clock, await world.frame(), 0.3)).answer.reason == "CloudAnswered"


async def test_hard_frames_never_hold_up_those_behind(inside: Make, clock: FakeClock) -> None:
    world = inside(in_flight=2)
    world.cloud.seconds = 100.0
    hard = [asyncio.ensure_future(world.pipeline.answer(await world.frame(value=i))) for i in range(8)]
    await settle()
    world.edge.margin = 0.9
    easy = await answered(world, clock, await world.frame(value=99), 0.0)
    assert easy.answer.reason == "Easy"
    assert not any(task.done() for task in hard)
    await clock.advance(2.0)
    assert {task.result().answer.reason for task in hard} == {"DeadlineNear"}
    assert len(world.cloud.asked) == 2, "the others never had a turn and wait in the queue"
    assert await world.waiting() == 8


async def test_a_frame_asked_for_twice_is_answered_once(inside: Make, clock: FakeClock) -> None:
    world = inside()
    frame = await world.frame(sequence=5)
    both = [asyncio.ensure_future(world.pipeline.answer(frame)) for _ in range(2)]
    await clock.advance(1)
    again = await answered(world, clock, await world.frame(sequence=5))
    first = both[0].result()
    assert both[1].result() is first
    assert again.replayed
    assert again.answer.answered_at == first.answer.answered_at
    assert again.payloads == first.payloads
    assert len(await world.log()) == 1
    assert world.edge.asked == 1
    assert len(world.told) == 1


async def test_an_id_belongs_to_one_photo(inside: Make, clock: FakeClock) -> None:
    world = inside()
    running = asyncio.ensure_future(world.pipeline.answer(await world.frame(sequence=5)))
    await settle()
    with pytest.raises(Refused, match="another photo") as refused:
        await world.pipeline.answer(await world.frame(sequence=5, value=2))
    assert refused.value.status == 409
    await clock.advance(1)
    assert running.result()
    with pytest.raises(Refused, match="another photo"):
        await answered(world, clock, await world.frame(sequence=5, value=2))


async def test_an_id_older_than_the_log_is_never_answered_again(inside: Make, clock: FakeClock) -> None:
    world = inside(answers=Bounds(items=3, bytes=1_000_000))
    world.edge.margin = 0.9
    for _ in range(6):
        await answered(world, clock, await world.frame(), 0.0)
    assert len(await world.log()) == 3
    with pytest.raises(Refused, match="older than"):
        await answered(world, clock, await world.frame(sequence=1), 0.0)
    assert (await answered(world, clock, await world.frame(sequence=4), 0.0)).replayed


async def test_what_cannot_be_kept_is_answered_by_the_edge(inside: Make, clock: FakeClock) -> None:
    world = inside(queue=Bounds(items=2, bytes=1_000_000), in_flight=4)
    world.cloud.seconds = 100.0
    tasks = [asyncio.ensure_future(world.pipeline.answer(await world.frame(value=i))) for i in range(3)]
    await clock.advance(0)
    assert tasks[2].done(), "the two in hand may not be pushed out"
    assert tasks[2].result().answer.reason == "QueueFull"
    await clock.advance(2)
    assert [task.result().answer.reason for task in tasks[:2]] == ["DeadlineNear"] * 2


async def test_the_oldest_unsent_example_makes_room_and_is_counted(inside: Make, clock: FakeClock) -> None:
    world = inside(queue=Bounds(items=2, bytes=1_000_000))
    world.cloud.error, world.cloud.seconds = Unavailable("away"), 0.0
    for _ in range(5):
        await answered(world, clock, await world.frame(), 0.0)
    fill = await world.queue.fill(clock.now())
    assert (fill.items, fill.dropped) == (2, 3)
    assert await world.queue.frames() == ["edge-1/http/3", "edge-1/http/4"]


async def test_an_edge_that_restarts_is_waited_for_until_the_deadline(inside: Make, clock: FakeClock) -> None:
    world = inside()
    world.edge.error = Unavailable("connection refused")
    task = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
    await clock.advance(1.0)
    world.edge.error, world.edge.margin = None, 0.9
    await clock.advance(0.1)
    assert task.result().answer.reason == "Easy"
    world.edge.error = Unavailable("connection refused")
    with pytest.raises(Unavailable):
        await answered(world, clock, await world.frame(), 3.0)
    assert len(await world.log()) == 1
    assert world.pipeline.running == 0


@pytest.mark.parametrize("error", [InvalidInput("no photo"), InvalidPrediction("logits are not finite")])
async def test_a_photo_that_cannot_be_answered_leaves_nothing_behind(
    inside: Make, clock: FakeClock, error: Exception
) -> None:
    world = inside(rules=ALL_HARD)
    world.edge.error = error
    with pytest.raises(type(error)):
        await answered(world, clock, await world.frame(sequence=1))
    world.edge.error = None
    assert (await answered(world, clock, await world.frame(sequence=1, value=2))).answer.reason == "CloudAnswered"
    assert world.pipeline.running == 0
    assert not world.follow_up.in_hand


async def test_more_frames_than_there_is_room_for_are_refused(inside: Make, clock: FakeClock) -> None:
    world = inside(rules=ALL_HARD)
    world.cloud.seconds = 1.0
    tasks = [asyncio.ensure_future(world.pipeline.answer(await world.frame())) for _ in range(70)]
    await settle()
    refused = [task for task in tasks if task.done()]
    assert len(refused) == 6
    assert all(isinstance(task.exception(), Unavailable) for task in refused)
    await clock.advance(3)
    assert all(task.done() for task in tasks)
    assert len(await world.log()) >= 64


async def test_one_that_stops_listening_does_not_stop_the_frame(inside: Make, clock: FakeClock) -> None:
    world = inside()
    task = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
    await settle()
    task.cancel()
    await clock.advance(1)
    assert [answer.reason for answer in await world.log()] == ["CloudAnswered"]


async def test_live_settings_change_threshold_and_deadline_in_place(inside: Make, clock: FakeClock) -> None:
    from umiak_workers.contract.messages import LiveRule, LiveSettings

    world = inside()
    rule = LiveRule(miner="ScoreMargin", threshold=0.95)
    world.policy.apply(LiveSettings(settings_version=3, rules=(rule,), deadline_milliseconds=400))
    assert (await answered(world, clock, await world.frame(), 0.0)).answer.reason == "Easy"
    world.edge.margin, world.cloud.seconds = 0.01, 1.0
    frame = await world.frame()
    answer = (await answered(world, clock, frame, 0.36)).answer
    assert answer.reason == "DeadlineNear"
    assert answer.answered_at == pytest.approx(frame.captured_at + 0.4 - 0.04)


async def test_a_stop_lets_the_edge_answer_what_is_in_hand(inside: Make, clock: FakeClock) -> None:
    world = inside(rules=ALL_HARD)
    world.cloud.seconds = 100.0
    task = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
    await settle()
    world.pipeline.wind_down()
    world.pipeline.wind_down()
    await settle()
    assert task.result().answer.reason == "DeadlineNear"
    assert await world.waiting() == 1


async def test_a_full_disk_is_a_full_queue(inside: Make, clock: FakeClock) -> None:
    world = inside()

    async def full(*_: object) -> bool:
        raise Unavailable("database: database or disk is full")

    world.queue.put = full
    assert (await answered(world, clock, await world.frame())).answer.reason == "QueueFull"
    assert not world.cloud.asked
    assert not world.follow_up.in_hand


async def test_an_answer_that_cannot_be_written_is_not_given(inside: Make, clock: FakeClock) -> None:
    world = inside()
    commit = world.answers.commit

    async def full(*_: object) -> bool:
        raise Unavailable("database: database or disk is full")

    world.answers.commit = full
    with pytest.raises(Unavailable, match="disk is full"):
        await answered(world, clock, await world.frame(sequence=1))
    assert not world.follow_up.in_hand
    assert await world.waiting() == 1, "delivered later all the same"
    world.answers.commit = commit
    assert (await answered(world, clock, await world.frame(sequence=1))).answer.reason == "CloudAnswered"
