"""When a round starts: a chain of one-idea checks, each of which gives a reason to wait. None waits: train."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from umiak_operators.plan.rounds import Round
from umiak_workers.contract.fleet import FleetView


@dataclass(frozen=True)
class Waiting:
    """Why no round starts now."""

    reason: str
    message: str


@dataclass(frozen=True)
class Moment:
    """What the checks look at."""

    fleet: FleetView | None
    wanted: int
    """New samples that start a round."""
    seen_up_to: int
    """Highest watermark of any round so far."""
    running: str | None
    """Name of the Job that runs."""
    landing: str | None
    """Name of the ModelPatch whose promotion has not moved the head yet."""

    @property
    def watermark(self) -> int:
        """Position of the newest sample."""
        return self.fleet.replay.watermark if self.fleet and self.fleet.replay else 0

    @property
    def head(self) -> str | None:
        """Digest of the line's head."""
        return self.fleet.line.digest if self.fleet and self.fleet.line else None

    @property
    def new(self) -> int:
        """Samples that no round has seen."""
        return max(0, self.watermark - self.seen_up_to)


Check = Callable[[Moment], Waiting | None]


def no_round_runs(moment: Moment) -> Waiting | None:
    """One round at a time."""
    return Waiting("RoundRunning", f"Job {moment.running} runs") if moment.running else None


def hub_answers(moment: Moment) -> Waiting | None:
    """Samples and head are known."""
    return Waiting("HubUnreachable", "the hub has not answered") if moment.fleet is None else None


def line_has_head(moment: Moment) -> Waiting | None:
    """There is a model to start from."""
    return None if moment.head else Waiting("LineEmpty", "the model line has no head yet")


def promotion_has_landed(moment: Moment) -> Waiting | None:
    """The next round starts from what the last one promoted."""
    return (
        Waiting("PatchPending", f"ModelPatch {moment.landing} has not moved the head yet") if moment.landing else None
    )


def enough_samples(moment: Moment) -> Waiting | None:
    """As many new samples as the trigger asks for."""
    if moment.new >= moment.wanted:
        return None
    return Waiting("TooFewSamples", f"a round starts at {moment.wanted} new samples")


CHECKS: Final[tuple[Check, ...]] = (no_round_runs, hub_answers, line_has_head, promotion_has_landed, enough_samples)


def why_wait(moment: Moment) -> Waiting | None:
    """The first reason to wait, or None."""
    return next((found for check in CHECKS if (found := check(moment)) is not None), None)


def should_train(moment: Moment) -> Round | None:
    """The round that should start now, or None."""
    if why_wait(moment) is not None or moment.head is None:
        return None
    return Round(moment.head, moment.watermark)
