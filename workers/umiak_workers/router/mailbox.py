"""One place between a thread that reads a video and the task that has its frames answered.

It holds at most one item. Of a live video the newest wins: an item that nobody has taken is dropped for the next one.
Of a file the reader waits until the item before it is taken.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from umiak_workers.contract.errors import UmiakError

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Made in the running event loop; `put`, `end` and `rest` are the thread's, `take` and `close` the task's."""

    def __init__(self, newest_wins: bool, dropped: Callable[[], None]) -> None:
        """`dropped` is called in the reader's thread."""
        self._newest_wins = newest_wins
        self._dropped = dropped
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        self._changed = threading.Condition()
        self._item: T | None = None
        self._ended = False
        self._closed = False
        self._error: UmiakError | None = None

    def put(self, item: T) -> bool:
        """Hand over an item; False once nobody takes items any more."""
        with self._changed:
            while self._item is not None and not self._newest_wins and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            replaced = self._item is not None
            self._item = item
        if replaced:
            self._dropped()
        self._ring()
        return True

    def rest(self, seconds: float) -> bool:
        """Wait; False, and at once, when nobody takes items any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, max(0.0, seconds))
            return not self._closed

    def end(self, error: UmiakError | None = None) -> None:
        """No more items will come; `error`: why."""
        with self._changed:
            self._ended, self._error = True, error
        self._ring()

    async def take(self) -> T | None:
        """The item, as soon as there is one; None after the last one. Raises what the reader ended with."""
        while True:
            with self._changed:
                item, self._item = self._item, None
                self._filled.clear()
                self._changed.notify_all()
                if item is None and self._ended and self._error is not None:
                    raise self._error
                if item is not None or self._ended:
                    return item
            await self._filled.wait()

    def close(self) -> None:
        """Nobody takes items any more."""
        with self._changed:
            self._closed, self._item = True, None
            self._changed.notify_all()

    def _ring(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._filled.set)
        except RuntimeError:  # the loop is closed: the process ends
            return
