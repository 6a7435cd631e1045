"""What goes up for a hard frame: whether anything can in time, the whole photo or a part, and what that was charged."""

import structlog

from umiak_workers.adapters.clock import Clock
from umiak_workers.contract.messages import PredictionHeader
from umiak_workers.core.budget import Upload
from umiak_workers.core.judge import Verdict
from umiak_workers.router.cloudgate import Call, CloudGate
from umiak_workers.router.foveate import Foveate
from umiak_workers.router.policy import Policy

QUIET = 60.0
"""seconds between two lines in the log about a link that is fast enough, then not, then again"""
log = structlog.get_logger()


class Uplink:
    """The way up of one router. `foveate` None: photos go up whole."""

    def __init__(self, policy: Policy, cloud: CloudGate, clock: Clock, foveate: Foveate | None) -> None:
        self._policy = policy
        self._cloud = cloud
        self._clock = clock
        self._foveate = foveate
        self._slow = False
        self._said_at: float | None = None
        self._tileless = ""

    def in_reach(self, photo: int, until: float) -> bool:
        """Whether a photo of so many bytes is worth sending live for an answer by the monotonic moment `until`.

        While the cloud is known to be away, or the moment has passed, this is not the question.
        """
        left = until - self._clock.monotonic()
        if self._cloud.away or left <= 0:
            return True
        size = self._policy.live.expects(photo, 0.0).size
        self._note(self._cloud.expected(size), left)
        return self._cloud.may_go(size, until)

    def parts(self, seen: PredictionHeader) -> Foveate | None:
        """What makes a part of this photo; None: it goes up whole."""
        if self._foveate is None or self._cloud.away:
            return None
        if seen.tiles is None:
            if self._tileless != seen.model:
                log.warning("the edge server does not say where photos are hard, they go up whole", model=seen.model)
            self._tileless = seen.model
            return None
        return self._foveate

    def kept_nothing(self, verdict: Verdict, photo: int) -> None:
        """A hard photo of so many bytes will never be sent."""
        self._policy.settle(verdict, photo, Upload(0, 0.0, uploads=0))

    def later(self, verdict: Verdict, photo: int) -> None:
        """It was not sent live; its example is delivered whole later."""
        self._policy.settle(verdict, photo, Upload(photo, 0.0))

    def went(self, verdict: Verdict, photo: int, call: Call) -> None:
        """Its live call has ended, or goes on although the frame is answered."""
        parcel = call.parcel
        if not call.went_up:
            self.later(verdict, photo)
            return
        self._policy.live = self._policy.live.after(photo, Upload(len(parcel.photo), 0.0))
        if parcel.whole or parcel.last:
            self._policy.settle(verdict, photo, Upload(len(parcel.photo), 0.0))
        else:
            self._policy.settle(verdict, photo, Upload(len(parcel.photo) + photo, 0.0, uploads=2))

    def _note(self, expected: float | None, left: float) -> None:
        """Say when it becomes too slow, and when it is not any more."""
        slow, now = expected is not None and expected > left, self._clock.monotonic()
        if slow == self._slow or (self._said_at is not None and now - self._said_at < QUIET):
            return
        self._slow, self._said_at = slow, now
        if slow and expected is not None:
            seconds = {"expected_seconds": round(expected, 3), "left_seconds": round(left, 3)}
            log.warning("the cloud is too slow for the deadline, hard frames are answered at the edge", **seconds)
        else:
            log.info("the cloud is expected in time again")
