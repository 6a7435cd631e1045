"""One thread does the thinking; a bounded number of questions may wait for it, one more is told to come back."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from umiak_workers.cloud.stages import Stages
from umiak_workers.contract.errors import Unavailable

Q = TypeVar("Q")
A = TypeVar("A")
Begin = Callable[[Sequence[Q]], Sequence[Callable[[], A]]]
"""What is done for several questions at once, and then for each of them alone, in their order."""


@dataclass
class _Waiting(Generic[Q, A]):
    question: Q
    stages: Stages
    since: float = field(default_factory=time.perf_counter)
    answer: "Future[A]" = field(default_factory=Future)


class WaitingRoom(Generic[Q, A]):
    """At most `most` questions that are thought about or wait.

    The thread takes what waits the moment it is free, up to `together` of it: nobody waits for a batch to fill.
    """

    def __init__(self, most: int, together: int, begin: Begin[Q, A]) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="think")
        self._most, self._together, self._begin = most, together, begin
        self._queue: deque[_Waiting[Q, A]] = deque()
        self.waiting = 0

    def check(self) -> None:
        """Raise Unavailable while there is no room."""
        if self.waiting >= self._most:
            raise Unavailable(f"busy: {self.waiting} examples are waiting")

    async def ask(self, question: Q, stages: Stages) -> A:
        """The answer; raises Unavailable at once when there is no room. A caller that leaves wastes no answer."""
        self.check()
        self.waiting += 1
        one = _Waiting[Q, A](question, stages)
        self._queue.append(one)
        self._thread.submit(self._turn)
        future = asyncio.wrap_future(one.answer)
        future.add_done_callback(self._left)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Drop what waits; the answer in hand ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        with suppress(IndexError):  # taken meanwhile
            while self._queue:
                self._queue.popleft().answer.cancel()

    def _turn(self) -> None:
        """One for each question, so that none is forgotten; it finds nothing where another one took its question."""
        batch = self._taken()
        if not batch:
            return
        try:
            pairs = list(zip(batch, self._begin([one.question for one in batch]), strict=True))
        except Exception as error:  # noqa: BLE001 handed to everybody who asked
            for one in batch:
                one.answer.set_exception(error)
            return
        for one, answer in pairs:
            spent = (time.perf_counter() - one.since) * 1000
            one.stages.add("wait", max(0.0, spent - sum(one.stages.milliseconds.values())))
            try:
                one.answer.set_result(answer())
            except Exception as error:  # noqa: BLE001 handed to the one who asked
                one.answer.set_exception(error)

    def _taken(self) -> list[_Waiting[Q, A]]:
        batch = list[_Waiting[Q, A]]()
        with suppress(IndexError):  # no more wait, or the room was closed meanwhile
            while len(batch) < self._together:
                batch.append(self._queue.popleft())
        return [one for one in batch if one.answer.set_running_or_notify_cancel()]

    def _left(self, future: "asyncio.Future[A]") -> None:
        self.waiting -= 1
        if not future.cancelled():
            future.exception()  # read, so that a caller who left does not make a warning of it
