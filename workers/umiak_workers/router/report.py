"""The heartbeat: running totals to the hub, queue gauges for Prometheus, the router's own overhead into the log."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from umiak_workers.adapters.answer_log import REASON
from umiak_workers.adapters.clock import Clock
from umiak_workers.contract.errors import UmiakError
from umiak_workers.contract.messages import RouterState
from umiak_workers.router.frames import HubPort
from umiak_workers.router.metrics import RouterMetrics
from umiak_workers.router.pipeline import Stores
from umiak_workers.router.policy import Policy

VIDEO_DROPPED = "video_dropped"
"""Key of a running total."""
LONGEST_GAUGE_AGE = 2.0
"""seconds"""
log = structlog.get_logger()


class Reporter:
    """Says every `seconds` what has happened since the state folder was made."""

    def __init__(
        self, hub: HubPort, stores: Stores, policy: Policy, metrics: RouterMetrics, clock: Clock, seconds: float
    ) -> None:
        self._hub = hub
        self._stores = stores
        self._policy = policy
        self._metrics = metrics
        self._clock = clock
        self._seconds = seconds
        self._away = False
        self._told = 0

    async def state(self) -> RouterState:
        """Running totals; also refreshes the queue gauges."""
        if dropped := self._metrics.new_video_drops():
            await self._stores.answers.count({VIDEO_DROPPED: dropped})
        totals = await self._stores.answers.totals()
        fill = await self._stores.queue.fill(self._clock.now())
        self._metrics.filled(fill)
        by_reason = {key.removeprefix(REASON): value for key, value in totals.items() if key.startswith(REASON)}
        return RouterState(
            frames=totals.get("frames", 0),
            by_reason=by_reason,
            queue_items=fill.items,
            queue_bytes=fill.bytes,
            queue_oldest_seconds=round(fill.oldest_seconds, 3),
            dropped=fill.dropped,
            bytes_up=totals.get("bytes_up", 0),
            bytes_down=totals.get("bytes_down", 0),
            settings_version=self._policy.settings_version,
            at=self._clock.now(),
            latency=self._metrics.latency(),
            video_dropped=totals.get(VIDEO_DROPPED, 0),
        )

    async def run(self, draw: Callable[[], float]) -> None:
        """Heartbeats until cancelled; the first ones are spread so that a fleet does not speak at once."""
        await asyncio.gather(self._heartbeats(draw), self._gauges())

    async def beat(self) -> None:
        """One heartbeat; a hub that is away hears the next one."""
        try:
            state = await self.state()
            self._log(state)
            await self._hub.report(state)
        except UmiakError as error:
            if not self._away:
                log.warning("the hub does not take reports", reason=str(error))
            self._away = True
            return
        if self._away:
            log.info("the hub takes reports again")
        self._away = False

    async def _heartbeats(self, draw: Callable[[], float]) -> None:
        await self._clock.sleep(min(1.0, self._seconds) * draw())
        while True:
            await self.beat()
            await self._clock.sleep(self._seconds)

    async def _gauges(self) -> None:
        while True:
            await self._clock.sleep(min(LONGEST_GAUGE_AGE, self._seconds))
            with suppress(UmiakError):  # a full disk: the next heartbeat says so
                await self.state()

    def _log(self, state: RouterState) -> None:
        if state.frames == self._told:
            return
        self._told = state.frames
        p50, p95 = self._metrics.overhead()
        log.info(
            "frames",
            frames=state.frames,
            by_reason=state.by_reason,
            queue=state.queue_items,
            overhead_p50_milliseconds=round(p50, 2),
            overhead_p95_milliseconds=round(p95, 2),
        )
