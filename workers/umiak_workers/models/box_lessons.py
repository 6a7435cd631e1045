"""Photos with boxes as augmented batches of heat maps; batch number n is the same whenever it is asked for."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.boxes import BoxDataset
from umiak_workers.models.batches import Photometric, relit, turn
from umiak_workers.models.boxnet import STRIDE
from umiak_workers.models.views import View, drawn, moved, resized, seen

REACH = 0.54
"""Share of a box within which it is learnt (TTFNet's alpha)."""
LEAST_LEFT = 0.3
"""Share of a box that must lie in a view to be learnt from it."""


class BoxBatches:
    """Endless batches: NxHxWx3 uint8 images, NxCxhxw heat, Nx4xhxw boxes and Nxhxw weights as `detection_loss` wants.

    Raises ConfigError for no photos or no boxes.
    """

    def __init__(
        self,
        samples: BoxDataset,
        height: int,
        width: int,
        batch: int,
        photometric: Photometric,
        view: View,
        seed: int,
    ) -> None:
        if not len(samples):
            raise ConfigError("there are no photos to train on")
        self._classes, self._batch, self._seed = len(samples.classes), min(batch, len(samples)), seed
        self._photometric, self._view = photometric, view
        self._images: list[NDArray[np.uint8]] = []
        self._boxes: list[NDArray[np.float32]] = []
        self._kinds: list[NDArray[np.int64]] = []
        for index in range(len(samples)):
            sample = samples[index]
            self._images.append(resized(sample.image, height, width))
            ratio = np.asarray((width / sample.image.shape[1], height / sample.image.shape[0]) * 2, np.float32)
            self._boxes.append(sample.boxes * ratio)
            self._kinds.append(sample.classes)
        if not any(len(boxes) for boxes in self._boxes):
            raise ConfigError("no photo has a box to learn from")

    def __len__(self) -> int:
        """Batches per pass over the photos."""
        return max(1, len(self._images) // self._batch)

    def batch_at(self, number: int) -> tuple[Tensor, ...]:
        """Batch `number`: each pass visits the photos in its own order."""
        chosen, rng = turn(number, len(self._images), self._batch, self._seed)
        lessons = [self._lesson(int(index), rng) for index in chosen]
        return tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*lessons, strict=True))

    def _lesson(self, index: int, rng: np.random.Generator) -> tuple[NDArray[np.generic], ...]:
        image = self._images[index]
        height, width = image.shape[:2]
        matrix, _ = drawn(self._view, height, width, rng)
        view = relit(seen(image, matrix), self._photometric, rng)
        boxes, kinds = inside(self._boxes[index], self._kinds[index], matrix, height, width)
        return view, *targets(boxes, kinds, self._classes, height // STRIDE, width // STRIDE)


def inside(
    boxes: NDArray[np.float32], kinds: NDArray[np.int64], matrix: NDArray[np.float64], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What of the boxes (left, top, width, height) lies in a view that does not turn, and their classes."""
    ends = np.stack((moved(boxes[:, :2], matrix), moved(boxes[:, :2] + boxes[:, 2:], matrix)))
    whole = np.concatenate((ends.min(axis=0), ends.max(axis=0)), axis=1)
    cut = np.clip(whole, 0, np.asarray((width, height) * 2, np.float32))
    areas = [(part[:, 2:] - part[:, :2]).prod(axis=1) for part in (whole, cut)]
    left = areas[1] > LEAST_LEFT * areas[0]
    return np.concatenate((cut[left, :2], cut[left, 2:] - cut[left, :2]), axis=1), kinds[left]


def targets(
    boxes: NDArray[np.float32], kinds: NDArray[np.int64], classes: int, rows: int, columns: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """(heat classes x rows x columns, boxes 4 x rows x columns in cells, weights rows x columns) of one photo.

    Large things are drawn first, so that small ones before them keep their cells.
    """
    heat = np.zeros((classes, rows, columns), np.float32)
    places, weights = np.zeros((4, rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    cells = boxes / STRIDE
    for index in np.argsort(-boxes[:, 2:].prod(axis=1), kind="stable").tolist():
        left, top, width, height = (float(side) for side in cells[index])
        column = min(columns - 1, int(left + width / 2))
        row = min(rows - 1, int(top + height / 2))
        bump = _bump(rows, row, height)[:, None] * _bump(columns, column, width)[None]
        heat[kinds[index]] = np.maximum(heat[kinds[index]], bump)
        mine = bump > 0
        weights[mine] = (bump / bump.sum())[mine]
        places[:, mine] = np.asarray((left, top, left + width, top + height), np.float32)[:, None]
    return heat, places, weights


def _bump(count: int, middle: int, side: float) -> NDArray[np.float32]:
    """A Gaussian about a cell, 1 there and 0 beyond the reach of a box of this side."""
    reach = int(side / 2 * REACH)
    away = np.arange(count) - middle
    shape = np.exp(-(away**2) / (2 * ((2 * reach + 1) / 6) ** 2))
    return np.where(np.abs(away) <= reach, shape, 0).astype(np.float32)
