"""How often a classifier is right: the share of photos with the right class, by class and over all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.core.resample import block_interval

BLOCK = 4
"""Neighbouring photos in a block of the bootstrap: windows of the same yard photo are four."""
Judged = tuple[int, bool]
"""The class of a photo, and whether it was found."""


@dataclass(frozen=True)
class Shares:
    """Share by class and over all (last) with the ends of its 95 % interval, NaN for classes without a photo.

    `photos` are those of each class, then all.
    """

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    photos: NDArray[np.int64]


def shares_of(judged: Sequence[Judged], classes: int, seed: int) -> Shares:
    """Shares with intervals from resampled blocks of neighbouring photos; raises ValueError for none."""
    pairs = np.array(judged, np.int64).reshape(-1, 2)

    def figure(drawn: NDArray[np.intp]) -> NDArray[np.float64]:
        kinds, right = pairs[drawn].T
        found = np.bincount(kinds, weights=right, minlength=classes)
        with np.errstate(invalid="ignore"):
            return np.append(found / np.bincount(kinds, minlength=classes), right.mean())

    low, high = block_interval(figure, len(pairs), min(BLOCK, len(pairs)), seed)
    photos = np.append(np.bincount(pairs[:, 0], minlength=classes), len(pairs))
    return Shares(figure(np.arange(len(pairs))), low, high, photos)
