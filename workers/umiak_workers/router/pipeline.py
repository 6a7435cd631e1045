"""One final answer per frame, by its deadline: edge, judge, and for a hard frame a durable example and the cloud.

A hard frame never holds up those behind it. Whatever happens to the cloud, the frame is answered in time by the edge
and its example stays on disk for `delivery`; a cloud answer that comes later becomes revision 1. What goes up live is
the photo or, where regions are asked for, its hard part; the durable example is always the whole photo.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import structlog

from umiak_workers.adapters.answer_log import AnswerLog, Payloads
from umiak_workers.adapters.clock import Clock, within
from umiak_workers.adapters.example_queue import Example, ExampleQueue
from umiak_workers.adapters.photo import media_of
from umiak_workers.contract.errors import Refused, UmiakError, Unavailable
from umiak_workers.contract.messages import Reason
from umiak_workers.core.judge import Verdict
from umiak_workers.router.answers import example_header, final_answer
from umiak_workers.router.cloudgate import Call, CloudGate
from umiak_workers.router.followup import FollowUp
from umiak_workers.router.foveate import Foveate
from umiak_workers.router.frames import CloudReply, EdgePort, Frame, Offload, Outcome, Parcel, Prediction, Stages
from umiak_workers.router.fusion import merged
from umiak_workers.router.policy import Policy
from umiak_workers.router.uplink import Uplink

MOST_FRAMES = 64
"""frames in hand at once; one more is refused until there is room"""
EDGE_TURNS = 4
"""photos at the edge server at once"""
EDGE_PAUSE = 0.05
"""seconds between two tries while the edge server is away or busy"""
Announce = Callable[[Outcome], None]
log = structlog.get_logger()


@dataclass(frozen=True)
class Stores:
    """Where answers and hard examples are kept."""

    answers: AnswerLog
    queue: ExampleQueue


@dataclass(frozen=True)
class _Running:
    digest: str
    task: "asyncio.Future[Outcome]"


class Pipeline:
    """The way of every frame of one router; made inside the running event loop.

    `announce` hears of each answer once it is committed; `foveate` None: photos go up whole.
    """

    def __init__(
        self,
        policy: Policy,
        edge: EdgePort,
        cloud: CloudGate,
        stores: Stores,
        follow_up: FollowUp,
        clock: Clock,
        offload: Offload[Payloads],
        announce: Announce,
        foveate: Foveate | None = None,
    ) -> None:
        self._policy = policy
        self._edge = edge
        self._cloud = cloud
        self._stores = stores
        self._follow_up = follow_up
        self._clock = clock
        self._offload = offload
        self._announce = announce
        self._uplink = Uplink(policy, cloud, clock, foveate)
        self._edge_turns = asyncio.Semaphore(EDGE_TURNS)
        self._running: dict[str, _Running] = {}
        self._ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> int:
        """Frames in hand."""
        return len(self._running)

    def refuse_if_full(self) -> None:
        """Raises Unavailable while there is no room for one more frame."""
        if len(self._running) >= MOST_FRAMES:
            raise Unavailable(f"{MOST_FRAMES} frames are in hand")

    def wind_down(self) -> None:
        """The process is about to stop: nobody is waited for any more, hard frames in hand are the edge's to answer."""
        if not self._ending.done():
            self._ending.set_result(None)

    async def answer(self, frame: Frame) -> Outcome:
        """The final answer of a frame; the same one however often it is asked for.

        Raises Refused 409 for an id that belongs to other bytes, Unavailable while there is no room or no edge server
        (nothing is kept then), InvalidInput or InvalidPrediction for a photo that cannot be answered.
        """
        running = self._running.get(frame.id)
        if running is None:
            running = self._start(frame, self._once(frame))
        _same_photo(frame, running.digest)
        return await asyncio.shield(running.task)

    async def answer_again(self, example: Example) -> Outcome:
        """The edge's answer to a frame whose example was kept but whose answer was not (the process was killed).

        Its deadline has passed. Raises what `answer` raises.
        """
        header = example.header
        frame = Frame(header.frame, header.digest, media_of(example.photo), example.photo, header.captured_at, math.inf)
        running = self._running.get(frame.id) or self._start(frame, self._again(frame, example.rule))
        return await asyncio.shield(running.task)

    def _start(self, frame: Frame, work: Coroutine[Any, Any, Outcome]) -> _Running:
        try:
            self.refuse_if_full()
        except Unavailable:
            work.close()
            raise
        running = _Running(frame.digest, asyncio.ensure_future(work))
        self._running[frame.id] = running
        running.task.add_done_callback(lambda task: self._ended(frame.id, task))
        return running

    def _ended(self, frame: str, task: "asyncio.Future[Outcome]") -> None:
        del self._running[frame]
        if not task.cancelled():
            task.exception()  # whoever waits hears of it; if nobody waits any more it was not for us to say

    async def _once(self, frame: Frame) -> Outcome:
        if not frame.fresh and (known := await self._known(frame)):
            return known
        stages = Stages(self._clock.monotonic, self._clock.monotonic())
        frame, prediction = await stages.timed("edge", self._turn(frame))
        begun = self._clock.monotonic()
        seen = prediction.header
        verdict = self._policy.verdict(seen.scores, len(frame.photo), begun)
        stages.add("judge", self._clock.monotonic() - begun)
        if verdict is None:
            return await self._commit(frame, prediction, self._policy.spared(seen.scores, seen.model), "", stages)
        return await self._hard(frame, prediction, verdict, stages)

    async def _known(self, frame: Frame) -> Outcome | None:
        """The answer that the frame already has; raises Refused 409 for other bytes or an id that is too old."""
        entry = await self._stores.answers.find(frame.id, 0)
        if entry:
            _same_photo(frame, entry.digest)
            return Outcome(entry.answer, entry.payloads, replayed=True)
        if await self._stores.answers.forgotten(frame.id):
            raise Refused(f"{frame.id} is older than everything in the answer log", 409)
        return None

    async def _turn(self, frame: Frame) -> tuple[Frame, Prediction]:
        """The frame's turn at the edge server, and the edge's answer."""
        async with self._edge_turns:
            if frame.patient:
                frame = replace(frame, due=self._clock.monotonic() + self._policy.deadline)
            prediction = await self._predict(frame)
        if frame.looked_at:
            frame.looked_at()
        return frame, prediction

    async def _predict(self, frame: Frame) -> Prediction:
        """The edge's answer; while the edge server is away it is asked again until the frame is due."""
        while True:
            try:
                return await self._edge.predict(frame.photo, frame.media)
            except Unavailable:
                if self._ending.done() or self._clock.monotonic() + EDGE_PAUSE >= frame.due:
                    raise
            await self._clock.sleep(EDGE_PAUSE)

    async def _hard(self, frame: Frame, prediction: Prediction, verdict: Verdict, stages: Stages) -> Outcome:
        example = Example(example_header(frame, prediction), frame.photo, verdict.rule)
        self._follow_up.hold(frame.id)
        try:
            if not await stages.timed("queue", self._keep(example)):
                self._uplink.kept_nothing(verdict, len(frame.photo))
                self._follow_up.forget(frame.id)
                return await self._commit(frame, prediction, "QueueFull", verdict.rule, stages)
            return await self._ask(frame, prediction, example, verdict, stages)
        except BaseException:
            self._follow_up.forget(frame.id)
            raise

    async def _ask(
        self, frame: Frame, prediction: Prediction, example: Example, verdict: Verdict, stages: Stages
    ) -> Outcome:
        latest = frame.due - self._policy.reserve
        if not self._uplink.in_reach(len(frame.photo), latest):
            return await self._leave(frame, prediction, "CloudTooSlow", verdict, stages)
        parcel = await self._parcel(prediction, Parcel(example.header, frame.photo), latest, stages)
        if parcel is None:
            return await self._leave(frame, prediction, "DeadlineNear", verdict, stages)
        call = Call(self._cloud, parcel)
        try:
            in_time = await stages.timed("cloud", within(self._clock, call.task, latest, self._ending))
            self._uplink.went(verdict, len(frame.photo), call)
            if in_time:
                return await self._answered(frame, prediction, example.rule, call, stages)
            outcome = await self._commit(frame, prediction, "DeadlineNear", example.rule, stages)
        except BaseException:
            call.task.cancel()
            raise
        self._follow_up.await_late(outcome.answer, prediction.payload, call)
        return outcome

    async def _leave(
        self, frame: Frame, prediction: Prediction, reason: Reason, verdict: Verdict, stages: Stages
    ) -> Outcome:
        """Nothing goes up live: the edge answers, and the example is delivered later."""
        self._uplink.later(verdict, len(frame.photo))
        outcome = await self._commit(frame, prediction, reason, verdict.rule, stages)
        self._follow_up.forget(frame.id)
        return outcome

    async def _parcel(self, prediction: Prediction, whole: Parcel, latest: float, stages: Stages) -> Parcel | None:
        """What goes up: the whole photo, or where regions are asked for its hard part; None if that is late."""
        foveate = self._uplink.parts(prediction.header)
        if foveate is None:
            return whole
        making = asyncio.ensure_future(foveate(whole, prediction.header))
        try:
            in_time = await stages.timed("foveate", within(self._clock, making, latest, self._ending))
            return making.result() if in_time else None
        finally:
            making.cancel()

    async def _keep(self, example: Example) -> bool:
        try:
            return await self._stores.queue.put(example, self._follow_up.in_hand)
        except Unavailable as error:  # a full disk is a full queue
            log.warning("an example cannot be kept", frame=example.header.frame, reason=str(error))
            return False

    async def _answered(self, frame: Frame, prediction: Prediction, rule: str, call: Call, stages: Stages) -> Outcome:
        """The call has ended in time: a fused answer, or the edge's where the cloud could not be asked or refused."""
        try:
            reply = call.task.result()
            payloads = await stages.timed(
                "fuse", self._offload(lambda: merged(prediction.header.task, prediction.payload, reply))
            )
        except UmiakError as error:
            outcome = await self._commit(frame, prediction, "CloudUnreachable", rule, stages)
            self._follow_up.failed(call.parcel, error)
            return outcome
        area = call.parcel.sharp_area
        outcome = await self._commit(frame, prediction, "CloudAnswered", rule, stages, reply, payloads, area)
        self._follow_up.answered(call.parcel, reply)
        return outcome

    async def _commit(
        self,
        frame: Frame,
        prediction: Prediction,
        reason: Reason,
        rule: str,
        stages: Stages,
        reply: CloudReply | None = None,
        payloads: Payloads | None = None,
        sharp_area: float | None = None,
    ) -> Outcome:
        """Write revision 0. If the frame has one already, that one is the answer."""
        answer = final_answer(frame, prediction, reason, rule, stages.total(), self._clock.now(), reply, sharp_area)
        payloads = payloads or Payloads(prediction.payload)
        if not await stages.timed("log", self._stores.answers.commit(answer, frame.digest, payloads)):
            return await self._known(frame) or Outcome(answer, payloads)
        outcome = Outcome(answer.model_copy(update={"stages_milliseconds": stages.total()}), payloads)
        self._announce(outcome)
        return outcome

    async def _again(self, frame: Frame, rule: str) -> Outcome:
        if known := await self._known(frame):
            return known
        stages = Stages(self._clock.monotonic, self._clock.monotonic())
        frame, prediction = await stages.timed("edge", self._turn(frame))
        return await self._commit(frame, prediction, "DeadlineNear", rule, stages)


def _same_photo(frame: Frame, digest: str) -> None:
    if frame.digest != digest:
        raise Refused(f"{frame.id} was already used for another photo ({digest})", 409)
