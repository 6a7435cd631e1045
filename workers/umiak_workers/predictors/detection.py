"""A detector on ONNX Runtime, without torch: photos in, boxes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.messages import Scores
from umiak_workers.core.detection import MOST, Detections, encode_boxes, suppressed
from umiak_workers.core.scores import box_scores
from umiak_workers.predictors.onnx import BoundGraph, FromArtefact
from umiak_workers.predictors.segmentation import Image, checked_logits

PLACES = 4
"""Planes of the logits beside the classes': offset right and down, logarithm of width and height, all in cells."""
LEAST = 0.05
"""Confidence below which a peak is no box."""
MOST_OVERLAP = 0.6
"""Of two boxes of one class that overlap more, the surer one stays: a long thing may have two peaks."""
_LOG_SIDE = (-4.0, 7.0)
"""What the network's logarithms of width and height (cells) are kept within, as in training."""


@dataclass(frozen=True)
class DetectionOutput:
    """`found` the boxes in photo pixels, surest first, at most 100; `logits` (C+4)xhxw float32 as the network answers.

    `classes` are the card's, by id.
    """

    classes: tuple[str, ...]
    found: Detections
    logits: NDArray[np.float32]

    def scores(self) -> Scores:
        """Of the boxes' confidences, which travel with them."""
        return box_scores(self.found.confidences)

    def payload(self) -> bytes:
        """The boxes as JSON."""
        return encode_boxes(self.found, self.classes)

    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """Nx4 float32, N int64 and N float32, surest first."""
        found = self.found
        return {"boxes": found.boxes, "classes": found.classes, "confidences": found.confidences}

    def hardness(self, by: str = "Margin") -> None:
        """Boxes are of the whole photo."""


class OnnxBoxes(BoundGraph):
    """A detector's graph."""

    task = "object-detection"

    def predict(self, image: Image) -> DetectionOutput:
        """Answer one HxWx3 uint8 photo of any size; raises InvalidInput or InvalidPrediction."""
        logits = checked_logits(self.answers(image)[self.card.outputs.logits], len(self.card.classes) + PLACES)
        found = boxes_of(logits, image.shape[0], image.shape[1])
        return DetectionOutput(self.card.classes, found, logits)


class OnnxDetector(FromArtefact, OnnxBoxes):
    """A detector."""


def boxes_of(logits: NDArray[np.float32], height: int, width: int) -> Detections:
    """Boxes of a photo of height x width pixels from (C+4)xhxw logits: the 100 surest local maxima of the heat maps.

    A cell is one if none of the eight around it is surer (CenterNet, section 4). Boxes are cut at the photo's edges.
    """
    heat = _probability(logits[:-PLACES])
    peaks = np.where(heat == highest_around(heat), heat, 0).reshape(-1)
    order = np.argsort(-peaks, kind="stable")[:MOST]
    order = order[peaks[order] >= LEAST]
    kinds, rows, columns = np.unravel_index(order, heat.shape)
    right, down, wide, tall = logits[-PLACES:, rows, columns].astype(np.float64)
    x, y = columns + 0.5 + right, rows + 0.5 + down
    half_x, half_y = np.exp(np.clip(wide, *_LOG_SIDE)) / 2, np.exp(np.clip(tall, *_LOG_SIDE)) / 2
    scale = np.asarray((width / heat.shape[2], height / heat.shape[1]) * 2)
    ends = np.stack((x - half_x, y - half_y, x + half_x, y + half_y), axis=1) * scale
    ends = np.clip(ends, 0, np.asarray((width, height) * 2))
    boxes = np.concatenate((ends[:, :2], ends[:, 2:] - ends[:, :2]), axis=1).astype(np.float32)
    whole = (boxes[:, 2:] > 0).all(axis=1)
    found = Detections(boxes[whole], kinds[whole].astype(np.int64), peaks[order][whole].astype(np.float32))
    return suppressed(found, MOST_OVERLAP)


def highest_around(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each cell of Cxhxw the highest value among itself and its eight neighbours."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    rows = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    return np.asarray(np.maximum(np.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:]))


def _probability(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), np.float32)
