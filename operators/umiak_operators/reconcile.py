"""The only place where a plan meets a runtime.

Everything that happens anywhere is the same small fact: look at this key again. Doorbells, `again_at`, resync and
failures all put a key into one de-duplicating queue; one worker per key at a time observes, decides and applies.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import structlog

from umiak_operators.api.conditions import Condition, set_condition
from umiak_operators.api.resource import Key, Resource
from umiak_operators.api.spec import InvalidSpec
from umiak_operators.plan.model import Observed, Plan
from umiak_operators.runtime.clock import Clock
from umiak_operators.runtime.seam import ChildRefused, FleetRefused, Runtime

log = structlog.get_logger()

Decide = Callable[[Resource, Observed, float], Plan]
"""`desired(resource, seen, now)`: pure; raises InvalidSpec."""
Outcome = Literal["Done", "Gone", "Failed"]
"""How a look ended: applied or reported, found nothing there any more, to be tried again."""
Looked = Callable[[Key, Outcome, float], None]
"""Hears of every look and the seconds it took."""


def nobody(key: Key, outcome: Outcome, seconds: float) -> None:
    """Who listens while nobody counts."""


@dataclass(frozen=True)
class Pace:
    """How often and how hard to try. Seconds."""

    workers: int = 4
    resync_seconds: float = 300
    first_backoff: float = 0.5
    longest_backoff: float = 120
    figures_seconds: float = 30
    """A status in which only the hub's figures moved (no condition, no child) is written at most this often."""


