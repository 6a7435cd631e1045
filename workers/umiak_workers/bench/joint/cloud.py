"""The cloud as a cloud worker labels: by its labeller, or by labeller and edge model together."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from umiak_workers.bench.joint.uploads import Codec
from umiak_workers.cloud.think import joined
from umiak_workers.contract.artefact import Card
from umiak_workers.contract.config import Fusion, Views
from umiak_workers.core.metrics import confusion, mean_iou
from umiak_workers.datasets.sample import Dataset, walk
from umiak_workers.predictors.planes import grown_logits
from umiak_workers.predictors.segmentation import SegmentationOutput, Segmenter
from umiak_workers.predictors.views import viewed

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Labelling:
    """One way to label whole photos in the cloud, on the data set."""

    labels: str
    views: Views
    codec: Codec | None
    """That the photos went through; None: as they came."""
    miou: float

    def as_json(self) -> dict[str, object]:
        """A row of `fusion` without masks; those with masks are of `masked.py`."""
        through = {"codec": self.codec and self.codec.format, "quality": self.codec and self.codec.quality}
        return {
            "labels": self.labels,
            "views": self.views,
            **through,
            "vote": None,
            "sam": None,
            "miou": round(self.miou, 6),
        }


def labellings(
    samples: Dataset, edge: Segmenter, labeller: Segmenter, codec: Codec, tick: Callable[[], None]
) -> tuple[Labelling, ...]:
    """Whole photos, as they came and through the codec, labelled by edge model, labeller, and both, in all views."""
    classes, codecs = len(labeller.card.classes), (None, codec)
    total = {(*way, through): np.zeros((classes, classes + 1), np.int64) for through in codecs for way in _ways()}
    for sample in walk(samples):
        tick()
        if sample.label is None:
            continue
        for through, seen in zip(codecs, (sample.image, codec.decode(codec.encode(sample.image))), strict=True):
            for way, logits in _scores(edge, labeller, seen).items():
                found = grown_logits(logits, *sample.label.shape).argmax(axis=0).astype(np.uint8)
                total[*way, through] += confusion(sample.label, found, classes)
    return tuple(Labelling(*way, mean_iou(counts)) for way, counts in total.items())


def _ways() -> Iterator[tuple[str, Views]]:
    yield "edge", "one"
    yield from itertools.product(("labeller", "both"), get_args(Views))


def _scores(edge: Segmenter, labeller: Segmenter, image: NDArray[np.uint8]) -> dict[tuple[str, Views], Floats]:
    mine = edge.predict(image).logits
    found: dict[tuple[str, Views], Floats] = {("edge", "one"): mine}
    known: dict[bytes, Floats] = {}

    def once(view: NDArray[np.uint8]) -> Floats:
        key = view.tobytes()
        if key not in known:
            known[key] = labeller.predict(view).logits
        return known[key]

    for views in get_args(Views):
        better = viewed(once, image, views)
        found["labeller", views] = better
        found["both", views] = joined(mine, better, Fusion(labels="both"))
    return found


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
        logits = viewed(lambda view: self._labeller.predict(view).logits, image, self._fusion.views)
        if self._fusion.labels == "both":
            logits = joined(self._edge.predict(image).logits, logits, self._fusion)
        labels = grown_logits(logits, *image.shape[:2]).argmax(axis=0).astype(np.uint8)
        return SegmentationOutput(labels, logits)
