"""Training of segmentation networks: from scratch, for a fine-tuning Job, or resumed."""

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
from umiak_workers.models.batches import Batches, Partial, Photometric, Zoom, resized
from umiak_workers.models.blocks import grown
from umiak_workers.models.checkpoint import settled
from umiak_workers.models.export import normalised
from umiak_workers.models.loop import FitReport, Progress, learn


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
    batches = batches_of(samples, config)
    weights = class_weights(batches.pixel_counts(config.classes), config.class_balance)

    def loss_of(batch: tuple[Tensor, ...], step: int) -> Tensor:
        images, labels = batch
        return segmentation_loss(network(normalised(images)), sparse(labels, config.label_stride, step), weights)

    identity = settled(asdict(config)) | {"standardise": bool(getattr(network, "standardise", False))}  # has no tensors
    return learn(network, batches, loss_of, config, identity, progress, clock)


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
