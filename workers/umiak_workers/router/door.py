"""Where a photo becomes a frame: it gets its id, its digest, and the moment by which it must be answered."""

import hashlib
import re

from umiak_workers.adapters.answer_log import AnswerLog, split_frame
from umiak_workers.adapters.clock import Clock
from umiak_workers.adapters.example_queue import ExampleQueue
from umiak_workers.adapters.photo import media_of
from umiak_workers.contract.errors import InvalidInput
from umiak_workers.router.frames import Frame
from umiak_workers.router.policy import Policy

SOURCE = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")
LARGEST_NUMBER = 10**17
"""Largest number that a camera may choose; ids hold ten times as many, so that counting on from it never ends."""
MOST_SOURCES = 1000


class Door:
    """Gives out frame ids of one edge, never the same one twice."""

    def __init__(
        self, edge: str, answers: AnswerLog, queue: ExampleQueue, policy: Policy, clock: Clock, max_bytes: int
    ) -> None:
        self._edge = edge
        self._answers = answers
        self._queue = queue
        self._policy = policy
        self._clock = clock
        self._max_bytes = max_bytes
        self._next: dict[str, int] = {}

    async def frame(self, source: str, sequence: int | None, photo: bytes) -> Frame:
        """The frame of a photo; without `sequence` it gets the next number of its source.

        Raises InvalidInput for a source or number that no id can hold, and for anything but a JPEG or PNG.
        """
        captured_at, due = self._clock.now(), self._clock.monotonic() + self._policy.deadline
        if len(photo) > self._max_bytes:
            raise InvalidInput(f"the photo has {len(photo)} bytes, at most {self._max_bytes} are taken")
        media = media_of(photo)
        fresh = sequence is None
        number = await self._number(source, sequence)
        digest = "sha256:" + hashlib.sha256(photo).hexdigest()
        return Frame(f"{self._edge}/{source}/{number}", digest, media, photo, captured_at, due, fresh)

    async def following(self, source: str) -> int:
        """The next number of a source, not given out yet."""
        if source not in self._next:
            await self._learn(source)
        return self._next[source]

    async def _number(self, source: str, sequence: int | None) -> int:
        if not SOURCE.match(source):
            raise InvalidInput(f"source {source!r} is not a name of lower case letters, digits, dots and dashes")
        if sequence is not None and not 0 <= sequence <= LARGEST_NUMBER:
            raise InvalidInput(f"sequence {sequence} is not within 0..{LARGEST_NUMBER}")
        following = await self.following(source)
        number = following if sequence is None else sequence
        self._next[source] = max(self._next[source], number + 1)
        return number

    async def _learn(self, source: str) -> None:
        """The first number that neither the log nor the queue knows."""
        if len(self._next) >= MOST_SOURCES:
            raise InvalidInput(f"source {source!r} is one too many, at most {MOST_SOURCES} are taken")
        queued = [split_frame(frame) for frame in await self._queue.frames()]
        highest = max((number for name, number in queued if name == source), default=-1)
        following = max(await self._answers.next_sequence(source), highest + 1)
        self._next[source] = max(self._next.get(source, 0), following)
