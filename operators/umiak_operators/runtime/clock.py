"""The one place where the operator meets time, so that a test can move it by hand."""

import asyncio
import time
from typing import Protocol

_LONGEST_WAIT = 60.0
"""seconds; a wall clock that was set while we waited is noticed after this at the latest."""


class Clock(Protocol):
    """Wall-clock time and waiting for it."""

    def now(self) -> float:
        """Seconds since the epoch."""

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        """Return once `event` is set or `until` has come (None: no such moment); may return early."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        """See Clock.wait."""
        seconds = _LONGEST_WAIT if until is None else min(_LONGEST_WAIT, max(0.0, until - self.now()))
        try:
            async with asyncio.timeout(seconds):  # (3.11's wait_for can lose a cancellation)
                await event.wait()
        except TimeoutError:
            return
