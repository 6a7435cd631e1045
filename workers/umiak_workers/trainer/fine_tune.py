"""Fine-tuning on mixed batches: the new conditions and the old ones in every step, so that neither is forgotten."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from umiak_workers.contract.artefact import InputSpec
from umiak_workers.contract.config import FitConfig
from umiak_workers.core.replay import parts_of_batch, steps_of_epoch
from umiak_workers.datasets.sample import Listed, Sample
from umiak_workers.models.batches import Batches, Photometric
from umiak_workers.models.export import normalised
from umiak_workers.models.loop import one_cycle
from umiak_workers.models.train import class_weights, segmentation_loss

CLASS_BALANCE = 0.5
CROP = 5 / 6
"""Side of the part of a photo that one step sees: a third less work, and the same gain as whole photos (measured)."""
WARM_UP = 0.15
WEIGHT_DECAY = 1e-2


@dataclass(frozen=True)
class EpochDone:
    """Progress after an epoch: its number from 1, mean loss, seconds so far and still to go."""

    epoch: int
    epochs: int
    loss: float
    seconds: float
    seconds_left: float


class Diverged(ArithmeticError):
    """The loss is no longer finite."""


class Mixed:
    """Batches of replayed and base samples in a fixed proportion; batch n is the same whenever it is asked for."""

    def __init__(
        self, replay: tuple[Sample, ...], base: tuple[Sample, ...], spec: InputSpec, fit: FitConfig, seed: int
    ) -> None:
        parts = parts_of_batch(fit.batch, fit.replay_share)
        self._replay = _batches(replay, spec, parts[0], seed)
        self._base = _batches(base, spec, parts[1], seed + 1) if parts[1] else None
        self._share = parts[0] / sum(parts)
        self.steps_per_epoch = steps_of_epoch(len(replay), len(base) if parts[1] else 0, parts)

    def batch_at(self, number: int) -> tuple[Tensor, Tensor]:
        """NxHxWx3 uint8 images and NxHxW uint8 labels."""
        replayed = self._replay.batch_at(number)
        if self._base is None:
            return replayed
        pairs = zip(replayed, self._base.batch_at(number), strict=True)
        images, labels = (torch.cat(pair) for pair in pairs)
        return images, labels

    def class_weights(self, classes: int) -> Tensor:
        """Weights for classes as often as they are seen in the mixture."""
        counts = self._share * _frequency(self._replay, classes)
        if self._base is not None:
            counts = counts + (1 - self._share) * _frequency(self._base, classes)
        return class_weights((counts * 1e9).astype(np.int64), CLASS_BALANCE)


def fine_tune(
    network: nn.Module,
    mixed: Mixed,
    fit: FitConfig,
    classes: int,
    clock: Callable[[], float],
    progress: Callable[[EpochDone], None],
) -> int:
    """Train `network` in place, leave it in evaluation mode and return the number of epochs done.

    The learning rate follows one cycle over `fit.epochs`; where those would take more than `fit.seconds`, over as many
    as fit into them (at least one). Raises Diverged.
    """
    weights = mixed.class_weights(classes)
    optimizer = torch.optim.AdamW(network.parameters(), lr=fit.learning_rate, weight_decay=WEIGHT_DECAY)
    start, planned, epoch = clock(), fit.epochs, 0
    network.train()
    while epoch < planned:
        losses = []
        for step in range(epoch * mixed.steps_per_epoch, (epoch + 1) * mixed.steps_per_epoch):
            _set_rate(optimizer, fit.learning_rate * one_cycle(step / (planned * mixed.steps_per_epoch), WARM_UP))
            losses.append(_step(network, optimizer, mixed.batch_at(step), weights))
        epoch += 1
        seconds = clock() - start
        planned = affordable(planned, epoch, seconds, fit.seconds)
        left = seconds / epoch * (planned - epoch)
        progress(EpochDone(epoch, planned, float(np.mean(losses)), seconds, left))
    network.eval()
    return epoch


def affordable(planned: int, epoch: int, seconds: float, most_seconds: float) -> int:
    """How many epochs fit into `most_seconds` after `epoch` of them took `seconds`; never more than planned."""
    more = int(max(0.0, most_seconds - seconds) / max(seconds / epoch, 1e-9))
    return min(planned, epoch + more)


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor], weights: Tensor) -> float:
    images, labels = batch
    loss = segmentation_loss(network(normalised(images)), labels, weights)
    value = float(loss.detach())
    if not np.isfinite(value):
        raise Diverged(f"the loss is {value}; lower the learning rate")
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimizer.step()
    return value


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _batches(samples: tuple[Sample, ...], spec: InputSpec, batch: int, seed: int) -> Batches:
    crop = (round(CROP * spec.height), round(CROP * spec.width))
    return Batches(Listed(samples), spec.height, spec.width, batch, crop, Photometric(), seed)


def _frequency(batches: Batches, classes: int) -> NDArray[np.float64]:
    """Share of each class among the labelled pixels."""
    counts = batches.pixel_counts(classes).astype(np.float64)
    shares: NDArray[np.float64] = counts / max(float(counts.sum()), 1.0)
    return shares
