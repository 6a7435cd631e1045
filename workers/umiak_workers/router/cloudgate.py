"""The way to the cloud: few requests at a time, none at all while the cloud is known to be away."""

import asyncio
from collections.abc import Callable

import structlog

from umiak_workers.adapters.clock import Clock
from umiak_workers.contract.errors import IdentityError, UmiakError, Unavailable
from umiak_workers.contract.messages import ExampleHeader
from umiak_workers.core import roundtrip
from umiak_workers.core.breaker import Breaker
from umiak_workers.core.roundtrip import RoundTrips, Trip
from umiak_workers.router.frames import CloudPort, CloudReply, Parcel

SHORTEST_BREAK = 1.0
LONGEST_BREAK = 15.0
"""seconds"""
log = structlog.get_logger()


class Call:
    """One live example on its way. `sent` is False while it waits for its turn."""

    def __init__(self, gate: "CloudGate", parcel: Parcel) -> None:
        self.parcel = parcel
        self.sent = False
        self.task = asyncio.ensure_future(self._take_turn(gate))

    @property
    def went_up(self) -> bool:
        """Whether its bytes went up, or still do: not before its turn, nor when the cloud was not to be had."""
        if not self.sent or not self.task.done():
            return self.sent
        return not self.task.cancelled() and not isinstance(self.task.exception(), Unavailable)

    async def _take_turn(self, gate: "CloudGate") -> CloudReply:
        gate.fail_if_away()
        async with gate.turns:
            self.sent = True
            return await gate.ask(self.parcel.header, self.parcel.photo)


class CloudGate:
    """`in_flight` requests at most; the breaker is shared by live frames and later deliveries.

    `moved` hears of bytes up and down.
    """

    def __init__(self, cloud: CloudPort, clock: Clock, in_flight: int, moved: Callable[[int, int], None]) -> None:
        self._cloud = cloud
        self._clock = clock
        self._moved = moved
        self.turns = asyncio.Semaphore(in_flight)
        self._breaker = Breaker(SHORTEST_BREAK, LONGEST_BREAK)
        self._trips = RoundTrips()

    def expected(self, size: int) -> float | None:
        """Seconds until an upload of so many bytes would be answered; None while nobody knows."""
        return roundtrip.expected(self._trips, size, self._clock.monotonic())

    def may_go(self, size: int, until: float) -> bool:
        """Whether an upload that must be answered by the monotonic moment `until` is worth trying."""
        goes, self._trips = roundtrip.may_go(self._trips, size, self._clock.monotonic(), until)
        return goes

    @property
    def closed_until(self) -> float:
        """The monotonic moment before which nothing is sent; 0 while the cloud is reachable."""
        return 0.0 if self._breaker.closed else self._breaker.again_at

    async def ask(self, header: ExampleHeader, photo: bytes) -> CloudReply:
        """Send an example now; raises what the cloud's port raises, Unavailable while the breaker is open."""
        passes, self._breaker = self._breaker.passes(self._clock.monotonic())
        if not passes:
            raise Unavailable("the cloud is away")
        begun = self._clock.monotonic()
        try:
            reply = await self._cloud.ask(header, photo)
        except (Unavailable, IdentityError) as error:
            self._failed(str(error))
            raise
        except asyncio.CancelledError:
            self._breaker = self._breaker.abandoned()
            raise
        except UmiakError:  # an answer all the same: it refused, or spoke nonsense
            self._succeeded()
            raise
        self._succeeded()
        now = self._clock.monotonic()
        self._trips = roundtrip.answered(self._trips, Trip(len(photo), now - begun, now))
        self._moved(reply.bytes_up, reply.bytes_down)
        return reply

    @property
    def away(self) -> bool:
        """Whether the cloud is known to be away."""
        return self._clock.monotonic() < self.closed_until

    def fail_if_away(self) -> None:
        """Raises Unavailable while the cloud is known to be away."""
        if self.away:
            raise Unavailable("the cloud is away")

    def _failed(self, why: str) -> None:
        before = self._breaker.closed
        self._breaker = self._breaker.failed(self._clock.monotonic())
        if before and not self._breaker.closed:
            log.warning("the cloud is away, hard frames are answered at the edge", reason=why)

    def _succeeded(self) -> None:
        if not self._breaker.closed:
            log.info("the cloud is back")
        self._breaker = self._breaker.succeeded()
