"""Does a promptable segmenter help? Edge model, labeller and both, and each with masks that vote on its pixels.

Seed 001, 3.2. Every figure comes from photos that no model here was trained on; the gain of the masks over the pixel
labels they voted on is measured on the same frames, with a block-bootstrap interval.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from umiak_workers.cloud.think import ask, joined, vote
from umiak_workers.contract.config import Fusion
from umiak_workers.core.metrics import Counts, block_bootstrap_difference, confusion, mean_iou
from umiak_workers.datasets.sample import Dataset, Sample
from umiak_workers.predictors.planes import grown_logits
from umiak_workers.predictors.promptable import Promptable
from umiak_workers.predictors.segmentation import Segmenter

SOURCES = ("edge", "labeller", "both")
BLOCK = 5
"""Frames in a block of the bootstrap."""


Verdict = Literal["", "help", "harm", "not shown"]


def verdict(low: float | None, high: float | None) -> Verdict:
    """What a gain's 95 % ends say of masks; nothing without them."""
    if low is None or high is None:
        return ""
    return "help" if low > 0 else "harm" if high < 0 else "not shown"


@dataclass(frozen=True)
class Row:
    """One way of labelling on one data set. `gain` is mIoU over the same pixel labels without masks, with 95 % ends."""

    data: str
    source: str
    fusion: Fusion | None
    frames: int
    miou: float
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    masks: float = 0.0
    """Masks per frame that decided labels."""

    @property
    def verdict(self) -> Verdict:
        """What the interval allows to say about a difference that masks make."""
        return verdict(self.low, self.high)

    def as_json(self) -> dict[str, object]:
        """Plain values; `fusion` null for pixel labels alone."""
        return {**asdict(self), "fusion": None if self.fusion is None else self.fusion.model_dump()}


@dataclass
class Stopwatch:
    """Milliseconds of every stage of every frame."""

    taken: dict[str, list[float]] = field(default_factory=dict)

    def time(self, stage: str, act: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Do it and note how long it took."""
        begun = time.perf_counter()
        result = act()
        self.note(stage, begun)
        return result

    def note(self, stage: str, begun: float) -> None:
        """A stage that began at `begun` is over."""
        self.taken.setdefault(stage, []).append((time.perf_counter() - begun) * 1000)

    def medians(self) -> dict[str, float]:
        """Milliseconds by stage, p50."""
        return {stage: round(float(np.median(values)), 2) for stage, values in self.taken.items()}


@dataclass
class Tally:
    """Counts per frame of one way of labelling, and how many masks decided."""

    counts: list[Counts] = field(default_factory=list)
    masks: int = 0


class FusionBench:
    """The models under test; `rules` are tried on every frame, the first of them with its time taken."""

    def __init__(
        self, edge: Segmenter, labeller: Segmenter | None, sam: Promptable, rules: Sequence[Fusion], seed: int
    ) -> None:
        self._models = {"edge": edge} if labeller is None else {"edge": edge, "labeller": labeller}
        self._sources = SOURCES if labeller else SOURCES[:1]
        self._sam, self._rules, self._seed = sam, tuple(rules), seed
        self._classes = len(edge.card.classes)
        self.watch = Stopwatch()

    def run(self, name: str, samples: Dataset, progress: Callable[[], None]) -> list[Row]:
        """Rows of one data set: each source alone, then with each rule."""
        tallies = {(source, rule): Tally() for source in self._sources for rule in (None, *self._rules)}
        for index in range(len(samples)):
            self._frame(samples[index], tallies)
            progress()
        return [self._row(name, source, rule, tallies) for source, rule in tallies]

    def _frame(self, sample: Sample, tallies: dict[tuple[str, Fusion | None], Tally]) -> None:
        if sample.label is None:
            return
        begun = time.perf_counter()
        embedding = self._sam.encode(sample.image)
        self.watch.note("sam_encode", begun)
        for source, logits in self._scores(sample).items():
            grown = grown_logits(logits, *sample.label.shape)
            begun = time.perf_counter()
            masks = ask(self._sam, embedding, grown, self._rules[0])
            self.watch.note("sam_decode", begun)
            for rule in (None, *self._rules):
                begun = time.perf_counter()
                found = vote(grown, None if rule is None else masks, rule or self._rules[0], 1.0)
                if rule is self._rules[0]:
                    self.watch.note("vote", begun)
                tally = tallies[source, rule]
                tally.counts.append(confusion(sample.label, found.labels, self._classes))
                tally.masks += found.masks

    def _scores(self, sample: Sample) -> dict[str, NDArray[np.float32]]:
        scores = {
            source: self.watch.time(source, lambda model=model: model.predict(sample.image).logits)  # type: ignore[misc]
            for source, model in self._models.items()
        }
        if "labeller" in scores:
            scores["both"] = joined(scores["edge"], scores["labeller"], Fusion(labels="both"))
        return scores

    def _row(self, name: str, source: str, rule: Fusion | None, tallies: dict[tuple[str, Fusion | None], Tally]) -> Row:
        tally, alone = tallies[source, rule], tallies[source, None]
        frames = len(tally.counts)
        miou = mean_iou(sum(tally.counts, np.zeros_like(tally.counts[0])))
        if rule is None:
            return Row(name, source, None, frames, miou)
        low, high = block_bootstrap_difference(alone.counts, tally.counts, min(BLOCK, frames), self._seed)
        before = mean_iou(sum(alone.counts, np.zeros_like(alone.counts[0])))
        return Row(name, source, rule, frames, miou, miou - before, low, high, tally.masks / max(frames, 1))


def sweep(base: Fusion) -> Iterator[Fusion]:
    """`base`, then every combination worth trying when defaults are chosen."""
    yield base
    votes = ("probability", "logits", "majority")
    for kind, margin, quality, certain in itertools.product(votes, (0.0, 0.3, 0.6), (0.5, 0.65, 0.8), (0.7, 0.9, 1.0)):
        changes = {"vote": kind, "margin": margin, "minimum_quality": quality, "certain": certain}
        rule = Fusion(**{**base.model_dump(), **changes})
        if rule != base:
            yield rule
