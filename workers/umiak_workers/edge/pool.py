"""Inference off the event loop, in few threads with a short line: who finds it full is told at once."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from umiak_workers.contract.errors import Unavailable

T = TypeVar("T")


class Pool:
    """`workers` threads and at most `most_waiting` jobs that wait for one."""

    def __init__(self, workers: int, most_waiting: int) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="inference")
        self._most = workers + most_waiting
        self._pending = 0

    @property
    def pending(self) -> int:
        """Jobs that run or wait."""
        return self._pending

    async def run(self, job: Callable[[], T]) -> T:
        """The job's result; raises Unavailable at once when too many wait already."""
        if self._pending >= self._most:
            raise Unavailable(f"busy: {self._pending} requests are waiting for the model")
        self._pending += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, job)
        future.add_done_callback(self._one_less)
        return await future

    def close(self) -> None:
        """Drop what waits and end the threads once they are done."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _one_less(self, future: "asyncio.Future[T]") -> None:
        self._pending -= 1
