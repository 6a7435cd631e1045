"""Honest twins that a test can push around: a clock moved by hand, a lane without a thread, a broker in memory.

They keep the promises of what they stand for (order of wake-ups, atomic jobs, retained facts, last wills) and add only
levers: `advance`, `cut`, `mend`.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable

from umiak_workers.adapters.database import Database
from umiak_workers.adapters.lane import Act, T
from umiak_workers.adapters.mqtt import Handler, Note

SETTLE_TURNS = 50
"""turns of the event loop after which everything that can go on without time has gone on"""


async def settle() -> None:
    """Let every task go on until it waits for time or for the test."""
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)


class FakeClock:
    """A clock that stands still until `advance`."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """See Clock.now."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """See Clock.monotonic."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """See Clock.sleep."""
        if seconds <= 0:
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move on, waking sleepers in order and letting each of them act at its own moment."""
        await settle()
        until = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            self._elapsed, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await settle()
        self._elapsed = until
        await settle()


class InlineLane:
    """A lane that does each job at once, in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def do(self, act: Act[T]) -> T:
        """See Lane.do."""
        with self._database.write() as connection:
            return act(connection)


class MemoryBroker:
    """Retained facts, wills and delivery at once, to any number of links."""

    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.said: list[Note] = []
        self._links: list[MemoryLink] = []

    def link(self, will: Note | None) -> "MemoryLink":
        """A connected link."""
        made = MemoryLink(self, will)
        self._links.append(made)
        return made

    def deliver(self, note: Note) -> None:
        """Pass a note on, and keep it if it is a fact."""
        self.said.append(note)
        if note.retain and note.payload:
            self.retained[note.topic] = note.payload
        elif note.retain:
            self.retained.pop(note.topic, None)
        for link in self._links:
            link.hear(note.topic, note.payload)


class MemoryLink:
    """One client of a MemoryBroker."""

    def __init__(self, broker: MemoryBroker, will: Note | None) -> None:
        self._broker = broker
        self._will = will
        self._handlers: dict[str, Handler] = {}
        self._facts: dict[str, Note] = {}
        self.connected = True

    def publish(self, note: Note) -> bool:
        """See Link.publish."""
        if note.retain:
            self._facts[note.topic] = note
        if self.connected:
            self._broker.deliver(note)
        return self.connected

    def subscribe(self, pattern: str, handler: Handler) -> None:
        """See Link.subscribe; exact topics only."""
        self._handlers[pattern] = handler
        if self.connected:
            self._recall(pattern, handler)

    def hear(self, topic: str, payload: bytes) -> None:
        """What the broker passes on."""
        if self.connected and topic in self._handlers:
            self._handlers[topic](topic, payload)

    def cut(self) -> None:
        """The connection breaks: the broker says the will."""
        self.connected = False
        if self._will:
            self._broker.deliver(self._will)

    def mend(self) -> None:
        """The connection is back: facts are said again, retained ones are heard again."""
        self.connected = True
        for fact in self._facts.values():
            self._broker.deliver(fact)
        for pattern, handler in self._handlers.items():
            self._recall(pattern, handler)

    def _recall(self, topic: str, handler: Callable[[str, bytes], None]) -> None:
        if topic in self._broker.retained:
            handler(topic, self._broker.retained[topic])
