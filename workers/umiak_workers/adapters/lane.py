"""One thread per database, so that the event loop never waits for a disk, and one commit for all who wait together.

A job is a function of a connection. Jobs that arrive while a commit is on its way to the disk share the next one
(group commit); if one of them fails, each is tried alone, so no job ever pays for another.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from umiak_workers.adapters.database import Database

T = TypeVar("T")
Act = Callable[[Connection], T]
MOST_TOGETHER = 64


class Lane(Protocol):
    """Where jobs on one database take turns."""

    async def do(self, act: Act[T]) -> T:
        """The job's result, once it is on the disk. Raises what the job raised, or Unavailable."""
        ...


@dataclass
class _Job:
    act: Act[Any]
    done: "Future[Any]" = field(default_factory=Future)


class ThreadLane:
    """The lane of a real process; begins with `start`, ends with `close`."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to take jobs."""
        self._thread.start()

    def close(self) -> None:
        """Finish what was handed in, then end; blocks for that long."""
        self._jobs.put(None)
        self._thread.join()
        self._database.close()

    async def do(self, act: Act[T]) -> T:
        """See Lane.do."""
        job = _Job(act)
        self._jobs.put(job)
        result: T = await asyncio.wrap_future(job.done)
        return result

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            together, last = self._drained(first)
            self._commit(together)
            if last:
                return

    def _drained(self, first: _Job) -> tuple[list[_Job], bool]:
        """(the jobs that wait, whether the end was among them)."""
        together = [first]
        while len(together) < MOST_TOGETHER:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return _wanted(together), True
            together.append(job)
        return _wanted(together), False

    def _commit(self, together: list[_Job]) -> None:
        try:
            with self._database.write() as connection:
                results = [job.act(connection) for job in together]
        except Exception as error:  # noqa: BLE001  handed to the one who waits; the lane itself must go on
            if len(together) == 1:
                together[0].done.set_exception(error)
                return
            for job in together:
                self._commit([job])
            return
        for job, result in zip(together, results, strict=True):
            job.done.set_result(result)


def _wanted(jobs: list[_Job]) -> list[_Job]:
    """Those whose caller still waits; they can no longer be called off."""
    return [job for job in jobs if job.done.set_running_or_notify_cancel()]
