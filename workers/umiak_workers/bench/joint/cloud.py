"""The cloud as a cloud worker labels: by its labeller, or by labeller and edge model together."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.bench.joint.uploads import Codec
from umiak_workers.cloud.think import joined
from umiak_workers.contract.artefact import Card
from umiak_workers.contract.config import Fusion
from umiak_workers.core.metrics import confusion, mean_iou
from umiak_workers.datasets.sample import Dataset, walk
from umiak_workers.predictors.planes import grown_logits
from umiak_workers.predictors.segmentation import SegmentationOutput, Segmenter


@dataclass(frozen=True)
class Labelling:
    """One way to label whole photos in the cloud, on the data set."""

    labels: str
    quality: int | None
    """Of the codec that the photos went through; None: as they came."""
    miou: float

    def as_json(self) -> dict[str, object]:
        """A row of `fusion` without masks; those with masks are of `masked.py`."""
        return {"labels": self.labels, "quality": self.quality, "vote": None, "sam": None, "miou": round(self.miou, 6)}


def labellings(
    samples: Dataset, edge: Segmenter, labeller: Segmenter, codec: Codec, tick: Callable[[], None]
) -> tuple[Labelling, ...]:
    """Whole photos, as they came and through the codec, labelled by edge model, labeller, and both."""
    classes, qualities = len(labeller.card.classes), (None, codec.quality)
    ways = [(labels, quality) for quality in qualities for labels in ("edge", "labeller", "both")]
    total = {way: np.zeros((classes, classes + 1), np.int64) for way in ways}
    for sample in walk(samples):
        tick()
        if sample.label is None:
            continue
        for quality, seen in zip(qualities, (sample.image, codec.decode(codec.encode(sample.image))), strict=True):
            for labels, logits in _scores(edge, labeller, seen).items():
                found = grown_logits(logits, *sample.label.shape).argmax(axis=0).astype(np.uint8)
                total[labels, quality] += confusion(sample.label, found, classes)
    return tuple(Labelling(labels, quality, mean_iou(counts)) for (labels, quality), counts in total.items())


def _scores(edge: Segmenter, labeller: Segmenter, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    mine, better = edge.predict(image).logits, labeller.predict(image).logits
    return {"edge": mine, "labeller": better, "both": joined(mine, better, Fusion(labels="both"))}


class CloudLabels:
    """What the cloud says of a photo that it got; the edge model is run again on what arrived."""

    def __init__(self, edge: Segmenter, labeller: Segmenter, fusion: Fusion) -> None:
        self._edge, self._labeller, self._fusion = edge, labeller, fusion

    @property
    def card(self) -> Card:
        """The labeller's."""
        return self._labeller.card

    def predict(self, image: NDArray[np.uint8]) -> SegmentationOutput:
        """Labels of an HxWx3 uint8 photo at its own size."""
        logits = self._labeller.predict(image).logits
        if self._fusion.labels == "both":
            logits = joined(self._edge.predict(image).logits, logits, self._fusion)
        labels = grown_logits(logits, *image.shape[:2]).argmax(axis=0).astype(np.uint8)
        return SegmentationOutput(labels, logits)
