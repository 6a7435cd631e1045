"""Hard examples that are still on disk go to the cloud later: receipt first, then the photo, with patience.

For each example the hub is asked first whether it already has it; only then is the photo sent again, with
`answer=false` where the cloud has answered and only the receipt is missing: it got lost, or a part of the photo was
answered and the whole one is still to be learned from. One example at a time, so that live frames keep their turns.
"""

import asyncio
from collections.abc import Callable

import structlog

from umiak_workers.adapters.answer_log import AnswerLog
from umiak_workers.adapters.clock import Clock
from umiak_workers.adapters.example_queue import Example, ExampleQueue
from umiak_workers.contract.errors import Refused, UmiakError, Unavailable
from umiak_workers.contract.messages import Receipt
from umiak_workers.core.backoff import delay
from umiak_workers.router.cloudgate import CloudGate
from umiak_workers.router.followup import FollowUp
from umiak_workers.router.frames import HubPort

IDLE_SECONDS = 1.0
LONGEST_PAUSE = 15.0
"""seconds between two tries while cloud or hub are away"""
log = structlog.get_logger()


class Delivery:
    """The loop; `run` until cancelled, or `step` by step.

    `learn_parts` False: an example that was answered in part is done with. That is settled when the answer comes, and
    here for a process that was killed before it could.
    """

    def __init__(
        self,
        answers: AnswerLog,
        queue: ExampleQueue,
        cloud: CloudGate,
        hub: HubPort,
        follow_up: FollowUp,
        clock: Clock,
        draw: Callable[[], float],
        learn_parts: bool = True,
    ) -> None:
        self._answers = answers
        self._queue = queue
        self._cloud = cloud
        self._hub = hub
        self._follow_up = follow_up
        self._clock = clock
        self._draw = draw
        self._learn_parts = learn_parts
        self._failures = 0

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            await self._clock.sleep(await self.step())

    async def step(self) -> float:
        """Deliver one example if one is due; returns the seconds to wait before the next look."""
        wait = self._cloud.closed_until - self._clock.monotonic()
        if wait > 0:
            return min(wait, LONGEST_PAUSE)
        try:
            example = await self._queue.due(self._clock.now(), self._follow_up.in_hand)
            if example is None:
                return IDLE_SECONDS
            return await self._deliver(example)
        except Unavailable as error:  # the queue's own disk
            log.error("the queue cannot be read", reason=str(error))
            return IDLE_SECONDS

    async def _deliver(self, example: Example) -> float:
        frame = example.header.frame
        self._follow_up.hold(frame)
        try:
            if not self._learn_parts and await self._answered_in_part(frame):
                await self._queue.remove(frame)
                self._follow_up.forget(frame)
                return 0.0
            receipt = await self._receipt(frame, example.header.digest)
            if receipt is None:
                await self._send(example)
            else:
                await self._follow_up.done(receipt)
                self._follow_up.forget(frame)
        except UmiakError as error:
            self._failures += 1
            await self._follow_up.put_off(frame, example.tries, error)
            return delay(self._failures, IDLE_SECONDS, LONGEST_PAUSE, self._draw)
        except asyncio.CancelledError:
            self._follow_up.forget(frame)
            raise
        if self._failures:
            await self._queue.hurry(self._clock.now())
        self._failures = 0
        return 0.0

    async def _answered_in_part(self, frame: str) -> bool:
        entries = [await self._answers.find(frame, revision) for revision in (0, 1)]
        return any(entry is not None and entry.answer.sharp_area is not None for entry in entries)

    async def _receipt(self, frame: str, digest: str) -> Receipt | None:
        """What the hub decided; a hub that refuses to say is as good as one that is away."""
        try:
            return await self._hub.receipt(frame, digest)
        except Refused as error:
            raise Unavailable(str(error)) from error

    async def _send(self, example: Example) -> None:
        header = example.header
        begun = self._clock.monotonic()
        entry = await self._answers.find(header.frame, 0)
        wants_answer = entry is not None and not example.answered and entry.answer.answered_by == "edge"
        reply = await self._cloud.ask(header.model_copy(update={"answer": wants_answer}), example.photo)
        if entry is not None and wants_answer and reply.header.regions:
            edge_payload = entry.payloads.edge or entry.payloads.final
            milliseconds = (self._clock.monotonic() - begun) * 1000
            await self._follow_up.revise(entry.answer, edge_payload, reply, milliseconds)
        else:
            await self._answers.count({"bytes_up": reply.bytes_up, "bytes_down": reply.bytes_down})
        await self._follow_up.settle(header.frame, reply)
