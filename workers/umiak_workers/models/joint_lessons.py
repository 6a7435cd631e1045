"""Photos with joints as augmented batches of heat maps; batch number n is the same whenever it is asked for."""

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.keypoints import MIRRORED
from umiak_workers.datasets.poses import PoseDataset
from umiak_workers.models.batches import relit, turn
from umiak_workers.models.export import normalised
from umiak_workers.models.jointnet import STRIDE, keypoint_loss
from umiak_workers.models.loop import FitReport, Progress, learn
from umiak_workers.models.views import ViewFit, drawn, moved, resized, seen

SPREAD = 0.8
"""Standard deviation of a target in cells of four pixels."""


class JointBatches:
    """Endless batches: NxHxWx3 uint8 images, NxJxhxw targets and NxJ float32 visible, as `keypoint_loss` wants them."""

    def __init__(self, samples: PoseDataset, config: ViewFit) -> None:
        if not len(samples):
            raise ConfigError("there are no photos to train on")
        self._batch, self._config = min(config.batch, len(samples)), config
        self._images: list[NDArray[np.uint8]] = []
        self._joints: list[NDArray[np.float32]] = []
        self._visible: list[NDArray[np.bool_]] = []
        for index in range(len(samples)):
            sample = samples[index]
            ratio = np.asarray((config.width / sample.image.shape[1], config.height / sample.image.shape[0]))
            self._images.append(resized(sample.image, config.height, config.width))
            self._joints.append(np.asarray(sample.joints * ratio, np.float32))
            self._visible.append(sample.visible)
        if not np.any(self._visible):
            raise ConfigError("no photo has a joint to learn from")

    def __len__(self) -> int:
        """Batches per pass over the photos."""
        return max(1, len(self._images) // self._batch)

    def batch_at(self, number: int) -> tuple[Tensor, ...]:
        """Batch `number`: each pass visits the photos in its own order."""
        chosen, rng = turn(number, len(self._images), self._batch, self._config.seed)
        lessons = [self._lesson(int(index), rng) for index in chosen]
        return tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*lessons, strict=True))

    def _lesson(self, index: int, rng: np.random.Generator) -> tuple[NDArray[np.generic], ...]:
        image, joints, visible = self._images[index], self._joints[index], self._visible[index]
        matrix, mirrored = drawn(self._config.view, image.shape[0], image.shape[1], rng)
        joints = moved(joints, matrix)
        if mirrored:
            joints, visible = joints[list(MIRRORED)], visible[list(MIRRORED)]
        view = relit(seen(image, matrix), self._config.photometric, rng)
        return view, *targets(joints, visible, image.shape[0] // STRIDE, image.shape[1] // STRIDE)


def targets(
    joints: NDArray[np.float32], visible: NDArray[np.bool_], rows: int, columns: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(J x rows x columns that sum to 1 per joint, J of 1 for joints to learn from: labelled and inside the view)."""
    at = joints / STRIDE
    inside = visible & (at >= 0).all(axis=1) & (at < (columns, rows)).all(axis=1)
    at = np.where(inside[:, None], at, 0)  # what is far outside would underflow
    down = np.exp(-((np.arange(rows)[None] + 0.5 - at[:, 1:]) ** 2) / (2 * SPREAD**2))
    right = np.exp(-((np.arange(columns)[None] + 0.5 - at[:, :1]) ** 2) / (2 * SPREAD**2))
    maps = down[:, :, None] * right[:, None, :]
    return (maps / maps.sum(axis=(1, 2), keepdims=True)).astype(np.float32), inside.astype(np.float32)


def fit_joints(
    network: nn.Module,
    samples: PoseDataset,
    config: ViewFit,
    progress: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> FitReport:
    """Train a key point network in place and leave it in evaluation mode.

    Raises ConfigError where there is nothing to learn from, FloatingPointError when the loss is no longer finite.
    """
    batches = JointBatches(samples, config)

    def loss_of(batch: tuple[Tensor, ...], step: int) -> Tensor:
        images, wanted, visible = batch
        return keypoint_loss(network(normalised(images)), wanted, visible)

    return learn(network, batches, loss_of, config, config.identity("keypoint-detection"), progress, clock)
