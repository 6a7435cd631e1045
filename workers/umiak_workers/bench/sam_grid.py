"""Asking everywhere: a grid of points over the photo, and the masks of it that are worth keeping.

This is the automatic mask generation of Segment Anything (appendix B) as far as a predictor that answers finished masks
allows: points on a grid, masks below a predicted IoU dropped, and of masks in nearly the same place the best one kept.
Its stability score and its crops of the photo are left out.
"""

import numpy as np
from numpy.typing import NDArray

from umiak_workers.core.masks import Prompt
from umiak_workers.predictors.promptable import Embedding, Masks, Promptable

AT_ONCE = 256
"""Masks of the photo's size that are held before the poor ones are dropped."""
SAME = 0.7
"""IoU of two masks' boxes above which they are taken for the same thing, as published."""


def grid_prompts(side: int, height: int, width: int) -> tuple[Prompt, ...]:
    """One point in the middle of each of `side` x `side` equal cells of a photo, row by row."""
    centres = (np.arange(side) + 0.5) / side
    return tuple(Prompt(None, ((float(x * width), float(y * height)),)) for y in centres for x in centres)


def everywhere(
    sam: Promptable, embedding: Embedding, side: int, height: int, width: int, minimum_area: int, minimum_quality: float
) -> Masks:
    """The distinct masks (`height` x `width`) of the whole grid; raises InvalidPrediction."""
    prompts = grid_prompts(side, embedding.height, embedding.width)
    parts = [
        worthwhile(
            sam.decode(embedding, prompts[start : start + AT_ONCE], height, width), minimum_area, minimum_quality
        )
        for start in range(0, len(prompts), AT_ONCE)
    ]
    together = Masks(np.concatenate([part.masks for part in parts]), np.concatenate([part.quality for part in parts]))
    return distinct(together)


def worthwhile(found: Masks, minimum_area: int, minimum_quality: float) -> Masks:
    """The masks that are large enough (pixels, at least one) and good enough by their own account."""
    areas = found.masks.sum(axis=(1, 2))
    chosen = (areas >= max(minimum_area, 1)) & (found.quality >= minimum_quality)
    return Masks(found.masks[chosen], found.quality[chosen])


def distinct(found: Masks, same: float = SAME) -> Masks:
    """Best first: no mask whose box overlaps a better one's by more than `same` (IoU); none may be empty."""
    order = np.argsort(-found.quality, kind="stable")
    overlap = _overlaps(_boxes(found.masks[order]))
    alive = np.ones(len(order), dtype=bool)
    for index in range(len(order)):
        if alive[index]:
            alive[index + 1 :] &= overlap[index, index + 1 :] <= same
    return Masks(found.masks[order[alive]], found.quality[order[alive]])


def _boxes(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Nx4 (left, top, right, bottom), ends excluded."""
    columns, rows = np.asarray(masks.any(axis=1)), np.asarray(masks.any(axis=2))
    ends = (columns.argmax(1), rows.argmax(1), _last(columns), _last(rows))
    return np.stack(ends, axis=1).astype(np.int64)


def _last(line: NDArray[np.bool_]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = line.shape[1] - line[:, ::-1].argmax(axis=1)
    return found


def _overlaps(boxes: NDArray[np.int64]) -> NDArray[np.float64]:
    """NxN IoU of boxes."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    shares: NDArray[np.float64] = both / (areas[:, None] + areas[None, :] - both)
    return shares
