"""What to ask a promptable segmenter: about what the pixel labels show, about what they doubt, or everywhere?

Seed 001, 3.2 takes masks of the whole photo from SAM's automatic mode; the cloud asks about the areas of a prediction
instead (`core/masks.prompts_from`). Each way of asking is judged by what its masks do to the pixel labels they vote on,
on the same frames, with a block-bootstrap interval; a way that does not help, or harms, is said to.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from umiak_workers.bench.fusion import Verdict, verdict
from umiak_workers.bench.sam_grid import everywhere, worthwhile
from umiak_workers.cloud.think import UNCERTAIN, vote
from umiak_workers.contract.config import Fusion
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.label import softmax
from umiak_workers.core.masks import VOID, Prompt, prompts_from
from umiak_workers.core.metrics import Counts, block_bootstrap_difference, confusion, mean_iou
from umiak_workers.datasets.sample import Dataset, Sample, walk
from umiak_workers.predictors.planes import grown_logits
from umiak_workers.predictors.promptable import Embedding, Masks, Promptable
from umiak_workers.predictors.segmentation import Segmenter

BLOCK = 5
"""Frames in a block of the bootstrap."""
NONE = "nothing"
MOST = 1_000_000
"""More areas than any prediction has."""
Asking = Callable[[NDArray[np.float32], int, int], tuple[Prompt, ...]]
"""Probabilities CxHxW, most prompts, smallest area in pixels -> what to ask."""


def about_areas(shares: NDArray[np.float32], limit: int, area: int) -> tuple[Prompt, ...]:
    """A box and a point for each area of one class."""
    return prompts_from(shares, limit, area, 0.0)


def about_doubt(shares: NDArray[np.float32], limit: int, area: int) -> tuple[Prompt, ...]:
    """A point in each area where the best class hardly leads."""
    return tuple(prompt for prompt in prompts_from(shares, MOST, area, UNCERTAIN) if prompt.box is None)[:limit]


def about_both(shares: NDArray[np.float32], limit: int, area: int) -> tuple[Prompt, ...]:
    """As the cloud asks."""
    return prompts_from(shares, limit, area, UNCERTAIN)


WAYS: dict[str, Asking] = {"areas": about_areas, "doubt": about_doubt, "areas+doubt": about_both}


@dataclass(frozen=True)
class Row:
    """One way of asking on one data set, for the pixel labels of one model; counts are means per frame.

    `kept` masks were large and good enough to vote (and distinct, on a grid), `decided` ones changed labels. `gain` is
    mIoU over the same pixel labels without masks, with 95 % ends; `encode_ms` and `decode_ms` are p50.
    """

    data: str
    source: str
    way: str
    frames: int
    miou: float
    prompts: float = 0.0
    encode_ms: float = 0.0
    decode_ms: float = 0.0
    kept: float = 0.0
    decided: float = 0.0
    gain: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def verdict(self) -> Verdict:
        """What the interval allows to say about a difference that masks make."""
        return verdict(self.low, self.high)

    def as_json(self) -> dict[str, object]:
        """Plain values, the verdict among them."""
        return {**asdict(self), "verdict": self.verdict}


@dataclass(frozen=True)
class Answer:
    """What one way of asking gave on one frame: masks that may vote, after so many prompts and milliseconds."""

    prompts: int
    milliseconds: float
    masks: Masks


@dataclass
class Tally:
    """Frame by frame: confusion counts, answers' figures, masks that decided."""

    counts: list[Counts] = field(default_factory=list)
    answers: list[tuple[int, float, int]] = field(default_factory=list)
    decided: int = 0


