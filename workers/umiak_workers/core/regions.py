"""Which parts of a frame are worth their bytes: a grid of tiles, a score for each, and a photo sharp only where asked.

A foveated photo is an ordinary photo of the same size: chosen tiles as the camera saw them, the rest as means over
small cells, which codecs write in next to nothing. So the cloud needs no other decoder and sees every tile in its
surroundings.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.messages import MOST_TILES, Box, Tiles

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Image = NDArray[np.uint8]
HARDEST = 255
"""A hardness of 1 as it travels."""
BAND = 64
"""Rows of a photo that are floats at once: routers have little memory."""


@dataclass(frozen=True)
class Grid:
    """Square tiles of `side` pixels over a photo; the last row and column may be narrower."""

    height: int
    width: int
    side: int

    @property
    def rows(self) -> int:
        """Tiles from top to bottom."""
        return -(-self.height // self.side)

    @property
    def columns(self) -> int:
        """Tiles from left to right."""
        return -(-self.width // self.side)

    def box(self, row: int, column: int) -> Box:
        """One tile in pixels of the photo."""
        top, left = row * self.side, column * self.side
        return Box(
            left=left, top=top, width=min(self.side, self.width - left), height=min(self.side, self.height - top)
        )

    def boxes(self, chosen: Bools) -> tuple[Box, ...]:
        """The chosen tiles (rows x columns bool), neighbours in a row joined to one box."""
        return tuple(box for row in range(self.rows) for box in self._of_row(row, chosen[row]))

    def pixels(self, chosen: Bools) -> Bools:
        """HxW bool: inside a chosen tile."""
        grown = chosen.repeat(self.side, axis=0).repeat(self.side, axis=1)
        return grown[: self.height, : self.width]

    def sums(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """Sum of an HxW map in each tile: rows x columns float64."""
        down = np.add.reduceat(values.astype(np.float64), np.arange(0, self.height, self.side), axis=0)
        across: NDArray[np.float64] = np.add.reduceat(down, np.arange(0, self.width, self.side), axis=1)
        return across

    def areas(self) -> NDArray[np.float64]:
        """Pixels of each tile: rows x columns float64."""
        return self.sums(np.ones((self.height, self.width), np.uint8))

    def means(self, scores: Floats) -> Floats:
        """Mean of a map of any size (hxw, laid over the whole photo) in each tile: rows x columns float32."""
        rows = _shares(scores.shape[0], self.height, self.side)
        columns = _shares(scores.shape[1], self.width, self.side)
        return (rows @ scores.astype(np.float64) @ columns.T).astype(np.float32)

    def _of_row(self, row: int, chosen: Bools) -> Iterable[Box]:
        edges = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False])).astype(np.int8)))
        for first, after in edges.reshape(-1, 2).tolist():
            start, end = self.box(row, first), self.box(row, after - 1)
            yield Box(left=start.left, top=start.top, width=end.left + end.width - start.left, height=start.height)


def tiles_of(grid: Grid, hardness: Floats) -> Tiles | None:
    """What a map of hardness (hxw in 0..1, laid over the whole photo) says of each tile; None for too many tiles."""
    if grid.rows * grid.columns > MOST_TILES:
        return None
    levels = np.clip(np.rint(grid.means(hardness) * HARDEST), 0, HARDEST).astype(np.uint8)
    return Tiles(side=grid.side, rows=grid.rows, columns=grid.columns, hardness=tuple(levels.ravel().tolist()))


def hard_tiles(tiles: Tiles, threshold: float) -> Bools:
    """rows x columns bool: the tiles at least as hard as `threshold` (0..1), and in any case the hardest one."""
    levels = np.array(tiles.hardness).reshape(tiles.rows, tiles.columns)
    chosen: Bools = levels >= threshold * HARDEST
    chosen[np.unravel_index(np.argmax(levels), levels.shape)] = True
    return chosen


def _shares(cells: int, pixels: int, side: int) -> NDArray[np.float64]:
    """tiles x cells: how much each cell of a map counts for each tile, by overlap; rows sum to 1."""
    edges = np.linspace(0, pixels, cells + 1)
    starts = np.arange(0, pixels, side)[:, None]
    ends = np.minimum(starts + side, pixels)
    overlap = np.clip(np.minimum(edges[None, 1:], ends) - np.maximum(edges[None, :-1], starts), 0, None)
    shares: NDArray[np.float64] = overlap / overlap.sum(axis=1, keepdims=True)
    return shares


def foveated(image: Image, sharp: Bools, cell: int) -> Image:
    """HxWx3 uint8 with the pixels outside `sharp` (HxW bool) replaced by a picture of means over `cell` x `cell`."""
    return np.where(sharp[:, :, None], image, coarse(image, cell))


def coarse(image: Image, cell: int) -> Image:
    """HxWx3 uint8 as means over cells of `cell` pixels, between their centres linear."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % cell), (0, -width % cell), (0, 0)), mode="edge")
    rows, columns = padded.shape[0] // cell, padded.shape[1] // cell
    means = padded.reshape(rows, cell, columns, cell, 3).mean(axis=(1, 3), dtype=np.float32)
    down = _between(means, height, cell)
    found = np.empty_like(image)
    for top in range(0, height, BAND):
        smooth = _between(down[top : top + BAND].swapaxes(0, 1), width, cell).swapaxes(0, 1)
        found[top : top + BAND] = np.clip(np.rint(smooth), 0, 255).astype(np.uint8)
    return found


def _between(means: Floats, length: int, cell: int) -> Floats:
    """Linear interpolation along the first axis, from cell centres to `length` pixels."""
    at = np.clip((np.arange(length) + 0.5) / cell - 0.5, 0, len(means) - 1)
    low = np.minimum(at.astype(np.int64), max(len(means) - 2, 0))
    high = np.minimum(low + 1, len(means) - 1)
    share = (at - low).astype(np.float32)[:, None, None]
    found: Floats = means[low] * (1 - share) + means[high] * share
    return found
