"""What changes while frames are under way: the judge, the deadline, and what sending a photo takes.

Live settings are applied here, in place.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from umiak_workers.contract.messages import LiveSettings, Reason, Scores
from umiak_workers.core.budget import Habit, Upload
from umiak_workers.core.judge import Judge, Verdict, judge, retuned, settled, unjudged

RESERVE_SHARE = 0.1
LONGEST_RESERVE = 0.05
"""seconds"""
log = structlog.get_logger()


@dataclass
class Policy:
    """The judge with its memory, the deadline in seconds, and the random numbers of miners that draw.

    `habit` is what hard photos took of late in all, `live` what of them went up before they were answered.
    """

    judge: Judge
    deadline: float
    draw: Callable[[], float]
    settings_version: int = 0
    habit: Habit = field(default_factory=Habit)
    live: Habit = field(default_factory=Habit)
    _blind: str = ""

    @property
    def reserve(self) -> float:
        """Seconds before the deadline at which waiting ends, so that the answer is on the disk in time."""
        return min(LONGEST_RESERVE, RESERVE_SHARE * self.deadline)

    def verdict(self, scores: Scores, photo: int, at: float) -> Verdict | None:
        """Why a frame whose photo has so many bytes is hard or None; the judge has seen it then."""
        found, self.judge = judge(self.judge, scores, self.habit.expects(photo, at), self.draw)
        return found

    def settle(self, verdict: Verdict, photo: int, sent: Upload) -> None:
        """It is known what a hard photo of so many bytes takes in the end."""
        self.judge = settled(self.judge, verdict, sent)
        if sent.uploads:
            self.habit = self.habit.after(photo, sent)

    def spared(self, scores: Scores, model: str) -> Reason:
        """Why nobody is asked about a frame that no rule calls hard; a model that a rule is blind to is logged once."""
        blind = unjudged(self.judge, scores)
        if not blind:
            return "Easy"
        if model != self._blind:
            log.warning(
                "the edge model does not say what a rule goes by, it calls nothing hard", rules=blind, model=model
            )
            self._blind = model
        return "NotJudged"

    def apply(self, settings: LiveSettings) -> None:
        """Take over live settings; raises MessageError and changes nothing for numbers that no config would take."""
        self.judge = retuned(self.judge, settings)
        if settings.deadline_milliseconds is not None and settings.deadline_milliseconds > 0:
            self.deadline = settings.deadline_milliseconds / 1000
        self.settings_version = settings.settings_version
