"""How sure a figure over photos is: a moving-block bootstrap (Kuensch 1989) for any figure that photos add up to."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def block_interval(
    figure: Callable[[NDArray[np.intp]], NDArray[np.float64]],
    photos: int,
    block: int,
    seed: int,
    resamples: int = 500,
    level: float = 0.95,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(low, high) of every number that `figure` answers for the photos at these indices (repeats included).

    Blocks of `block` neighbouring photos are drawn, on a ring, until there are as many photos again. A number that is
    NaN in a resample (a class that none of its photos holds) does not count there. Raises ValueError for no photos or
    a block that does not fit.
    """
    if not 1 <= block <= photos:
        raise ValueError(f"{photos} photos cannot be cut into blocks of {block}")
    rng = np.random.default_rng(seed)
    found = np.stack([figure(_draw(rng, photos, block)) for _ in range(resamples)])
    low, high = np.full(found.shape[1], np.nan), np.full(found.shape[1], np.nan)
    for column, values in enumerate(found.T):
        known = values[~np.isnan(values)]
        if known.size:
            low[column], high[column] = np.quantile(known, ((1 - level) / 2, (1 + level) / 2))
    return low, high


def _draw(rng: np.random.Generator, photos: int, block: int) -> NDArray[np.intp]:
    starts = rng.integers(photos, size=-(-photos // block))
    return ((starts[:, None] + np.arange(block)[None]).reshape(-1)[:photos] % photos).astype(np.intp)
