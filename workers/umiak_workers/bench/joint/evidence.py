"""What is measured once per photo and then replayed under every router: both models' answers, sizes and times."""

import io
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from umiak_workers.adapters.photo import encode_foveated
from umiak_workers.contract.messages import Scores
from umiak_workers.core.metrics import Counts, confusion
from umiak_workers.core.regions import coarse
from umiak_workers.core.scores import entropy, gate_scores, hardness, softmax
from umiak_workers.datasets.sample import Dataset
from umiak_workers.predictors.scoring import Answers
from umiak_workers.predictors.segmentation import SegmentationOutput

Image = NDArray[np.uint8]
Labels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Codec:
    """How uploads are written: WebP at a quality of 1..100."""

    quality: int

    def encode(self, image: Image) -> bytes:
        """HxWx3 uint8 as WebP."""
        return encode_foveated(image, self.quality)

    def decode(self, photo: bytes) -> Image:
        """What the other end sees."""
        return np.asarray(Pillow.open(io.BytesIO(photo)).convert("RGB"))


@dataclass(frozen=True)
class Times:
    """Milliseconds of one photo's stages."""

    edge: float
    blur: float
    encode: float
    cloud: float


@dataclass(frozen=True)
class Seen:
    """One labelled photo. `gate` is what a miner goes by, `scores` are maps of hardness at the edge model's own
    resolution, higher = harder.

    `cloud` are the cloud's labels for the whole photo, uploaded as `whole_bytes` of the codec; `blurred` is the photo
    as parts of it are sent that nobody chose; `untouched` counts the cloud's answer to the photo as it came.
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
    whole_bytes: int
    times: Times
    edge_counts: Counts
    cloud_counts: Counts
    untouched: Counts


def look(
    samples: Dataset, edge: Answers, cloud: Answers, codec: Codec, cell: int, tick: Callable[[], None]
) -> list[Seen]:
    """Every labelled photo through both models; photos without a label are left out."""
    return list(_look(samples, edge, cloud, codec, cell, tick))


def _look(
    samples: Dataset, edge: Answers, cloud: Answers, codec: Codec, cell: int, tick: Callable[[], None]
) -> Iterator[Seen]:
    classes = len(edge.card.classes)
    for index in range(len(samples)):
        sample = samples[index]
        tick()
        if sample.label is None:
            continue
        moments = [time.perf_counter()]
        answer = edge.predict(sample.image)
        moments.append(time.perf_counter())
        blurred = coarse(sample.image, cell)
        moments.append(time.perf_counter())
        upload = codec.encode(sample.image)
        moments.append(time.perf_counter())
        better = cloud.predict(codec.decode(upload))
        moments.append(time.perf_counter())
        yield Seen(
            name=sample.name,
            image=sample.image,
            blurred=blurred,
            label=sample.label,
            edge=answer.labels,
            cloud=better.labels,
            logits=answer.logits,
            gate=gate_scores(answer.logits, answer.appeal),
            scores=hardness_maps(answer),
            whole_bytes=len(upload),
            times=Times(*(1000 * (after - before) for before, after in itertools.pairwise(moments))),
            edge_counts=confusion(sample.label, answer.labels, classes),
            cloud_counts=confusion(sample.label, better.labels, classes),
            untouched=confusion(sample.label, cloud.predict(sample.image).labels, classes),
        )


def hardness_maps(answer: SegmentationOutput) -> dict[str, Floats]:
    """Per place of the logits: one minus margin, one minus best probability, entropy over its maximum (all in 0..1),
    and, of a model that has the head, the gain in -1..1 to expect from asking."""
    chances = softmax(answer.logits)
    maps = {
        "ScoreMargin": hardness(answer.logits),
        "MaxProbability": 1 - chances.max(axis=0),
        "Entropy": entropy(chances) / np.float32(np.log(len(chances))),
    }
    return maps if answer.appeal is None else {**maps, "AppealHead": answer.appeal}