class PromptingBench:
    """The models under test; `grids` are points per side of the full grids that are tried."""

    def __init__(
        self, sources: Mapping[str, Segmenter], sam: Promptable, grids: Sequence[int], fusion: Fusion, seed: int
    ) -> None:
        self._sources, self._sam = dict(sources), sam
        self._grids, self._fusion, self._seed = tuple(grids), fusion, seed

    def run(self, name: str, samples: Dataset, progress: Callable[[], None]) -> list[Row]:
        """Rows of one data set: each source without masks, then by each way; raises ConfigError for unfit labels."""
        tallies: dict[tuple[str, str], Tally] = {}
        encoding: list[float] = []
        for sample in walk(samples):
            if sample.label is not None:
                self._check(name, sample.label)
                self._frame(sample, sample.label, encoding, tallies)
            progress()
        if not encoding:
            raise ConfigError(f"{name}: holds no labelled photo")
        return [self._row(name, source, way, encoding, tallies) for source, way in tallies]

    def _check(self, name: str, label: NDArray[np.uint8]) -> None:
        for source, model in self._sources.items():
            known = {*range(len(model.card.classes)), model.card.void, VOID}
            if strange := sorted(set(np.unique(label).tolist()) - known):
                raise ConfigError(f"{name}: label {strange[0]} is no class of the {source} model {model.card.name}")

    def _frame(
        self, sample: Sample, label: NDArray[np.uint8], encoding: list[float], tallies: dict[tuple[str, str], Tally]
    ) -> None:
        begun = time.perf_counter()
        embedding = self._sam.encode(sample.image)
        encoding.append(_since(begun))
        grids = {f"grid {side}x{side}": self._over(embedding, side, *label.shape) for side in self._grids}
        for source, model in self._sources.items():
            logits = grown_logits(model.predict(sample.image).logits, *label.shape)
            asked = {way: self._about(embedding, logits, asking) for way, asking in WAYS.items()}
            for way, answer in {NONE: None, **asked, **grids}.items():
                tally = tallies.setdefault((source, way), Tally())
                found = vote(logits, None if answer is None else answer.masks, self._fusion, 1.0)
                tally.counts.append(confusion(label, found.labels, len(model.card.classes)))
                tally.decided += found.masks
                if answer is not None:
                    tally.answers.append((answer.prompts, answer.milliseconds, len(answer.masks.masks)))

    def _about(self, embedding: Embedding, logits: NDArray[np.float32], asking: Asking) -> Answer:
        """Ask about pixel scores CxHxW at the photo's size."""
        fusion, begun = self._fusion, time.perf_counter()
        prompts = asking(softmax(logits), fusion.prompts, max(1, fusion.minimum_area))
        found = self._sam.decode(embedding, prompts, *logits.shape[1:])
        kept = worthwhile(found, fusion.minimum_area, fusion.minimum_quality)
        return Answer(len(prompts), _since(begun), kept)

    def _over(self, embedding: Embedding, side: int, height: int, width: int) -> Answer:
        fusion, begun = self._fusion, time.perf_counter()
        kept = everywhere(self._sam, embedding, side, height, width, fusion.minimum_area, fusion.minimum_quality)
        return Answer(side * side, _since(begun), kept)

    def _row(
        self, name: str, source: str, way: str, encoding: list[float], tallies: dict[tuple[str, str], Tally]
    ) -> Row:
        tally, alone = tallies[source, way], tallies[source, NONE]
        frames, miou = len(tally.counts), _miou(tally)
        if way == NONE:
            return Row(name, source, way, frames, miou)
        prompts, milliseconds, kept = np.array(tally.answers, dtype=np.float64).T
        low, high = block_bootstrap_difference(alone.counts, tally.counts, min(BLOCK, frames), self._seed)
        return Row(
            data=name,
            source=source,
            way=way,
            frames=frames,
            miou=miou,
            prompts=float(prompts.mean()),
            encode_ms=float(np.median(encoding)),
            decode_ms=float(np.median(milliseconds)),
            kept=float(kept.mean()),
            decided=tally.decided / frames,
            gain=miou - _miou(alone),
            low=low,
            high=high,
        )


def _miou(tally: Tally) -> float:
    return mean_iou(sum(tally.counts, np.zeros_like(tally.counts[0])))


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000
