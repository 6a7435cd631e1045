"""What is measured once per photo and then replayed under every router: both models' answers, sizes and times."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.bench.joint.spending import Taken, timed
from umiak_workers.bench.joint.uploads import Codec, reply
from umiak_workers.contract.messages import Scores
from umiak_workers.core.metrics import Counts, confusion
from umiak_workers.core.regions import coarse
from umiak_workers.core.scores import entropy, gate_scores, hardness, softmax
from umiak_workers.datasets.sample import Dataset, Sample, walk
from umiak_workers.predictors.scoring import Answers
from umiak_workers.predictors.segmentation import SegmentationOutput

Image = NDArray[np.uint8]
Labels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Times:
    """What one photo's stages took."""

    edge: Taken
    blur: Taken
    encode: Taken
    decode: Taken
    cloud: Taken


@dataclass(frozen=True)
class Seen:
    """One labelled photo. `gate` is what a miner goes by, `scores` are maps of hardness at the edge model's own
    resolution, higher = harder, and `gates` what each of them took to make.

    `cloud` are the cloud's labels for the whole photo, uploaded as `upload`, a file of the codec, and answered by the
    bytes of `answer`; `blurred` is the photo as parts of it are sent that nobody chose; `untouched` counts the cloud's
    answer to the photo as it came, whose bytes are `untouched_answer`.
    """

    name: str
    image: Image
    blurred: Image
    label: Labels
    edge: Labels
    cloud: Labels
    logits: Floats
    gate: Scores
    scores: dict[str, Floats]
    gates: dict[str, Taken]
    upload: bytes
    answer: bytes
    times: Times
    edge_counts: Counts
    cloud_counts: Counts
    untouched: Counts
    untouched_answer: bytes


def look(
    samples: Dataset, edge: Answers, cloud: Answers, codec: Codec, cell: int, tick: Callable[[], None]
) -> list[Seen]:
    """Every labelled photo through both models; photos without a label are left out."""
    return list(_look(samples, edge, cloud, codec, cell, tick))


def _look(
    samples: Dataset, edge: Answers, cloud: Answers, codec: Codec, cell: int, tick: Callable[[], None]
) -> Iterator[Seen]:
    for sample in walk(samples):
        tick()
        if sample.label is not None:
            yield _photo(sample, sample.label, edge, cloud, codec, cell)


def _photo(sample: Sample, label: Labels, edge: Answers, cloud: Answers, codec: Codec, cell: int) -> Seen:
    classes = len(edge.card.classes)
    found, edge_took = timed(lambda: edge.predict(sample.image))
    maps = {name: timed(lambda made=made: made(found)) for name, made in hardness_maps(found).items()}  # type: ignore[misc]
    blurred, blur_took = timed(lambda: coarse(sample.image, cell))
    upload, encode_took = timed(lambda: codec.encode(sample.image))
    arrived, decode_took = timed(lambda: codec.decode(upload))
    better, cloud_took = timed(lambda: cloud.predict(arrived))
    untouched = cloud.predict(sample.image).labels
    return Seen(
        name=sample.name,
        image=sample.image,
        blurred=blurred,
        label=label,
        edge=found.labels,
        cloud=better.labels,
        logits=found.logits,
        gate=gate_scores(found.logits, found.appeal),
        scores={name: scores for name, (scores, _) in maps.items()},
        gates={name: took for name, (_, took) in maps.items()},
        upload=upload,
        answer=reply(better.labels),
        times=Times(edge_took, blur_took, encode_took, decode_took, cloud_took),
        edge_counts=confusion(label, found.labels, classes),
        cloud_counts=confusion(label, better.labels, classes),
        untouched=confusion(label, untouched, classes),
        untouched_answer=reply(untouched),
    )


def hardness_maps(answer: SegmentationOutput) -> dict[str, Callable[[SegmentationOutput], Floats]]:
    """What makes each map of hardness that this answer allows; higher is harder, a number per place of the logits."""
    return MAPS if answer.appeal is None else {**MAPS, "AppealHead": _appeal}


def _margin(answer: SegmentationOutput) -> Floats:
    """One minus the margin, 0..1."""
    return hardness(answer.logits)


def _improbability(answer: SegmentationOutput) -> Floats:
    """One minus the best probability, 0..1."""
    best: Floats = softmax(answer.logits).max(axis=0)
    return 1 - best


def _entropy(answer: SegmentationOutput) -> Floats:
    """Entropy over its maximum, 0..1."""
    return entropy(softmax(answer.logits)) / np.float32(np.log(len(answer.logits)))


def _appeal(answer: SegmentationOutput) -> Floats:
    """The gain (-1..1) to expect from asking, which the graph has told already."""
    return np.zeros(answer.logits.shape[1:], np.float32) if answer.appeal is None else answer.appeal


MAPS: dict[str, Callable[[SegmentationOutput], Floats]] = {
    "ScoreMargin": _margin,
    "MaxProbability": _improbability,
    "Entropy": _entropy,
}
