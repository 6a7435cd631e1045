"""Routers replayed over the evidence: for each budget, what is uploaded, what comes back, and how good and late it is.

What edge, codec and cloud take is measured once per photo and counts alike for every router that chooses, so that
latencies differ by what is chosen and sent and by nothing else. Where every photo goes up, writing and reading are
timed for each file, as codecs differ. Accuracy depends on data, models, codec and seed alone and repeats to the last
digit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.bench.joint.curve import Point
from umiak_workers.bench.joint.evidence import Seen
from umiak_workers.bench.joint.link import Sending, Sent
from umiak_workers.bench.joint.routers import Router, Scores
from umiak_workers.bench.joint.spending import Spent, Taken, spending, timed
from umiak_workers.bench.joint.uploads import Codec, reply
from umiak_workers.core.metrics import Counts, block_bootstrap, confusion, mean_iou, pixel_accuracy
from umiak_workers.core.regions import Grid
from umiak_workers.predictors.scoring import Answers

BLOCK = 10
"""Neighbouring photos in a block of the bootstrap."""
AS_THEY_CAME, WHOLE, PARTS = "photos as they came", "photos written anew", "parts of photos"
"""Kinds of uploads."""


@dataclass(frozen=True)
class Setting:
    """What every replay shares. `macs`: multiply-accumulates of (edge, cloud) per photo, where their graphs tell."""

    cloud: Answers
    codec: Codec
    grid: Grid
    sending: Sending
    deadline: float
    """Milliseconds."""
    seed: int
    macs: tuple[int, int] | None = None


@dataclass(frozen=True)
class Answered:
    """One photo under one budget."""

    counts: Counts
    share: float
    size: int
    spent: Spent


def replay(
    router: Router, seen: list[Seen], shares: Sequence[float], setting: Setting, tick: Callable[[], None]
) -> tuple[list[Point], float]:
    """(a point per share, CPU milliseconds that scoring one photo takes: making the map, and reading it)."""
    scores, ranked = timed(lambda: router.rank(seen, setting.grid))
    gates = [photo.gates.get(router.name, Taken()) + ranked / len(seen) for photo in seen]
    answer = _regions if router.regions else _whole
    points = []
    for share in shares:
        answers = []
        for photo, chosen, gate in zip(seen, highest(scores, share), gates, strict=True):
            answers.append(answer(photo, chosen, setting, gate))
            tick()
        points.append(_point(answers, setting))
    return points, float(np.mean([gate.cpu for gate in gates]))


def as_written(seen: list[Seen], codecs: Sequence[Codec], setting: Setting, tick: Callable[[], None]) -> list[Point]:
    """Every photo, whole, as each codec writes it: what bytes buy when nobody chooses.

    Writing and reading are timed for each file.
    """
    points = []
    for codec in codecs:
        answers = []
        for photo in seen:
            answers.append(_written(photo, codec, setting))
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


def _whole(photo: Seen, chosen: NDArray[np.bool_], setting: Setting, gate: Taken) -> Answered:
    if not chosen:
        return _alone(photo, setting, gate)
    sent = setting.sending.send(photo.name, WHOLE, photo.upload, photo.answer)
    spent = _asked(photo, setting, gate, photo.times.encode, photo.times.decode, sent)
    return Answered(photo.cloud_counts, 1.0, sent.up, spent)


def _written(photo: Seen, codec: Codec, setting: Setting) -> Answered:
    upload, write = timed(lambda: codec.encode(photo.image))
    arrived, read = timed(lambda: codec.decode(upload))
    labels = setting.cloud.predict(arrived).labels
    sent = setting.sending.send(photo.name, WHOLE, upload, reply(labels))
    spent = _asked(photo, setting, Taken(), write, read, sent)
    return Answered(confusion(photo.label, labels, len(photo.edge_counts)), 1.0, sent.up, spent)


def _regions(photo: Seen, chosen: NDArray[np.bool_], setting: Setting, gate: Taken) -> Answered:
    if not chosen.any():
        return _alone(photo, setting, gate)
    asked, everything = setting.grid.pixels(chosen), bool(chosen.all())
    upload = setting.codec.encode(np.where(asked[:, :, None], photo.image, photo.blurred))
    answer = setting.cloud.predict(setting.codec.decode(upload))
    final = np.where(asked, answer.labels, photo.edge)
    counts = confusion(photo.label, final, len(photo.edge_counts))
    boxes = () if everything else setting.grid.boxes(chosen)
    sent = setting.sending.send(photo.name, WHOLE if everything else PARTS, upload, reply(answer.labels, boxes))
    codec = photo.times.encode if everything else photo.times.blur + photo.times.encode
    spent = _asked(photo, setting, gate, codec, photo.times.decode, sent)
    return Answered(counts, float(asked.mean()), sent.up, spent)


def _alone(photo: Seen, setting: Setting, gate: Taken) -> Answered:
    stages = {"edge": photo.times.edge, "gate": gate}
    macs = None if setting.macs is None else setting.macs[0]
    return Answered(photo.edge_counts, 0.0, 0, Spent(stages, setting.sending.unsent(photo.name), macs))


def _asked(photo: Seen, setting: Setting, gate: Taken, write: Taken, read: Taken, sent: Sent) -> Spent:
    own = {"edge": photo.times.edge, "gate": gate, "codec": write}
    stages = {**own, "link": Taken(sent.computed), "cloud": read + photo.times.cloud}
    return Spent(stages, sent.emulated, None if setting.macs is None else sum(setting.macs))


def _point(answers: list[Answered], setting: Setting) -> Point:
    counts = tuple(answer.counts for answer in answers)
    total = np.sum(counts, axis=0)
    low, high = block_bootstrap(counts, min(BLOCK, len(counts)), setting.seed)
    return Point(
        upload_fraction=float(np.mean([answer.share for answer in answers])),
        bytes=float(np.mean([answer.size for answer in answers])),
        miou=mean_iou(total),
        low=low,
        high=high,
        pixel_accuracy=pixel_accuracy(total),
        spending=spending([answer.spent for answer in answers], setting.deadline),
        counts=counts,
    )
