"""The one place where workers meet time, so that a test can move it by hand."""

import asyncio
import time
from typing import Any, Protocol


class Clock(Protocol):
    """`now` for records, `monotonic` for deadlines, `sleep` for waiting."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; at once for a number that is not positive."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since boot."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See Clock.sleep."""
        await asyncio.sleep(max(0.0, seconds))


async def within(
    clock: Clock, work: "asyncio.Future[Any]", until: float, ending: "asyncio.Future[Any] | None" = None
) -> bool:
    """Wait for `work` until the monotonic moment `until`, or until `ending` is done; True if it is done by then.

    A `work` that failed is done. Nothing is cancelled.
    """
    if work.done():
        return True
    sleeper: asyncio.Future[Any] = asyncio.ensure_future(clock.sleep(until - clock.monotonic()))
    waited = {work, sleeper} if ending is None else {work, sleeper, ending}
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeper.cancel()
    return work.done()
