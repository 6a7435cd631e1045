"""How good label maps are, and how sure one may be of the figure.

Frames of one scene resemble each other, so intervals come from a moving-block bootstrap (Kuensch 1989) over blocks of
neighbouring frames instead of single frames; two systems are compared on the same resampled frames (paired).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""Confusion counts, C x (C+1): rows are true classes, columns predicted ones, the last column "no class at all"."""


def confusion(label: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> Counts:
    """Counts of one frame; pixels whose label is no class (void) are left out. Raises ValueError for unlike shapes."""
    if label.shape != predicted.shape:
        raise ValueError(f"label is {label.shape}, prediction {predicted.shape}")
    known = label < classes
    guesses = np.minimum(predicted[known], classes).astype(np.int64)
    cells = label[known].astype(np.int64) * (classes + 1) + guesses
    return np.bincount(cells, minlength=classes * (classes + 1)).reshape(classes, classes + 1).astype(np.int64)


def class_iou(counts: Counts) -> NDArray[np.float64]:
    """Intersection over union per class; NaN for classes that no label holds. Works on any leading axes."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    truth = counts.sum(axis=-1)
    union = truth + counts[..., :-1].sum(axis=-2) - hits
    return np.where(truth > 0, hits / np.maximum(union, 1), np.nan)


def mean_iou(counts: Counts) -> float:
    """mIoU over the classes that the labels hold; NaN where they hold none."""
    return float(_means(class_iou(counts)[None])[0])


def pixel_accuracy(counts: Counts) -> float:
    """Share of labelled pixels with the right class; NaN where there are none."""
    total = int(counts.sum())
    return float(np.diagonal(counts).sum()) / total if total else float("nan")


def block_bootstrap(
    frames: Sequence[Counts], block: int, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """(low, high) of the mIoU of consecutive frames' counts, by resampling blocks of `block` frames."""
    return _interval(_resampled(frames, block, seed, resamples), level)


def block_bootstrap_difference(
    first: Sequence[Counts],
    second: Sequence[Counts],
    block: int,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """(low, high) of mIoU(second) - mIoU(first) on the same frames; raises ValueError for unlike lengths."""
    if len(first) != len(second):
        raise ValueError(f"a paired difference needs the same frames: {len(first)} and {len(second)}")
    gains = _resampled(second, block, seed, resamples) - _resampled(first, block, seed, resamples)
    return _interval(gains, level)


def _resampled(frames: Sequence[Counts], block: int, seed: int, resamples: int) -> NDArray[np.float64]:
    """mIoU of each resample; the draws depend on `seed`, `block` and the number of frames alone, hence the pairing."""
    if not frames or not 1 <= block <= len(frames):
        raise ValueError(f"{len(frames)} frames cannot be cut into blocks of {block}")
    stacked = np.stack(list(frames))
    ring = np.concatenate([stacked, stacked[: block - 1]])
    summed = np.cumsum(np.concatenate([np.zeros_like(ring[:1]), ring]), axis=0)
    blocks = summed[block:] - summed[:-block]
    draws = np.random.default_rng(seed).integers(len(frames), size=(resamples, -(-len(frames) // block)))
    return _means(class_iou(np.stack([blocks[draw].sum(axis=0) for draw in draws])))


def _means(ious: NDArray[np.float64]) -> NDArray[np.float64]:
    present = ~np.isnan(ious)
    count = present.sum(axis=-1)
    return np.where(count > 0, np.where(present, ious, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)


def _interval(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.quantile(values, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)
