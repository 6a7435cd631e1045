"""Boxes around things: what a detector answers, how edge and cloud answers become one, and how they travel as JSON.

A box is (left, top, width, height) in pixels of the photo, from its left upper corner.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.errors import InvalidPrediction, MessageError

MOST = 100
"""Boxes of one answer."""
LONGEST = 32 << 10
"""Bytes of an encoded answer; 100 boxes with the longest class names need about half of it."""
LARGEST = 65_536.0
"""Pixels: no box lies or reaches further out."""


@dataclass(frozen=True)
class Detections:
    """Boxes of one photo: `boxes` Nx4 float32 (left, top, width, height; photo pixels), `classes` N int64 ids,
    `confidences` N float32 in [0, 1]. N is at most 100; raises InvalidPrediction for anything else."""

    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    confidences: NDArray[np.float32]

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if self.boxes.shape != (count, 4) or self.classes.shape != (count,) or self.confidences.shape != (count,):
            raise InvalidPrediction(
                f"boxes are {self.boxes.shape}, classes {self.classes.shape}, confidences {self.confidences.shape}"
            )
        if count > MOST:
            raise InvalidPrediction(f"{count} boxes, at most {MOST} make an answer")
        if not (np.isfinite(self.boxes).all() and (self.boxes[:, 2:] > 0).all() and (self.classes >= 0).all()):
            raise InvalidPrediction("a box is not finite, has no size or no class")
        if not ((self.confidences >= 0) & (self.confidences <= 1)).all():
            raise InvalidPrediction("a box's confidence is not in [0, 1]")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "Detections":
        """The boxes at these indices, in their order, or where a mask is True."""
        return Detections(self.boxes[chosen], self.classes[chosen], self.confidences[chosen])


class NamedBox(NamedTuple):
    """A box as it travels: (left, top, width, height; photo pixels), class name, confidence in [0, 1]."""

    box: tuple[float, float, float, float]
    name: str
    confidence: float


def nothing() -> Detections:
    """No boxes at all."""
    return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))


def overlaps(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of every pair of boxes: Nx4 and Mx4 -> NxM in [0, 1]."""
    a, b = np.asarray(first, np.float64)[:, None], np.asarray(second, np.float64)[None]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.maximum(high - low, 0).prod(axis=-1)
    union = a[..., 2:].prod(axis=-1) + b[..., 2:].prod(axis=-1) - shared
    return np.asarray(shared / np.maximum(union, 1e-12))


def suppressed(found: Detections, most_overlap: float) -> Detections:
    """Greedy non-maximum suppression: the surest box first, without those of its class that overlap it more."""
    order = np.argsort(-found.confidences, kind="stable")
    return found[_greedy(found.boxes, found.classes, order, most_overlap)]


def fuse_boxes(edge: Detections, cloud: Detections, most_overlap: float = 0.5) -> Detections:
    """One answer out of two: non-maximum suppression over both, in which every cloud box goes before every edge box.

    So where both see a thing of one class the cloud's box stays, and what only the edge sees stays as well. The answer
    is sorted by confidence and holds the 100 surest boxes.
    """
    boxes = np.concatenate([cloud.boxes, edge.boxes])
    classes = np.concatenate([cloud.classes, edge.classes])
    confidences = np.concatenate([cloud.confidences, edge.confidences])
    order = np.concatenate(
        [
            np.argsort(-cloud.confidences, kind="stable"),
            len(cloud) + np.argsort(-edge.confidences, kind="stable"),
        ]
    )
    kept = _greedy(boxes, classes, order, most_overlap)
    kept = kept[np.argsort(-confidences[kept], kind="stable")][:MOST]
    return Detections(boxes[kept], classes[kept], confidences[kept])


