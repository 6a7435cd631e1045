"""One readable training loop for segmentation networks: from scratch, for a fine-tuning Job, or resumed.

The learning rate follows one cycle over the share of the work that is done, so the same loop runs for a number of
epochs (repeatable to the last digit) or for a number of minutes (whatever the machine manages).
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from umiak_workers.core.metrics import Counts, confusion
from umiak_workers.datasets.sample import Dataset
from umiak_workers.models.batches import Ahead, Batches, Partial, Photometric, Zoom, resized
from umiak_workers.models.blocks import grown
from umiak_workers.models.checkpoint import load_checkpoint, save_checkpoint
from umiak_workers.models.export import normalised


@dataclass(frozen=True)
class FitConfig:
    """How to train. Sizes in pixels, `crop` = (height, width) cut from each photo per step or None for all of it."""

    height: int
    width: int
    classes: int
    epochs: int
    batch: int
    learning_rate: float
    seed: int
    minutes: float | None = None
    """Stop after this long instead of after `epochs`."""
    crop: tuple[int, int] | None = None
    weight_decay: float = 1e-2
    photometric: Photometric = field(default_factory=Photometric)
    zoom: Zoom = field(default_factory=Zoom)
    partial: Partial = field(default_factory=Partial)
    class_balance: float = 0.5
    """0 = every pixel counts the same, 1 = every class does."""
    label_stride: int = 2
    """Learn from every n-th row and column of the labels: the logits are coarser than that, and it saves a third."""
    warm_up: float = 0.15
    """Share of the work after which the learning rate is at its peak."""
    checkpoint: Path | None = None
    """A folder to save to once a minute and to resume from."""


@dataclass(frozen=True)
class Progress:
    """Where training stands: `done` 0..1, mean loss of the last steps, seconds so far and still to go."""

    done: float
    step: int
    loss: float
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class FitReport:
    """What training did: optimizer steps, passes over the samples, seconds, and the mean loss of each pass."""

    steps: int
    epochs: float
    seconds: float
    losses: tuple[float, ...]


def fit(
    network: nn.Module,
    samples: Dataset,
    config: FitConfig,
    progress: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> FitReport:
    """Train `network` in place on labelled samples and leave it in evaluation mode.

    Raises ConfigError where a sample has no label, and FloatingPointError when the loss is no longer finite.
    """
    network.to(memory_format=torch.channels_last)  # faster on CPUs
    batches = batches_of(samples, config)
    weights = class_weights(batches.pixel_counts(config.classes), config.class_balance)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    run = _Run(config, len(batches), clock)
    if config.checkpoint is not None:
        run.step, run.before = load_checkpoint(config.checkpoint, network, optimizer, _identity(config))
    network.train()
    with Ahead(batches) as ahead:
        while (done := run.done()) < 1:
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * one_cycle(done, config.warm_up)
            images, labels = ahead.batch_at(run.step)
            loss = segmentation_loss(
                network(normalised(images)), sparse(labels, config.label_stride, run.step), weights
            )
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            run.took_step(float(loss.detach()))
            progress(run.progress())
            if config.checkpoint is not None and run.checkpoint_due():
                save_checkpoint(config.checkpoint, network, optimizer, run.step, run.seconds(), _identity(config))
    network.eval()
    return run.report()


def batches_of(samples: Dataset, config: FitConfig) -> Batches:
    """What `fit` learns from, in its order."""
    look = (config.height, config.width, config.batch, config.crop, config.photometric)
    return Batches(samples, *look, seed=config.seed, zoom=config.zoom, partial=config.partial)


def segmentation_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Class-weighted cross-entropy at the labels' resolution; labels outside 0..classes-1 are void and do not count."""
    target = torch.where(labels < logits.shape[1], labels.long(), -1)
    size = (int(labels.shape[1]), int(labels.shape[2]))
    losses = functional.cross_entropy(grown(logits, size), target, weight=weights, ignore_index=-1, reduction="sum")
    total = weights[target.clamp(min=0)].mul(target >= 0).sum()
    return losses / total.clamp(min=1e-6)


