"""A promptable segmenter against labelled photos: how well it cuts out every connected area when asked about it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.core.masks import Components, Prompt, components, inner_points
from umiak_workers.datasets.sample import Dataset, walk
from umiak_workers.predictors.promptable import Promptable

Point = tuple[float, float]
FORMS = ("point", "points", "box", "box+point")
"""Ways to ask: one point, three points, a box, a box and a point."""
MINIMUM_AREA = 20
"""Pixels of the photo below which a thing is not asked about."""


@dataclass(frozen=True)
class MaskScore:
    """Over all things asked about in one form: mean IoU, IoU weighted by area, and how far predicted IoU is off."""

    things: int
    iou: float
    iou_by_area: float
    quality_error: float


def score_masks(segmenter: Promptable, samples: Dataset) -> dict[str, MaskScore]:
    """Scores by form of question; samples without a label are left out. Raises ValueError where there are no things."""
    found: dict[str, list[NDArray[np.float64]]] = {form: [] for form in FORMS}
    for sample in walk(samples):
        if sample.label is not None:
            for form, rows in _of_photo(segmenter, sample.image, sample.label).items():
                found[form].append(rows)
    return {form: _score(np.concatenate(rows)) for form, rows in found.items()}


def _of_photo(
    segmenter: Promptable, image: NDArray[np.uint8], label: NDArray[np.uint8]
) -> dict[str, NDArray[np.float64]]:
    """Per form Nx3: IoU, area, predicted IoU of every thing."""
    parts = components(label)
    count = int((parts.areas >= MINIMUM_AREA).sum())
    truth = parts.ids[None] == np.arange(count)[:, None, None]
    points = [(_centre(x, y),) for x, y in inner_points(parts)[:count].tolist()]
    boxes = [(float(x), float(y), float(x + w), float(y + h)) for x, y, w, h in parts.boxes[:count].tolist()]
    asked = {
        "point": [Prompt(None, point) for point in points],
        "points": [Prompt(None, (*point, *_apart(parts, thing))) for thing, point in enumerate(points)],
        "box": [Prompt(box, ()) for box in boxes],
        "box+point": [Prompt(box, point) for box, point in zip(boxes, points, strict=True)],
    }
    embedding, rows = segmenter.encode(image), {}
    for form, prompts in asked.items():
        answer = segmenter.decode(embedding, prompts, *label.shape)
        either = (answer.masks | truth).sum(axis=(1, 2))
        overlap = (answer.masks & truth).sum(axis=(1, 2)) / np.maximum(either, 1)
        rows[form] = np.stack((overlap, parts.areas[:count].astype(np.float64), answer.quality), axis=1)
    return rows


def _apart(parts: Components, thing: int) -> tuple[Point, Point]:
    """Two more pixels of a thing: a quarter and three quarters of it lie before them along its longer side."""
    left, top, width, height = parts.boxes[thing].tolist()
    y, x = np.nonzero(parts.ids[top : top + height, left : left + width] == thing)
    order = np.lexsort((y, x)) if width > height else np.arange(len(x))
    first, second = (int(order[len(order) * part // 4]) for part in (1, 3))
    return _centre(left + int(x[first]), top + int(y[first])), _centre(left + int(x[second]), top + int(y[second]))


def _centre(x: int, y: int) -> Point:
    return x + 0.5, y + 0.5


def _score(rows: NDArray[np.float64]) -> MaskScore:
    overlap, area, quality = rows.T
    return MaskScore(
        len(rows),
        float(overlap.mean()),
        float(np.average(overlap, weights=area)),
        float(np.abs(quality - overlap).mean()),
    )
