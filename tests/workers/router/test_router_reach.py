"""A frame that the cloud would answer too late is the edge's at once, and learnt from later; a fast link has none."""

import asyncio
from collections.abc import Callable
from typing import Any

from umiak_workers.adapters.memory import FakeClock
from umiak_workers.contract.config import MinerRule
from umiak_workers.contract.errors import Unavailable
from umiak_workers.contract.messages import LiveSettings, PredictionHeader, Tiles
from umiak_workers.core.roundtrip import PROBE
from umiak_workers.router.frames import Parcel

Make = Callable[..., Any]
ALL_HARD = (MinerRule(miner="CloudOnly"),)
EVERY = 0.5
TILES = Tiles(side=4, rows=2, columns=2, hardness=(200, 10, 10, 10))


async def answers(world: Any, clock: FakeClock, count: int, every: float = EVERY) -> list[Any]:
    """The answers of frames that come one after the other, in order."""
    tasks = []
    for _ in range(count):
        tasks.append(asyncio.ensure_future(world.pipeline.answer(await world.frame())))
        await clock.advance(every)
    await clock.advance(2.5)
    return [task.result().answer for task in tasks]


async def deliver(world: Any, clock: FakeClock, seconds: float) -> None:
    task = asyncio.ensure_future(world.delivery.run())
    await clock.advance(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_on_a_slow_link_the_edge_answers_at_once_and_the_example_is_delivered(
    inside: Make, clock: FakeClock
) -> None:
    world = inside(rules=ALL_HARD, in_flight=4)
    world.cloud.seconds = 5.0
    early = await answers(world, clock, 3)
    assert [answer.reason for answer in early] == ["DeadlineNear"] * 3, "nobody knows yet"
    await clock.advance(5)
    late = await answers(world, clock, 4)
    assert [(answer.answered_by, answer.reason, answer.rule) for answer in late] == [
        ("edge", "CloudTooSlow", "CloudOnly")
    ] * 4
    assert all(answer.stages_milliseconds["total"] == 0 for answer in late), "nobody waited"
    assert all("cloud" not in answer.stages_milliseconds for answer in late)
    assert len(world.cloud.asked) == 3
    assert await world.waiting() == 4
    assert not world.follow_up.in_hand
    await deliver(world, clock, 60)
    assert await world.waiting() == 0
    assert len(set(world.hub.puts)) == 7
    revised = [entry for entry in await world.log() if entry.revision == 1]
    assert {entry.answered_by for entry in revised} == {"cloud"}
    assert len(revised) == 7


async def test_once_the_link_is_fast_again_frames_go_again(inside: Make, clock: FakeClock) -> None:
    world = inside(rules=ALL_HARD, in_flight=4)
    world.cloud.seconds = 5.0
    await answers(world, clock, 3)
    await clock.advance(5)
    assert (await answers(world, clock, 1))[0].reason == "CloudTooSlow"
    world.cloud.seconds = 0.2
    delivering = asyncio.ensure_future(world.delivery.run())
    found = [answer.reason for answer in await answers(world, clock, 60)]
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)
    back = found.index("CloudAnswered")
    print(f"back after {back * EVERY} s")
    assert back <= PROBE / EVERY
    assert set(found[back:]) == {"CloudAnswered"}


async def test_a_live_deadline_moves_what_is_in_reach(inside: Make, clock: FakeClock) -> None:
    world = inside(rules=ALL_HARD, in_flight=4)
    world.cloud.seconds = 1.0
    assert {answer.reason for answer in await answers(world, clock, 4)} == {"CloudAnswered"}
    world.policy.apply(LiveSettings(settings_version=2, deadline_milliseconds=800))
    assert {answer.reason for answer in await answers(world, clock, 2)} == {"CloudTooSlow"}
    world.policy.apply(LiveSettings(settings_version=3, deadline_milliseconds=4000))
    assert {answer.reason for answer in await answers(world, clock, 2)} == {"CloudAnswered"}


async def test_a_cloud_that_is_away_is_away_however_slow_it_was(inside: Make, clock: FakeClock) -> None:
    world = inside(rules=ALL_HARD, in_flight=4)
    world.cloud.seconds = 1.9
    await answers(world, clock, 4)
    world.cloud.error, world.cloud.seconds = Unavailable("no route"), 0.0
    assert {answer.reason for answer in await answers(world, clock, 4)} == {"CloudUnreachable"}
    world.policy.apply(LiveSettings(settings_version=2, deadline_milliseconds=100))
    found = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
    await clock.advance(0.1)
    assert found.result().answer.reason in ("CloudUnreachable", "CloudTooSlow")


async def test_what_goes_up_in_part_is_expected_as_a_part(inside: Make, clock: FakeClock) -> None:
    """Whole photos would take longer than the deadline, their parts do not, and they are what counts."""

    async def foveate(whole: Parcel, seen: PredictionHeader) -> Parcel:
        facts = {"keep": False, "media": "image/webp", "size": 8}
        return Parcel(whole.header.model_copy(update=facts), b"a part..", sharp_area=0.5)

    world = inside(rules=ALL_HARD, in_flight=4, foveate=foveate)
    world.edge.tiles = TILES
    world.cloud.seconds, world.cloud.seconds_per_byte = 0.2, 0.05
    assert {answer.reason for answer in await answers(world, clock, 40, 1.0)} == {"CloudAnswered"}
    await deliver(world, clock, 80)
    assert any(header.keep for header in world.cloud.asked), "whole photos are delivered, slowly"
    found = [answer.reason for answer in await answers(world, clock, 10, 1.0)]
    assert found == ["CloudAnswered"] * 10


async def test_a_rule_that_is_blind_calls_nothing_hard_and_the_answer_says_so(inside: Make, clock: FakeClock) -> None:
    world = inside(rules=(MinerRule(miner="AppealHead", threshold=0.05),))
    blind = await answers(world, clock, 2)
    assert [(answer.answered_by, answer.reason, answer.rule) for answer in blind] == [("edge", "NotJudged", "")] * 2
    world.edge.appeal = 0.01
    assert [answer.reason for answer in await answers(world, clock, 1)] == ["Easy"]
    world.edge.appeal = 0.2
    found = (await answers(world, clock, 1))[0]
    assert (found.reason, found.rule, found.scores.appeal) == ("CloudAnswered", "AppealHead", 0.2)
