"""A byte rate inside a router: the clock and what was really sent reach the judge, live settings change the rate."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from umiak_workers.adapters.memory import FakeClock
from umiak_workers.contract.config import MinerRule
from umiak_workers.contract.errors import Unavailable
from umiak_workers.contract.messages import LiveRule, LiveSettings, PredictionHeader, Tiles
from umiak_workers.router.frames import Parcel

Make = Callable[..., Any]
SECONDS = 4


async def hard_bytes(world: Any, clock: FakeClock, frames: int) -> tuple[int, int]:
    """(bytes of photos that were called hard, of all), one photo every SECONDS."""
    sent = total = 0
    for _ in range(frames):
        frame = await world.frame()
        task = asyncio.ensure_future(world.pipeline.answer(frame))
        await clock.advance(SECONDS)
        total += len(frame.photo)
        sent += len(frame.photo) * ((await task).answer.reason != "Easy")
    return sent, total


async def test_a_byte_rate_is_kept_by_size_and_clock(inside: Make, clock: FakeClock) -> None:
    world = inside(rules=(MinerRule(miner="ScoreMargin", bytes_per_second=1),))
    size = len((await world.frame()).photo)
    rate = max(1, size // (4 * SECONDS))  # a fourth of the frames
    rule = LiveRule(miner="ScoreMargin", bytes_per_second=rate)
    world.policy.apply(LiveSettings(settings_version=2, rules=(rule,)))
    sent, _ = await hard_bytes(world, clock, 60)
    assert abs(sent - rate * SECONDS * 60) <= 2 * size
    faster = rule.model_copy(update={"bytes_per_second": 2 * rate})
    world.policy.apply(LiveSettings(settings_version=3, rules=(faster,)))
    again, total = await hard_bytes(world, clock, 60)
    assert abs(again - 2 * rate * SECONDS * 60) <= 3 * size
    assert again < total


async def test_live_settings_of_another_kind_wait_for_the_pod_that_knows_it(inside: Make, clock: FakeClock) -> None:
    world = inside(rules=(MinerRule(miner="ScoreMargin", budget=0.5),))
    before = world.policy.judge
    rule = LiveRule(miner="ScoreMargin", bytes_per_second=1000)
    world.policy.apply(LiveSettings(settings_version=2, rules=(rule,)))
    assert world.policy.judge == before


PART = 7
TILES = Tiles(side=4, rows=2, columns=2, hardness=(200, 10, 10, 10))


def parts(last: bool) -> Any:
    """Makes a part of PART bytes of any photo, of which nothing else goes up if `last`."""

    async def foveate(whole: Parcel, seen: PredictionHeader) -> Parcel:
        facts = {"keep": False, "media": "image/webp", "size": PART}
        return Parcel(whole.header.model_copy(update=facts), b"x" * PART, sharp_area=0.5, last=last)

    return foveate


async def sent_bytes(world: Any, clock: FakeClock, frames: int) -> int:
    """Bytes that went up, live and later, for photos that came every SECONDS."""
    delivering = asyncio.ensure_future(world.delivery.run())
    before = sum(up for up, _ in world.moved)
    await hard_bytes(world, clock, frames)
    await clock.advance(60)
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)
    return sum(up for up, _ in world.moved) - before


@pytest.mark.parametrize("last", [True, False])
async def test_a_byte_rate_is_kept_by_what_goes_up_in_parts(inside: Make, clock: FakeClock, last: bool) -> None:
    world = inside(
        rules=(MinerRule(miner="ScoreMargin", bytes_per_second=1),), foveate=parts(last), learn_parts=not last
    )
    world.edge.tiles = TILES
    size = len((await world.frame()).photo)
    each = PART if last else PART + size
    rate = 1 if last else each // (4 * SECONDS)  # of the photos more than a half, or a fourth
    world.policy.apply(LiveSettings(settings_version=2, rules=(LiveRule(miner="ScoreMargin", bytes_per_second=rate),)))
    await sent_bytes(world, clock, 40)
    found = await sent_bytes(world, clock, 200)
    print(f"{found} bytes of {rate * SECONDS * 200} allowed, {each} each")
    assert found == pytest.approx(rate * SECONDS * 200, rel=0.1)
    assert world.policy.habit.share == pytest.approx(each / size, rel=0.05)
    assert world.policy.habit.uploads == pytest.approx(1 if last else 2, abs=0.05)


async def test_a_photo_is_charged_whole_where_only_the_whole_goes_up(inside: Make, clock: FakeClock) -> None:
    """The cloud is away: parts are neither made nor sent, and the photos follow when it is back."""
    world = inside(rules=(MinerRule(miner="ScoreMargin", bytes_per_second=1000),), foveate=parts(True))
    world.edge.tiles = TILES
    world.cloud.error, world.cloud.seconds = Unavailable("no route"), 0.0
    charged = []
    for _ in range(6):
        frame = await world.frame()
        before = world.policy.judge.rules[0].budget
        task = asyncio.ensure_future(world.pipeline.answer(frame))
        await clock.advance(0.1)
        assert task.result().answer.reason in ("CloudUnreachable", "Easy")
        after = world.policy.judge.rules[0].budget
        if task.result().answer.reason == "CloudUnreachable":
            charged.append(before.credit + 1000 * 0.1 - after.credit)  # with what a tenth of a second earns
    assert len(charged) > 1
    assert charged[1:] == pytest.approx([len(frame.photo)] * len(charged[1:]))


async def test_what_is_not_kept_is_not_charged(inside: Make, clock: FakeClock) -> None:
    world = inside(rules=(MinerRule(miner="ScoreMargin", bytes_per_second=1000),))

    async def full(*_: object) -> bool:
        raise Unavailable("no room")

    await hard_bytes(world, clock, 1)
    world.queue.put = full
    before = world.policy.judge.rules[0].budget.credit
    task = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
    await clock.advance(0.01)
    assert task.result().answer.reason == "QueueFull"
    assert world.policy.judge.rules[0].budget.credit >= before
    assert world.policy.habit.share == 1.0
