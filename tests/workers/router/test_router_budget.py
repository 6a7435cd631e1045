"""A byte rate inside a router: photo sizes and the clock reach the judge, and live settings change the rate."""

import asyncio
from collections.abc import Callable
from typing import Any

from umiak_workers.adapters.memory import FakeClock
from umiak_workers.contract.config import MinerRule
from umiak_workers.contract.messages import LiveRule, LiveSettings

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
