"""What may change while frames are under way: the judge and the deadline. Live settings are applied here, in place."""

from collections.abc import Callable
from dataclasses import dataclass

from umiak_workers.contract.messages import LiveSettings, Scores
from umiak_workers.core.budget import Upload
from umiak_workers.core.judge import Judge, Verdict, judge, retuned

RESERVE_SHARE = 0.1
LONGEST_RESERVE = 0.05
"""seconds"""


@dataclass
class Policy:
    """The judge with its memory, the deadline in seconds, and the random numbers of miners that draw."""

    judge: Judge
    deadline: float
    draw: Callable[[], float]
    settings_version: int = 0

    @property
    def reserve(self) -> float:
        """Seconds before the deadline at which waiting ends, so that the answer is on the disk in time."""
        return min(LONGEST_RESERVE, RESERVE_SHARE * self.deadline)

    def verdict(self, scores: Scores, upload: Upload) -> Verdict | None:
        """Why a frame is hard or None; the judge has seen it then."""
        found, self.judge = judge(self.judge, scores, upload, self.draw)
        return found

    def apply(self, settings: LiveSettings) -> None:
        """Take over live settings; raises MessageError and changes nothing for numbers that no config would take."""
        self.judge = retuned(self.judge, settings)
        if settings.deadline_milliseconds is not None and settings.deadline_milliseconds > 0:
            self.deadline = settings.deadline_milliseconds / 1000
        self.settings_version = settings.settings_version
