"""How good boxes are: average precision at an overlap of one half, per class.

As in the PASCAL VOC challenge since 2010 (Everingham et al., "The PASCAL Visual Object Classes Challenge", 2015,
section 4): the area under the precision-recall curve with precision made monotonic. A box is right if its IoU with a
labelled box of its class that no surer box took is at least 0.5; we give it the best such box that is still free.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.core.detection import Detections, overlaps
from umiak_workers.core.resample import block_interval

OVERLAP = 0.5
BLOCK = 10
"""Neighbouring photos that the bootstrap draws together."""


@dataclass(frozen=True)
class Matches:
    """One photo's boxes against its labels: `classes` and `confidences` N, `right` N bool, `truths` C labels."""

    classes: NDArray[np.int64]
    confidences: NDArray[np.float32]
    right: NDArray[np.bool_]
    truths: NDArray[np.int64]


@dataclass(frozen=True)
class Precision:
    """Average precision per class with the ends of its 95 % interval, the last entry being the mean over classes.

    NaN for classes without a label. `truths` are the labelled boxes of each class.
    """

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    truths: NDArray[np.int64]
    photos: int


def matched(
    found: Detections, boxes: NDArray[np.float32], classes: NDArray[np.int64], count: int, overlap: float = OVERLAP
) -> Matches:
    """Compare one answer with the labels of its photo (Mx4 boxes, M class ids below `count`)."""
    right = np.zeros(len(found), np.bool_)
    shared = overlaps(found.boxes, boxes)
    taken = np.zeros(len(boxes), np.bool_)
    for index in np.argsort(-found.confidences, kind="stable").tolist():
        free = np.where(~taken & (classes == found.classes[index]), shared[index], -1.0)
        if free.size and free.max() >= overlap:
            right[index] = taken[int(free.argmax())] = True
    return Matches(found.classes, found.confidences, right, np.bincount(classes, minlength=count).astype(np.int64))


def average_precisions(photos: Sequence[Matches]) -> NDArray[np.float64]:
    """AP of each class, then their mean over the classes that the labels hold; NaN for the others."""
    truths = sum((photo.truths for photo in photos[1:]), photos[0].truths)
    classes = np.concatenate([photo.classes for photo in photos])
    confidences = np.concatenate([photo.confidences for photo in photos])
    right = np.concatenate([photo.right for photo in photos])
    found = [
        _area(confidences[classes == number], right[classes == number], int(truths[number]))
        for number in range(len(truths))
    ]
    known = [value for value in found if value == value]
    return np.asarray([*found, sum(known) / len(known) if known else np.nan])


def precision_of(photos: Sequence[Matches], seed: int) -> Precision:
    """Average precisions with intervals from resampled blocks of neighbouring photos; raises ValueError for none."""
    if not photos:
        raise ValueError("there is no photo to score")
    low, high = block_interval(
        lambda drawn: average_precisions([photos[index] for index in drawn]),
        len(photos),
        max(1, min(BLOCK, len(photos) // 10)),
        seed,
    )
    truths = sum((photo.truths for photo in photos[1:]), photos[0].truths)
    return Precision(average_precisions(photos), low, high, truths, len(photos))


def _area(confidences: NDArray[np.float32], right: NDArray[np.bool_], truths: int) -> float:
    """Area under the precision-recall curve of one class; NaN where there is nothing to find."""
    if not truths:
        return float("nan")
    ordered = right[np.argsort(-confidences, kind="stable")]
    hits = np.cumsum(ordered)
    precision = hits / np.arange(1, len(ordered) + 1)
    monotonic = np.maximum.accumulate(precision[::-1])[::-1]
    return float(monotonic[ordered].sum() / truths)
