"""What happens to a hard example after its frame was answered: a receipt, a late answer, or another day.

An example is *in hand* from the moment its frame is judged hard until this module lets it go; `delivery` leaves those
alone, and the queue's bounds never push them out.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from umiak_workers.adapters.answer_log import AnswerLog, Payloads
from umiak_workers.adapters.clock import Clock
from umiak_workers.adapters.example_queue import ExampleQueue
from umiak_workers.contract.errors import InvalidPrediction, MessageError, Refused, UmiakError
from umiak_workers.contract.messages import Answer, Receipt
from umiak_workers.core.backoff import delay
from umiak_workers.router.cloudgate import Call
from umiak_workers.router.frames import CloudReply, Offload, Outcome, Parcel
from umiak_workers.router.fusion import merged

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""seconds between two tries to deliver one example"""
HOPELESS = (400, 413, 415, 422)
"""HTTP statuses of a cloud that will never take this example; any other refusal may be healed by an operator"""
log = structlog.get_logger()


class FollowUp:
    """Settles hard examples in the background. `announce` hears of every later revision."""

    def __init__(
        self,
        answers: AnswerLog,
        queue: ExampleQueue,
        clock: Clock,
        offload: Offload[Payloads],
        draw: Callable[[], float],
        announce: Callable[[Outcome], None],
    ) -> None:
        self._answers = answers
        self._queue = queue
        self._clock = clock
        self._offload = offload
        self._draw = draw
        self._announce = announce
        self._held: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def in_hand(self) -> frozenset[str]:
        """Frames whose example somebody works on."""
        return frozenset(self._held)

    def hold(self, frame: str) -> None:
        """Somebody works on this example now."""
        self._held.add(frame)

    def forget(self, frame: str) -> None:
        """Nobody does any more."""
        self._held.discard(frame)

    def answered(self, parcel: Parcel, reply: CloudReply) -> None:
        """The cloud answered and the answer is in the log."""
        self._spawn(self.settle(parcel.header.frame, reply, last=parcel.last))

    def failed(self, parcel: Parcel, error: UmiakError) -> None:
        """The cloud could not be asked, or refused; the frame has been answered by the edge."""
        self._spawn(self.put_off(parcel.header.frame, 0, error, whole=parcel.whole))

    def await_late(self, answer: Answer, edge_payload: bytes, call: Call) -> None:
        """The frame was answered by the edge because the call took too long; see what becomes of the call."""
        if not call.sent:
            call.task.cancel()
            self.forget(answer.frame)
            return
        self._spawn(self._late(answer, edge_payload, call))

    async def settle(self, frame: str, reply: CloudReply, *, last: bool = False) -> None:
        """The example leaves the queue with a receipt, or waits for one; `last`: it is done with in any case."""
        receipt = reply.header.receipt
        try:
            if last:
                await self._queue.remove(frame)
            elif receipt is None:
                await self._queue.mark_answered(frame)
                await self._queue.postpone(frame, self._clock.now() + delay(1, FIRST_PAUSE, LONGEST_PAUSE, self._draw))
            else:
                await self.done(receipt)
        finally:
            self.forget(frame)

    async def done(self, receipt: Receipt) -> None:
        """The hub has durably decided."""
        if receipt.outcome == "rejected":
            log.warning("the hub rejected an example", frame=receipt.frame, reason=receipt.reason)
        await self._queue.remove(receipt.frame)

    async def put_off(self, frame: str, tries: int, error: UmiakError, *, whole: bool = True) -> None:
        """Try again later; an example that the cloud will never take is given up and counted.

        What it says of a part (an older cloud worker takes none) says nothing of the whole photo.
        """
        try:
            if whole and isinstance(error, Refused) and error.status in HOPELESS:
                log.error("the cloud refuses an example, it is dropped", frame=frame, reason=str(error))
                await self._queue.drop(frame)
            else:
                pause = delay(tries + 1, FIRST_PAUSE, LONGEST_PAUSE, self._draw)
                await self._queue.postpone(frame, self._clock.now() + pause)
        finally:
            self.forget(frame)

    async def revise(
        self,
        answer: Answer,
        edge_payload: bytes,
        reply: CloudReply,
        milliseconds: float,
        sharp_area: float | None = None,
    ) -> UmiakError | None:
        """Write the cloud's late answer to a frame as revision 1, once; why it does not fit, if it does not."""
        try:
            payloads = await self._offload(lambda: merged(answer.task, edge_payload, reply))
        except (MessageError, InvalidPrediction) as error:
            log.warning("a late answer does not fit its frame", frame=answer.frame, reason=str(error))
            return error
        entry = await self._answers.find(answer.frame, 0)
        later = answer.model_copy(
            update={
                "revision": 1,
                "answered_by": "cloud",
                "reason": "CloudAnswered",
                "cloud_models": reply.header.models,
                "answered_at": self._clock.now(),
                "stages_milliseconds": {"cloud": round(milliseconds, 3)},
                "bytes_up": reply.bytes_up,
                "bytes_down": reply.bytes_down,
                "sharp_area": sharp_area,
            }
        )
        if entry and await self._answers.commit(later, entry.digest, payloads):
            self._announce(Outcome(later, payloads))
        return None

    async def close(self) -> None:
        """Stop; what is unfinished stays in the queue."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _late(self, answer: Answer, edge_payload: bytes, call: Call) -> None:
        begun, parcel = self._clock.monotonic(), call.parcel
        try:
            reply = await call.task
        except UmiakError as error:
            await self.put_off(answer.frame, 0, error, whole=parcel.whole)
            return
        waited = answer.stages_milliseconds.get("cloud", 0.0) + (self._clock.monotonic() - begun) * 1000
        misfit = await self.revise(answer, edge_payload, reply, waited, parcel.sharp_area)
        if misfit is not None and parcel.last:  # nothing else would be left of the frame
            await self.put_off(answer.frame, 0, misfit, whole=parcel.whole)
        else:
            await self.settle(answer.frame, reply, last=parcel.last)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("an example could not be settled, it stays in the queue", reason=repr(error))
