"""Handing an example with its label to the hub: a receipt if the hub keeps it in good time, else none and no harm.

The router keeps an example until it sees a receipt, asks the hub by frame first and only then sends it again; so a
store that ends after the answer went out is not lost, and one that never happened is repeated.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from umiak_workers.contract.errors import IdentityError, MessageError, Refused, UmiakError, Unavailable
from umiak_workers.contract.messages import Receipt, SampleHeader
from umiak_workers.core.breaker import Breaker

PATIENCE_SECONDS = 1.0
"""How long an answer waits for its receipt."""
WORKERS = 4
MOST_PENDING = 16
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 15.0
"""How long a hub that is away is left alone."""
Put = Callable[[SampleHeader, bytes, bytes], Receipt]
"""(header, photo, label) -> Receipt; raises Unavailable, Refused, IdentityError, MessageError."""
log = structlog.get_logger()


class Store:
    """The way to the hub's replay store, never longer than it must be."""

    def __init__(self, put: Put, clock: Callable[[], float] = time.monotonic) -> None:
        self._put, self._clock = put, clock
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="store")
        self._breaker = Breaker(SHORTEST_SECONDS, LONGEST_SECONDS)
        self.pending = 0

    async def put(self, header: SampleHeader, photo: bytes, label: bytes) -> Receipt:
        """The hub's receipt; raises Unavailable when there is none in time, for whatever reason."""
        passes, self._breaker = self._breaker.passes(self._clock())
        if not passes:
            raise Unavailable("the hub is away, it is asked again soon")
        if self.pending >= MOST_PENDING:
            self._breaker = self._breaker.abandoned()
            raise Unavailable(f"the hub is slow: {self.pending} samples are on their way")
        self.pending += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, self._put, header, photo, label)
        future.add_done_callback(self._ended)
        try:
            return await asyncio.wait_for(asyncio.shield(future), PATIENCE_SECONDS)
        except TimeoutError as error:
            raise Unavailable("the hub has not stored the sample yet") from error
        except (Refused, IdentityError, MessageError) as error:
            raise Unavailable(f"the hub does not take the sample: {error}") from error

    def close(self) -> None:
        """Samples on their way may arrive or not; the router asks."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ended(self, future: "asyncio.Future[Receipt]") -> None:
        self.pending -= 1
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if isinstance(error, Unavailable):
            self._breaker = self._breaker.failed(self._clock())
        elif isinstance(error, asyncio.CancelledError):
            self._breaker = self._breaker.abandoned()
        else:
            self._breaker = self._breaker.succeeded()
        if isinstance(error, UmiakError):
            log.warning("a sample was not stored", reason=str(error))