def encode_boxes(found: Detections, classes: Sequence[str]) -> bytes:
    """JSON {"boxes": [{"box": [left, top, width, height], "class": NAME, "confidence": C}, ...]}, surest first.

    Pixels have 2 decimals, confidences 4. Raises InvalidPrediction for a class id without a name.
    """
    if len(found) and int(found.classes.max()) >= len(classes):
        raise InvalidPrediction(f"class {int(found.classes.max())} of a box has no name, there are {len(classes)}")
    rows = [
        {
            "box": _rounded(found.boxes[index]),
            "class": classes[int(found.classes[index])],
            "confidence": round(float(found.confidences[index]), 4),
        }
        for index in np.argsort(-found.confidences, kind="stable")
    ]
    return json.dumps({"boxes": rows}, separators=(",", ":"), allow_nan=False).encode()


def decode_boxes(data: bytes, classes: Sequence[str]) -> Detections:
    """What `encode_boxes` wrote; raises MessageError that names the box and what is wrong with it."""
    found = read_boxes(data)
    if not found:
        return nothing()
    ids = {name: number for number, name in enumerate(classes)}
    for index, one in enumerate(found):
        if one.name not in ids:
            raise MessageError(f"boxes[{index}].class: {one.name!r} is none of {', '.join(ids)}"[:200])
    numbers = np.asarray([(*one.box, one.confidence) for one in found], np.float32)
    return Detections(numbers[:, :4], np.asarray([ids[one.name] for one in found], np.int64), numbers[:, 4])


def read_boxes(data: bytes) -> list[NamedBox]:
    """What `encode_boxes` wrote, for who does not know the model's classes; raises MessageError."""
    return [_row(row, f"boxes[{index}]") for index, row in enumerate(rows_of(data, "boxes", MOST, LONGEST))]


def rows_of(data: bytes, name: str, most: int, longest: int) -> list[object]:
    """The list `name` of a JSON object that holds nothing else; raises MessageError."""
    if len(data) > longest:
        raise MessageError(f"{name}: {len(data)} bytes, at most {longest} are taken")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"{name}: not JSON ({error})") from error
    rows = found.get(name) if isinstance(found, dict) and set(found) == {name} else None
    if not isinstance(rows, list):
        raise MessageError(f'{name}: expected {{"{name}": [...]}} and nothing else')
    if len(rows) > most:
        raise MessageError(f"{name}: {len(rows)} of them, at most {most} are taken")
    return rows


def bounded(value: object, where: str, least: float, largest: float) -> float:
    """A number within bounds; raises MessageError that names it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MessageError(f"{where}: expected a number, not {str(value)[:40]!r}")
    if not least <= value <= largest:  # NaN is neither
        raise MessageError(f"{where}: {str(value)[:40]} is not within {least:g} and {largest:g}")
    return float(value)


def _greedy(
    boxes: NDArray[np.float32], classes: NDArray[np.int64], order: NDArray[np.intp], most_overlap: float
) -> NDArray[np.intp]:
    """Indices that stay when boxes are gone through in this order; at most 200 boxes ever come in."""
    clash = (overlaps(boxes, boxes) > most_overlap) & (classes[:, None] == classes[None])
    kept: list[int] = []
    for index in order.tolist():
        if not clash[index, kept].any():
            kept.append(index)
    return np.asarray(kept, np.intp)


def _rounded(box: NDArray[np.float32]) -> list[float]:
    left, top, width, height = (round(float(side), 2) for side in box)
    return [left, top, max(width, 0.01), max(height, 0.01)]


def _row(row: object, where: str) -> NamedBox:
    """One JSON row."""
    if not isinstance(row, dict) or set(row) != {"box", "class", "confidence"}:
        raise MessageError(f"{where}: expected box, class and confidence")
    sides, name = row["box"], row["class"]
    if not isinstance(sides, list) or len(sides) != 4:
        raise MessageError(f"{where}.box: expected left, top, width and height")
    if not isinstance(name, str):
        raise MessageError(f"{where}.class: expected a name, not {str(name)[:40]!r}")
    left, top = (bounded(side, f"{where}.box", -LARGEST, LARGEST) for side in sides[:2])
    width, height = (bounded(side, f"{where}.box", 1e-3, LARGEST) for side in sides[2:])
    return NamedBox((left, top, width, height), name, bounded(row["confidence"], f"{where}.confidence", 0, 1))
