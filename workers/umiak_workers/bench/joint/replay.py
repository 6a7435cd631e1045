"""Routers replayed over the evidence: for each budget, what is uploaded, what comes back, and how good and late it is.

The link is computed, not carried: bytes over its rate plus its round trip. What edge, codec and cloud take is measured
once per photo and counts alike for every router, so that latencies differ by what is sent and by nothing else. Accuracy
depends on data, models, codec and seed alone and repeats to the last digit.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from umiak_workers.bench.joint.curve import Point
from umiak_workers.bench.joint.evidence import Codec, Seen
from umiak_workers.bench.joint.routers import Router, Scores
from umiak_workers.core.metrics import Counts, block_bootstrap, confusion, mean_iou, pixel_accuracy
from umiak_workers.core.regions import Grid
from umiak_workers.predictors.scoring import Answers

BLOCK = 10
"""Neighbouring photos in a block of the bootstrap."""
ANSWER_BYTES = 1500
"""What a label map weighs on its way back, about; it is counted in time, not in the bytes uploaded."""


@dataclass(frozen=True)
class Link:
    """Bits per second and round-trip seconds."""

    rate: float
    round_trip: float

    def milliseconds(self, size: int) -> float:
        """Until the answer to an upload of so many bytes is back, without the cloud's own time."""
        return 1000 * ((size + ANSWER_BYTES) * 8 / self.rate + self.round_trip)


@dataclass(frozen=True)
class Setting:
    """What every replay shares."""

    cloud: Answers
    codec: Codec
    grid: Grid
    link: Link
    deadline: float
    """Milliseconds."""
    seed: int


@dataclass(frozen=True)
class Answered:
    """One photo under one budget."""

    counts: Counts
    share: float
    size: int
    milliseconds: float


def replay(
    router: Router, seen: list[Seen], shares: Sequence[float], setting: Setting, tick: Callable[[], None]
) -> tuple[list[Point], float]:
    """(a point per share, milliseconds that scoring one photo takes)."""
    begun = time.perf_counter()
    scores = router.rank(seen, setting.grid)
    gate = 1000 * (time.perf_counter() - begun) / len(seen)
    answer = _regions if router.regions else _whole
    points = []
    for share in shares:
        answers = []
        for photo, chosen in zip(seen, highest(scores, share), strict=True):
            answers.append(answer(photo, chosen, setting, gate))
            tick()
        points.append(_point(answers, setting))
    return points, gate


def at_qualities(seen: list[Seen], qualities: Sequence[int], setting: Setting, tick: Callable[[], None]) -> list[Point]:
    """Every photo, whole, at each quality of the codec: what bytes buy when nobody chooses."""
    points = []
    for quality in qualities:
        cheaper = replace(setting, codec=Codec(quality))
        answers = []
        for photo in seen:
            answers.append(_regions(photo, np.ones((setting.grid.rows, setting.grid.columns), bool), cheaper, 0.0))
            tick()
        points.append(_point(answers, setting))
    return points


def highest(scores: list[Scores], share: float) -> list[NDArray[np.bool_]]:
    """Which photos or tiles are among the highest `share` of all: what a budget controller settles on, in hindsight.

    Among equal scores the earlier ones go first.
    """
    flat = np.concatenate([score.reshape(-1) for score in scores])
    chosen = np.zeros(len(flat), dtype=bool)
    chosen[np.argsort(-flat, kind="stable")[: round(share * len(flat))]] = True
    parts = np.split(chosen, np.cumsum([score.size for score in scores])[:-1])
    return [part.reshape(score.shape) for part, score in zip(parts, scores, strict=True)]


def _whole(photo: Seen, chosen: NDArray[np.bool_], setting: Setting, gate: float) -> Answered:
    own = photo.times.edge + gate
    if not chosen:
        return Answered(photo.edge_counts, 0.0, 0, own)
    late = own + photo.times.encode + setting.link.milliseconds(photo.whole_bytes) + photo.times.cloud
    return Answered(photo.cloud_counts, 1.0, photo.whole_bytes, late)


def _regions(photo: Seen, chosen: NDArray[np.bool_], setting: Setting, gate: float) -> Answered:
    own = photo.times.edge + gate
    if not chosen.any():
        return Answered(photo.edge_counts, 0.0, 0, own)
    asked = setting.grid.pixels(chosen)
    upload = setting.codec.encode(np.where(asked[:, :, None], photo.image, photo.blurred))
    answer = setting.cloud.predict(setting.codec.decode(upload))
    final = np.where(asked, answer.labels, photo.edge)
    counts = confusion(photo.label, final, len(photo.edge_counts))
    blur = 0.0 if chosen.all() else photo.times.blur
    late = own + blur + photo.times.encode + setting.link.milliseconds(len(upload)) + photo.times.cloud
    return Answered(counts, float(asked.mean()), len(upload), late)


def _point(answers: list[Answered], setting: Setting) -> Point:
    counts = tuple(answer.counts for answer in answers)
    total = np.sum(counts, axis=0)
    low, high = block_bootstrap(counts, min(BLOCK, len(counts)), setting.seed)
    late = np.array([answer.milliseconds for answer in answers])
    return Point(
        upload_fraction=float(np.mean([answer.share for answer in answers])),
        bytes=float(np.mean([answer.size for answer in answers])),
        miou=mean_iou(total),
        low=low,
        high=high,
        pixel_accuracy=pixel_accuracy(total),
        latency={
            "mean": round(float(late.mean()), 2),
            "p50": round(float(np.quantile(late, 0.5)), 2),
            "p95": round(float(np.quantile(late, 0.95)), 2),
        },
        deadline_hits=float((late <= setting.deadline).mean()),
        counts=counts,
    )