class Queue:
    """Keys with the moment at which they are due. A key is handed to one worker at a time and never twice at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[Key, float] = {}
        self._busy: set[Key] = set()
        self._changed = asyncio.Event()

    def ring(self, key: Key) -> None:
        """Look at `key` now, or once more when the look that is under way has ended."""
        self.later(key, self._clock.now())

    def later(self, key: Key, when: float) -> None:
        """Look at `key` at `when` (seconds since the epoch) unless something earlier is already asked for."""
        self._due[key] = min(when, self._due.get(key, when))
        self._changed.set()

    def ready(self) -> Key | None:
        """The key that has been due for longest, now held by the caller until `done`; None if there is none."""
        now = self._clock.now()
        due = [(when, key) for key, when in self._due.items() if when <= now and key not in self._busy]
        if not due:
            return None
        key = min(due)[1]
        del self._due[key]
        self._busy.add(key)
        return key

    async def take(self) -> Key:
        """Wait for a key that is due."""
        while (key := self.ready()) is None:
            self._changed.clear()
            waiting = [when for key, when in self._due.items() if key not in self._busy]
            await self._clock.wait(self._changed, min(waiting, default=None))
        return key

    def done(self, key: Key) -> None:
        """The holder of `key` has finished with it."""
        self._busy.discard(key)
        self._changed.set()

    def waiting(self) -> Mapping[Key, float]:
        """Every key that waits, with its moment."""
        return dict(self._due)


class Reconciler:
    """Takes keys from its queue and makes each one's plan come true in a runtime."""

    def __init__(
        self,
        runtime: Runtime,
        decide: Decide,
        clock: Clock,
        rng: random.Random,
        pace: Pace,
        looked: Looked = nobody,
    ) -> None:
        self._runtime = runtime
        self._decide = decide
        self._clock = clock
        self._rng = rng
        self._pace = pace
        self._looked = looked
        self._failures: dict[Key, int] = {}
        self._written: dict[Key, tuple[float, object]] = {}
        self.queue = Queue(clock)

    def ring(self, key: Key) -> None:
        """A doorbell: something about `key` may have changed. Call it in the event loop's thread."""
        self.queue.ring(key)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._pace.workers):
                group.create_task(self._work())

    async def drain(self) -> int:
        """Work through all that is due now, then return how many looks it took: for fake clocks and single runs."""
        count = 0
        while (key := self.queue.ready()) is not None:
            await self._hold(key)
            count += 1
        return count

    async def _work(self) -> None:
        while True:
            await self._hold(await self.queue.take())

    async def _hold(self, key: Key) -> None:
        begun = time.monotonic()
        try:
            again = await self.look(key)
        except Exception as error:  # noqa: BLE001 - the outermost loop: whatever failed, this key is tried again
            self._looked(key, "Failed", time.monotonic() - begun)
            self._retry(key, error)
        else:
            self._looked(key, "Gone" if again is None else "Done", time.monotonic() - begun)
            self._failures.pop(key, None)
            if again is not None:
                self.queue.later(key, again)
        finally:
            self.queue.done(key)

    async def look(self, key: Key) -> float | None:
        """Observe, decide and apply once; returns when to look again (None: never, it is gone)."""
        found = await self._runtime.observe(key)
        if found is None:
            self._written.pop(key, None)
            await self._runtime.forget(key)
            return None
        resource, seen = found
        resync = self._clock.now() + self._pace.resync_seconds * self._rng.uniform(0.8, 1.2)
        if resource.deleting:
            return resync
        try:
            plan = self._decide(resource, seen, self._clock.now())
        except InvalidSpec as error:
            verdict = Condition(_verdict(resource), "False", "InvalidSpec", str(error))
            await self._runtime.report(resource, self._with(resource, resource.status, verdict))
            return resync
        plan = self._held_back(resource, seen, plan)
        try:
            await self._runtime.apply(resource, plan)
        except (ChildRefused, FleetRefused) as error:
            await self._runtime.report(resource, self._with(resource, plan.status, _refusal(resource, error)))
            raise
        return resync if plan.again_at is None else min(resync, plan.again_at)

    def _held_back(self, resource: Resource, seen: Observed, plan: Plan) -> Plan:
        """The plan, with the old status if only the hub's figures moved and the last write was a moment ago."""
        if plan.status == resource.status:
            return plan
        now, children = self._clock.now(), [(child.kind, child.name, child.readiness) for child in seen.children]
        when, before = self._written.get(resource.key, (0.0, None))
        due = when + self._pace.figures_seconds
        if now < due and children == before and verdicts(plan.status) == verdicts(resource.status):
            again = due if plan.again_at is None else min(due, plan.again_at)
            return replace(plan, status=resource.status, again_at=again)
        self._written[resource.key] = now, children
        return plan

    def _with(self, resource: Resource, status: Mapping[str, Any], condition: Condition) -> Mapping[str, Any]:
        """A status with one condition replaced for this generation; nothing else in it is touched."""
        known, now = resource.status.get("conditions") or (), self._clock.now()
        replaced = set_condition(known, condition, resource.generation, now)
        others = [item for item in status.get("conditions") or () if item.get("type") != condition.type]
        return {**status, "observedGeneration": resource.generation, "conditions": [replaced, *others]}

    def _retry(self, key: Key, error: Exception) -> None:
        count = self._failures[key] = self._failures.get(key, 0) + 1
        longest = min(self._pace.longest_backoff, self._pace.first_backoff * 2.0 ** min(count - 1, 16))
        seconds = self._rng.uniform(longest / 2, longest)
        log.warning("will try again", key=str(key), error=str(error) or repr(error), seconds=round(seconds, 1))
        self.queue.later(key, self._clock.now() + seconds)


def _verdict(resource: Resource) -> str:
    """The condition that says how a resource stands."""
    return "Succeeded" if resource.key.kind == "ModelPatch" else "Ready"


def _refusal(resource: Resource, error: ChildRefused | FleetRefused) -> Condition:
    """What a refusal means for a resource: without a child it is not ready, without the hub it is only unseen."""
    if isinstance(error, ChildRefused):
        return Condition(_verdict(resource), "False", "ChildRefused", str(error))
    return Condition("FleetObserved", "False", "HubRefused", str(error))


def verdicts(status: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """What a status decides, without its figures and times: worth an immediate write when it changes."""
    conditions = status.get("conditions") or ()
    found = [(item.get("type"), item.get("status"), item.get("reason")) for item in conditions]
    return [("observedGeneration", status.get("observedGeneration")), *sorted(found)]
