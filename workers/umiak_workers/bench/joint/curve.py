"""Accuracy against bytes: points of a curve, what it keeps of the cloud's gain, where it lies between two others."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from umiak_workers.bench.joint.spending import Spending
from umiak_workers.core.metrics import Counts


@dataclass(frozen=True)
class Point:
    """One budget of one router over the whole data set.

    `upload_fraction` of photos (or of their area), `bytes` per photo on average, mIoU with its 95 % ends.
    """

    upload_fraction: float
    bytes: float
    miou: float
    low: float
    high: float
    pixel_accuracy: float
    spending: Spending = field(repr=False)
    counts: tuple[Counts, ...] = field(repr=False, default=())


def at_bytes(points: Sequence[Point], budget: float) -> float:
    """mIoU at this many bytes per photo, linear between points; the last one's beyond the end."""
    ordered = sorted(points, key=lambda point: point.bytes)
    return float(np.interp(budget, [point.bytes for point in ordered], [point.miou for point in ordered]))


def gain_kept(points: Sequence[Point], budget: float, edge: float, cloud: float) -> float:
    """Share of the gain of asking the cloud about everything that is left at a budget; NaN where there is no gain."""
    if cloud <= edge:
        return float("nan")
    return (at_bytes(points, budget) - edge) / (cloud - edge)


def area_fraction(points: Sequence[Point], random: Sequence[Point], oracle: Sequence[Point]) -> float:
    """Where the area under a curve lies between random (0) and oracle (1), over the bytes that all three reach."""
    most = min(max(point.bytes for point in curve) for curve in (points, random, oracle))
    budgets = np.linspace(0, most, 201)
    mine, low, high = (
        float(np.mean([at_bytes(curve, budget) for budget in budgets])) for curve in (points, random, oracle)
    )
    return (mine - low) / (high - low) if high > low else float("nan")
