"""Who chooses what the cloud gets to see: a number per photo, or a number per tile; the highest go first.

Whole photos are ranked by the very miners that a router runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from umiak_workers.bench.joint.evidence import Seen
from umiak_workers.core.metrics import mean_iou
from umiak_workers.core.miners import MINERS
from umiak_workers.core.regions import Grid

Scores = NDArray[np.float64]
Kind = Literal["frames", "regions", "quality"]
"""What is chosen: which photos go up whole, which of their tiles go up sharp, or how well all of them are written."""


@dataclass(frozen=True)
class Router:
    """A way to choose. `regions`: whether it chooses tiles or whole photos; `knows`: whether it looks at the labels."""

    name: str
    regions: bool
    rank: Callable[[list[Seen], Grid], list[Scores]]
    """Per photo one score (shape ()) or one per tile (rows x columns)."""
    knows: bool = False


def routers(maps: tuple[str, ...], seed: int) -> tuple[Router, ...]:
    """Every router: random, each hardness map, and oracles that know the labels; for photos and for tiles."""
    whole = (
        Router("Random", False, _random(seed, False)),
        *(Router(name, False, _mined(name)) for name in maps),
        Router("Oracle", False, lambda seen, grid: _frame_gains(seen), knows=True),
    )
    tiles = (
        Router("Random", True, _random(seed, True)),
        *(Router(name, True, _tile_means(name)) for name in maps),
        Router("Oracle", True, lambda seen, grid: [_tile_gain(photo, grid) for photo in seen], knows=True),
    )
    return whole + tiles


def _random(seed: int, regions: bool) -> Callable[[list[Seen], Grid], list[Scores]]:
    def rank(seen: list[Seen], grid: Grid) -> list[Scores]:
        rng = np.random.default_rng(seed)
        shape = (grid.rows, grid.columns) if regions else ()
        return [np.asarray(rng.random(shape)) for _ in seen]

    return rank


def _mined(name: str) -> Callable[[list[Seen], Grid], list[Scores]]:
    """By a miner that draws nothing."""
    miner = MINERS[name]
    return lambda seen, grid: [np.asarray(miner(photo.gate, lambda: 0.0), np.float64) for photo in seen]


def _tile_means(name: str) -> Callable[[list[Seen], Grid], list[Scores]]:
    return lambda seen, grid: [grid.means(photo.scores[name]).astype(np.float64) for photo in seen]


def _frame_gains(seen: list[Seen]) -> list[Scores]:
    """What asking about each photo alone would add to the mIoU of all."""
    total = np.sum([photo.edge_counts for photo in seen], axis=0)
    before = mean_iou(total)
    return [np.asarray(mean_iou(total - photo.edge_counts + photo.cloud_counts) - before) for photo in seen]


def _tile_gain(photo: Seen, grid: Grid) -> Scores:
    """Share of each tile's pixels that the cloud would mend, less those that it would spoil."""
    return grid.sums(gained(photo)) / grid.areas()


def gained(photo: Seen) -> NDArray[np.int8]:
    """HxW: 1 where only the cloud is right, -1 where only the edge is, else 0; labels that are no class never match."""
    cloud_right, edge_right = photo.cloud == photo.label, photo.edge == photo.label
    difference: NDArray[np.int8] = cloud_right.astype(np.int8) - edge_right.astype(np.int8)
    return difference
