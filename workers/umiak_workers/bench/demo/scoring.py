"""Who was right how often: confusion counts per frame for edge, cloud and the fused answer, kept by stretch.

A stretch is one part of the story (day, dusk, unseen dusk). Ground truth enters here and nowhere else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.messages import Answer
from umiak_workers.core.metrics import Counts, block_bootstrap_difference, confusion, mean_iou

BLOCK = 10
"""frames per bootstrap block; neighbouring frames show nearly the same scene"""


@dataclass(frozen=True)
class Scored:
    """One answered frame and, where the photo had a label, the counts of each system's mask by its name."""

    stretch: str
    edge: str
    answer: Answer
    counts: dict[str, Counts]
    photo_bytes: int

    @property
    def uploaded(self) -> bool:
        """The photo goes up: with the answer, or later, when the example is delivered."""
        return self.answer.rule != "" and self.answer.reason != "QueueFull"

    @property
    def bytes_up(self) -> int:
        """Of an example that is delivered later only the photo's size is known here."""
        return self.answer.bytes_up or (self.photo_bytes if self.uploaded else 0)


@dataclass
class Scoreboard:
    """Everything scored so far; bounded by the length of the story."""

    classes: int
    frames: list[Scored] = field(default_factory=list)

    def add(
        self,
        stretch: str,
        edge: str,
        answer: Answer,
        truth: NDArray[np.uint8] | None,
        masks: dict[str, NDArray[np.uint8]],
        photo_bytes: int,
    ) -> Scored:
        """Score one answer to a photo of `photo_bytes`; `masks` are HxW uint8 class ids by system."""
        counts = {} if truth is None else {name: confusion(truth, mask, self.classes) for name, mask in masks.items()}
        scored = Scored(stretch, edge, answer, counts, photo_bytes)
        self.frames.append(scored)
        return scored

    def of(self, *stretches: str) -> list[Scored]:
        """Frames of these stretches, edge by edge, so that neighbours in the list are neighbours in time."""
        chosen = [frame for frame in self.frames if frame.stretch in stretches]
        return sorted(chosen, key=lambda frame: frame.edge)


def miou(frames: Iterable[Scored], system: str) -> float | None:
    """mIoU of one system over frames; None where nothing was labelled."""
    counts = series(frames, system)
    return mean_iou(np.sum(counts, axis=0)) if counts else None


def series(frames: Iterable[Scored], system: str) -> list[Counts]:
    """The system's counts, frame by frame, where it answered a labelled frame."""
    return [frame.counts[system] for frame in frames if system in frame.counts]


@dataclass(frozen=True)
class Gain:
    """mIoU of the second system minus the first's on the same frames, with its 95 % block-bootstrap interval."""

    miou: float
    low: float
    high: float
    frames: int


def gain(first: Sequence[Counts], second: Sequence[Counts], seed: int) -> Gain | None:
    """The paired gain; None for fewer frames than one block."""
    if len(first) < BLOCK or len(first) != len(second):
        return None
    low, high = block_bootstrap_difference(first, second, BLOCK, seed)
    difference = mean_iou(np.sum(second, axis=0)) - mean_iou(np.sum(first, axis=0))
    return Gain(difference, low, high, len(first))


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50 and p95 of durations in milliseconds; empty for none."""
    if not values:
        return {}
    p50, p95 = np.percentile(values, (50, 95))
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}
