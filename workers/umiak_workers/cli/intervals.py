"""Figures with their intervals, as a cell of a table and as JSON."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Intervals(Protocol):
    """Figures with the ends of their 95 % intervals; NaN where there is nothing to measure."""

    @property
    def values(self) -> NDArray[np.float64]: ...

    @property
    def low(self) -> NDArray[np.float64]: ...

    @property
    def high(self) -> NDArray[np.float64]: ...


def cell(one: Intervals, row: int) -> str:
    """One figure with its ends."""
    if np.isnan(one.values[row]):
        return "-"
    return f"{one.values[row]:.3f} ({one.low[row]:.3f} to {one.high[row]:.3f})"


def as_json(one: Intervals) -> dict[str, list[float | None]]:
    """All of them to four digits, None for NaN."""
    parts = {"values": one.values, "low": one.low, "high": one.high}
    return {
        name: [None if np.isnan(value) else round(float(value), 4) for value in values]
        for name, values in parts.items()
    }
