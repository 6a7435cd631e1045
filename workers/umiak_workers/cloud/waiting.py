"""One thread does the thinking; a bounded number of requests may wait for it, one more is told to come back."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from umiak_workers.cloud.stages import Stages
from umiak_workers.contract.errors import Unavailable

T = TypeVar("T")


class WaitingRoom:
    """At most `most` jobs that run or wait; they run one after the other in a thread of their own."""

    def __init__(self, most: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="think")
        self._most = most
        self.waiting = 0

    def check(self) -> None:
        """Raise Unavailable while there is no room."""
        if self.waiting >= self._most:
            raise Unavailable(f"busy: {self.waiting} examples are waiting")

    async def run(self, job: Callable[[], T], stages: Stages) -> T:
        """The job's result; raises Unavailable at once when there is no room. A caller that leaves wastes no result."""
        self.check()
        self.waiting += 1
        begun = time.perf_counter()

        def turn() -> T:
            stages.add("wait", (time.perf_counter() - begun) * 1000)
            return job()

        future = asyncio.get_running_loop().run_in_executor(self._thread, turn)
        future.add_done_callback(self._left)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Drop what waits; the job in hand ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _left(self, future: "asyncio.Future[T]") -> None:
        self.waiting -= 1
        if not future.cancelled():
            future.exception()  # read, so that a caller who left does not make a warning of it