def sparse(labels: Tensor, stride: int, step: int) -> Tensor:
    """Every `stride`-th row and column of NxHxW, starting elsewhere at each step so that none is favoured."""
    start = step % stride
    return labels[:, start::stride, start::stride]


def class_weights(pixels: NDArray[np.int64], balance: float) -> Tensor:
    """Weight per class: (mean count / its count) ** balance, at most 10; classes without pixels get 0."""
    present = pixels > 0
    mean = pixels[present].mean() if present.any() else 1.0
    ratio = np.where(present, mean / np.maximum(pixels, 1), 0.0)
    return torch.from_numpy(np.minimum(ratio**balance, 10.0) * present).to(torch.float32)


def one_cycle(done: float, warm_up: float) -> float:
    """Share of the peak learning rate: a cosine up from 4 % during `warm_up`, then a cosine down to nearly nothing."""
    if done < warm_up:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * done / warm_up)) / 2
    rest = (done - warm_up) / (1 - warm_up)
    return max(1e-3, (1 + math.cos(math.pi * min(rest, 1.0))) / 2)


def evaluate(network: nn.Module, samples: Dataset, config: FitConfig) -> list[Counts]:
    """Confusion counts per labelled sample, at the training size; the network must be in evaluation mode."""
    counts = []
    for index in range(len(samples)):
        image, label = resized(samples[index], config.height, config.width)
        with torch.inference_mode():
            logits = grown(network(normalised(torch.from_numpy(image)[None])), (config.height, config.width))
        counts.append(confusion(label, logits[0].argmax(dim=0).to(torch.uint8).numpy(), config.classes))
    return counts


def mean_loss(network: nn.Module, samples: Dataset, config: FitConfig) -> float:
    """Mean unweighted cross-entropy over labelled samples; the network must be in evaluation mode."""
    weights, losses = torch.ones(config.classes), []
    for index in range(len(samples)):
        image, label = resized(samples[index], config.height, config.width)
        with torch.inference_mode():
            logits = network(normalised(torch.from_numpy(image)[None]))
            losses.append(float(segmentation_loss(logits, torch.from_numpy(label)[None], weights)))
    return float(np.mean(losses))


def _identity(config: FitConfig) -> dict[str, object]:
    """What a checkpoint must agree on to be resumed."""
    facts = asdict(config)
    del facts["checkpoint"], facts["minutes"], facts["epochs"]
    return facts


class _Run:
    """Bookkeeping of one training run."""

    def __init__(self, config: FitConfig, steps_per_epoch: int, clock: Callable[[], float]) -> None:
        self.step = 0
        self.before = 0.0
        self._config, self._per_epoch, self._clock = config, steps_per_epoch, clock
        self._start = self._saved = clock()
        self._losses: list[float] = []

    def seconds(self) -> float:
        return self.before + self._clock() - self._start

    def done(self) -> float:
        if self._config.minutes is not None:
            return min(1.0, self.seconds() / (60 * self._config.minutes))
        return min(1.0, self.step / (self._config.epochs * self._per_epoch))

    def took_step(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} after {self.step} steps; lower the learning rate")
        self.step += 1
        self._losses.append(loss)

    def checkpoint_due(self) -> bool:
        if self._clock() - self._saved < 60 and self.done() < 1:
            return False
        self._saved = self._clock()
        return True

    def progress(self) -> Progress:
        done, seconds = self.done(), self.seconds()
        recent = self._losses[-20:]
        return Progress(done, self.step, sum(recent) / len(recent), seconds, seconds * (1 - done) / max(done, 1e-6))

    def report(self) -> FitReport:
        starts = range(0, len(self._losses), self._per_epoch)
        losses = tuple(float(np.mean(self._losses[start : start + self._per_epoch])) for start in starts)
        return FitReport(self.step, self.step / self._per_epoch, self.seconds(), losses)
