"""The twins keep their promises: time moves only by hand and in order, facts are retained, wills are said."""

import asyncio

from umiak_workers.adapters.clock import SystemClock, within
from umiak_workers.adapters.memory import FakeClock, MemoryBroker
from umiak_workers.adapters.mqtt import Note


async def test_sleepers_wake_in_order_each_at_its_own_moment() -> None:
    clock, seen = FakeClock(), []

    async def wake(seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append((seconds, clock.monotonic()))
        await clock.sleep(seconds)
        seen.append((2 * seconds, clock.monotonic()))

    tasks = [asyncio.ensure_future(wake(seconds)) for seconds in (3.0, 1.0, 2.5)]
    await clock.advance(2.9)
    assert seen == [(1.0, 1.0), (2.0, 2.0), (2.5, 2.5)]
    await clock.advance(10)
    assert seen[3:] == [(3.0, 3.0), (5.0, 5.0), (6.0, 6.0)]
    assert all(task.done() for task in tasks)
    assert clock.monotonic() == 12.9
    assert clock.now() == FakeClock().now() + 12.9


async def test_within_tells_done_from_late_and_never_cancels() -> None:
    clock = FakeClock()
    work: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(within(clock, work, 5.0))
    await clock.advance(4.9)
    assert not waiting.done()
    await clock.advance(0.1)
    assert waiting.result() is False
    assert not work.done()
    work.set_result(1)
    assert await within(clock, work, 0.0)


async def test_the_real_clock_has_the_same_shape() -> None:
    clock = SystemClock()
    begun = clock.monotonic()
    await clock.sleep(0.01)
    await clock.sleep(-5)
    assert clock.monotonic() - begun >= 0.01
    assert clock.now() > 1_600_000_000


def test_the_broker_retains_facts_says_wills_and_recalls() -> None:
    broker, heard = MemoryBroker(), []
    first = broker.link(will=Note("t/presence", b"down", retain=True))
    second = broker.link(will=None)
    first.publish(Note("t/presence", b"up", retain=True))
    second.subscribe("t/presence", lambda topic, payload: heard.append(payload))
    assert heard == [b"up"]
    first.cut()
    assert heard == [b"up", b"down"]
    assert not first.publish(Note("t/presence", b"still up", retain=True))
    first.mend()
    assert heard[-1] == b"still up"
    first.publish(Note("t/presence", b"", retain=True))
    assert broker.retained == {}
