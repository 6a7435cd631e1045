"""One queue: a key is looked at once for many rings, never twice at once, and again when that was asked for."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from umiak_operators.api.resource import Key, Resource
from umiak_operators.api.spec import InvalidSpec
from umiak_operators.plan.model import Observed, Plan, Platform
from umiak_operators.reconcile import Pace, Queue, Reconciler
from umiak_operators.runtime.clock import SystemClock
from umiak_operators.runtime.memory import ManualClock
from umiak_operators.runtime.seam import ChildRefused

KEYS = [Key("JointInference", "site", name) for name in ("a", "b", "c")]
A, B, C = KEYS
PLATFORM = Platform({}, {}, {}, b"", ())


def test_many_rings_are_one_look() -> None:
    queue = Queue(ManualClock())
    for _ in range(5):
        queue.ring(A)
    assert queue.ready() == A
    assert queue.ready() is None


def test_a_ring_during_a_look_is_one_more_look_afterwards() -> None:
    queue = Queue(ManualClock())
    queue.ring(A)
    assert queue.ready() == A
    queue.ring(A)
    queue.ring(A)
    assert queue.ready() is None, "one worker per key"
    queue.done(A)
    assert queue.ready() == A
    queue.done(A)
    assert queue.ready() is None


def test_the_earliest_moment_wins_and_the_longest_due_goes_first() -> None:
    clock = ManualClock(100.0)
    queue = Queue(clock)
    queue.later(A, 150.0)
    queue.later(A, 130.0)
    queue.later(A, 170.0)
    queue.later(B, 120.0)
    assert queue.ready() is None
    assert queue.waiting() == {A: 130.0, B: 120.0}
    clock.advance(60)
    assert [queue.ready(), queue.ready(), queue.ready()] == [B, A, None]


class World:
    """A runtime that records, and fails as it is told."""

    def __init__(self) -> None:
        self.living = {key: Resource(key, f"uid-{key}", 1, {}) for key in KEYS}
        self.applied: list[Key] = []
        self.reported: list[tuple[Key, Mapping[str, Any]]] = []
        self.forgotten: list[Key] = []
        self.failure: Exception | None = None
        self.running = self.most = 0
        self.pause = 0.0

    async def observe(self, key: Key) -> tuple[Resource, Observed] | None:
        resource = self.living.get(key)
        return (resource, Observed(PLATFORM)) if resource else None

    async def apply(self, resource: Resource, plan: Plan) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(self.pause)
        self.running -= 1
        if self.failure:
            raise self.failure
        self.applied.append(resource.key)

    async def report(self, resource: Resource, status: Mapping[str, Any]) -> None:
        self.reported.append((resource.key, status))

    async def forget(self, key: Key) -> None:
        self.forgotten.append(key)


def plain(resource: Resource, seen: Observed, now: float) -> Plan:
    return Plan(status=resource.status)


def reconciler(world: World, clock: Any, decide: Any = plain, **pace: Any) -> Reconciler:
    return Reconciler(world, decide, clock, random.Random(7), Pace(**pace))


async def test_failures_come_again_later_and_later_and_without_end() -> None:
    world, clock = World(), ManualClock(0.0)
    world.failure = RuntimeError("not now")
    found = reconciler(world, clock, first_backoff=1, longest_backoff=8)
    found.ring(A)
    pauses = []
    for _ in range(9):
        assert await found.drain() == 1
        (when,) = found.queue.waiting().values()
        pauses.append(when - clock.now())
        clock.advance(when - clock.now())
    for pause, longest in zip(pauses, (1, 2, 4, 8, 8, 8, 8, 8, 8), strict=True):
        assert longest / 2 <= pause <= longest
    assert len(set(pauses)) == 9, "jittered"
    world.failure = None
    await found.drain()
    assert world.applied == [A]
    (when,) = found.queue.waiting().values()
    assert when - clock.now() > 200, "resync, not back-off"


async def test_one_failing_key_keeps_no_other_waiting() -> None:
    world, clock = World(), ManualClock(0.0)

    def decide(resource: Resource, seen: Observed, now: float) -> Plan:
        if resource.key == A:
            raise RuntimeError("a defect")
        return Plan()

    found = reconciler(world, clock, decide)
    for key in KEYS:
        found.ring(key)
    assert await found.drain() == 3
    assert world.applied == [B, C]


async def test_again_at_and_resync_come_from_the_same_queue() -> None:
    world, clock = World(), ManualClock(1000.0)
    found = reconciler(world, clock, lambda resource, seen, now: Plan(again_at=now + 40 if resource.key == A else None))
    found.ring(A)
    found.ring(B)
    await found.drain()
    waiting = found.queue.waiting()
    assert waiting[A] == 1040.0
    assert 1000 + 240 <= waiting[B] <= 1000 + 360


async def test_what_is_gone_is_forgotten_and_not_looked_at_again() -> None:
    world, clock = World(), ManualClock(0.0)
    found = reconciler(world, clock)
    del world.living[A]
    found.ring(A)
    await found.drain()
    assert world.forgotten == [A]
    assert found.queue.waiting() == {}


async def test_what_is_being_deleted_is_left_alone() -> None:
    world, clock = World(), ManualClock(0.0)
    world.living[A] = Resource(A, "u", 1, {}, deleting=True)
    found = reconciler(world, clock)
    found.ring(A)
    await found.drain()
    assert world.applied == []
    assert world.forgotten == []


async def test_an_invalid_spec_is_only_reported() -> None:
    world, clock = World(), ManualClock(0.0)
    old = {"conditions": [{"type": "FleetObserved", "status": "True"}], "edges": {"ready": 2}}
    world.living[A] = Resource(A, "u", 5, {}, old)

    def decide(resource: Resource, seen: Observed, now: float) -> Plan:
        raise InvalidSpec("spec.edge", "is required")

    found = reconciler(world, clock, decide)
    found.ring(A)
    await found.drain()
    ((_, status),) = world.reported
    assert world.applied == []
    assert status["edges"] == {"ready": 2}
    assert status["observedGeneration"] == 5
    ready, fleet = status["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "False", "InvalidSpec")
    assert ready["message"] == "spec.edge: is required"
    assert fleet["type"] == "FleetObserved"


async def test_a_refused_child_is_reported_and_tried_again() -> None:
    world, clock = World(), ManualClock(0.0)
    world.failure = ChildRefused("Service x: exceeded quota")
    found = reconciler(world, clock)
    found.ring(A)
    await found.drain()
    ((_, status),) = world.reported
    assert status["conditions"][0]["reason"] == "ChildRefused"
    assert found.queue.waiting()[A] <= 1


async def test_workers_share_the_keys_and_a_key_has_one_worker() -> None:
    world = World()
    world.pause = 0.02
    found = reconciler(world, SystemClock(), workers=2)
    task = asyncio.create_task(found.run())
    for _ in range(3):
        for key in KEYS:
            found.ring(key)
        await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        while len(world.applied) < 6:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.most == 2


async def test_a_ring_wakes_a_worker_that_waits_for_later() -> None:
    world = World()
    found = reconciler(world, SystemClock(), workers=1)
    found.queue.later(A, SystemClock().now() + 3600)
    task = asyncio.create_task(found.run())
    await asyncio.sleep(0.02)
    found.ring(B)
    async with asyncio.timeout(10):
        while not world.applied:
            await asyncio.sleep(0.01)
    task.cancel()
    assert world.applied == [B]
