"""The cloud as a cloud worker labels: by its labeller, or by labeller and edge model together."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.bench.joint.evidence import Codec
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
    miou: float

    def as_json(self) -> dict[str, object]:
        """As `fusion` rows of other benchmarks are written; `bench fusion` and `bench sam` measure masks."""
        return {"labels": self.labels, "vote": None, "sam": None, "miou": round(self.miou, 6)}


def labellings(
    samples: Dataset, edge: Segmenter, labeller: Segmenter, codec: Codec, tick: Callable[[], None]
) -> tuple[Labelling, ...]:
    """Whole photos through the codec, labelled by the edge model's scores, the labeller's, and both."""
    classes = len(labeller.card.classes)
    total = {labels: np.zeros((classes, classes + 1), np.int64) for labels in ("edge", "labeller", "both")}
    for sample in walk(samples):
        tick()
        if sample.label is None:
            continue
        seen = codec.decode(codec.encode(sample.image))
        mine, better = edge.predict(seen).logits, labeller.predict(seen).logits
        for labels, logits in (
            ("edge", mine),
            ("labeller", better),
            ("both", joined(mine, better, Fusion(labels="both"))),
        ):
            found = grown_logits(logits, *sample.label.shape).argmax(axis=0).astype(np.uint8)
            total[labels] += confusion(sample.label, found, classes)
    return tuple(Labelling(labels, mean_iou(counts)) for labels, counts in total.items())


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
