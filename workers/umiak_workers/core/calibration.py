"""From hardness to expected gain: what asking the cloud was worth for frames that looked as hard as this one.

A margin of 0.4 and an entropy of 0.4 promise different things, and both change with the model. Fitted on frames whose
gain is known (a quality of the cloud's answer minus that of the edge's), a table per miner makes them speak alike, so
that one threshold, "worth it above 0.05 mIoU", means the same for every miner.

The fit is isotonic regression by pooling adjacent violators: the best non-decreasing table in the least-squares sense,
with no shape assumed. Pools become knots at their mean hardness with straight lines between them, so that frames that
differ in hardness still differ in expected gain.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from umiak_workers.contract.calibration import MOST_KNOTS, Knots

DIGITS = 6
"""decimals that a knot keeps: it is read by people and compared by the API server"""


@dataclass(frozen=True)
class Pool:
    """Frames that share one expected gain: how many, their mean hardness, their mean gain."""

    frames: int
    hardness: float
    gain: float


def expected_gain(knots: Knots, hardness: float) -> float:
    """The gain in [0, 1] that this hardness promises: straight between knots, level beyond the first and the last."""
    after = bisect_right(knots, hardness, key=lambda knot: knot[0])
    if after in (0, len(knots)):
        return knots[max(0, after - 1)][1]
    (left, low), (right, high) = knots[after - 1], knots[after]
    return low + (high - low) * (hardness - left) / (right - left)


def fit_calibration(hardness: Sequence[float], gains: Sequence[float], most: int = MOST_KNOTS) -> Knots:
    """At most `most` knots from frames of this hardness in [0, 1] and these gains in [-1, 1], in any order.

    A mean gain below 0 becomes 0: the cloud is not worth asking, by however much. Raises ValueError for no frames,
    another number of gains, or a number out of its range.
    """
    if not hardness or len(hardness) != len(gains) or most < 1:
        raise ValueError(f"{len(hardness)} hardnesses and {len(gains)} gains make no table of {most} knots")
    if not all(0 <= one <= 1 for one in hardness) or not all(-1 <= one <= 1 for one in gains):
        raise ValueError("hardness must be in [0, 1] and gain in [-1, 1]")
    pools = _fewer(_rising(_levels(hardness, gains)), most)
    return tuple((round(pool.hardness, DIGITS), round(min(1.0, max(0.0, pool.gain)), DIGITS)) for pool in pools)


def _levels(hardness: Sequence[float], gains: Sequence[float]) -> list[Pool]:
    """One pool per hardness that occurs, rising; frames that a knot could not tell apart are one level."""
    levels: dict[float, list[float]] = {}
    for one, gain in zip(hardness, gains, strict=True):
        levels.setdefault(round(one, DIGITS), []).append(gain)
    return [Pool(len(found), level, sum(found) / len(found)) for level, found in sorted(levels.items())]


def _rising(levels: Sequence[Pool]) -> list[Pool]:
    """Neighbours joined until mean gains rise: isotonic regression."""
    pools: list[Pool] = []
    for level in levels:
        pools.append(level)
        while len(pools) > 1 and pools[-2].gain >= pools[-1].gain:
            last = pools.pop()
            pools[-1] = _joined(pools[-1], last)
    return pools


def _fewer(pools: list[Pool], most: int) -> list[Pool]:
    """At most `most` pools: neighbours whose joining costs the least squared error are joined first."""
    pools = list(pools)
    costs = [_cost(*pair) for pair in pairwise(pools)]
    while len(pools) > most:
        at = costs.index(min(costs))
        pools[at : at + 2] = [_joined(*pools[at : at + 2])]
        del costs[at]
        for pair in {at - 1, at} & set(range(len(costs))):
            costs[pair] = _cost(*pools[pair : pair + 2])
    return pools


def _joined(one: Pool, other: Pool) -> Pool:
    frames = one.frames + other.frames
    share = other.frames / frames
    return Pool(
        frames,
        one.hardness + share * (other.hardness - one.hardness),
        one.gain + share * (other.gain - one.gain),
    )


def _cost(one: Pool, other: Pool) -> float:
    return one.frames * other.frames / (one.frames + other.frames) * (one.gain - other.gain) ** 2
