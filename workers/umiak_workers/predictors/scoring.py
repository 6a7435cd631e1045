"""A segmenter against labelled photos: confusion counts per frame, at the photo's resolution."""

from typing import Protocol

import numpy as np

from umiak_workers.contract.artefact import Card
from umiak_workers.core.metrics import Counts, confusion
from umiak_workers.datasets.sample import Dataset, walk
from umiak_workers.predictors.segmentation import Image, SegmentationOutput


class Answers(Protocol):
    """The part of a segmenter that scoring needs."""

    @property
    def card(self) -> Card: ...

    def predict(self, image: Image) -> SegmentationOutput: ...


def frame_counts(segmenter: Answers, samples: Dataset) -> list[Counts]:
    """Counts of every labelled sample in order; samples without a label are left out."""
    classes = len(segmenter.card.classes)
    return [
        confusion(sample.label, segmenter.predict(sample.image).labels, classes)
        for sample in walk(samples)
        if sample.label is not None
    ]


def total_counts(segmenter: Answers, samples: Dataset) -> Counts:
    """The sum of `frame_counts`; zeros where nothing is labelled."""
    classes = len(segmenter.card.classes)
    zero = np.zeros((classes, classes + 1), dtype=np.int64)
    return sum(frame_counts(segmenter, samples), zero)
