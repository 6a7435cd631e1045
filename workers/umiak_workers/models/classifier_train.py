"""Training a classifier: one class for a photo instead of one a pixel."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.classified import Classified
from umiak_workers.models.batches import Photometric, relit, turn
from umiak_workers.models.checkpoint import settled
from umiak_workers.models.export import normalised
from umiak_workers.models.loop import FitReport, Progress, learn
from umiak_workers.models.train import class_weights
from umiak_workers.models.views import resized

MOST_BYTES = 16 << 30
"""of resized photos in memory"""


@dataclass(frozen=True)
class ClassFitConfig:
    """How to train; sizes in pixels. A photo is flipped, shifted by up to `shift` of its sides, and re-lit."""

    height: int
    width: int
    epochs: int
    batch: int
    learning_rate: float
    seed: int
    minutes: float | None = None
    """Stop after this long instead of after `epochs`."""
    weight_decay: float = 1e-2
    shift: float = 0.08
    class_balance: float = 0.5
    smoothing: float = 0.05
    """Share of the target spread over all classes, so that certainty stays below 1 (Szegedy et al. 2016, section 7)."""
    photometric: Photometric = field(default_factory=Photometric)
    warm_up: float = 0.15
    checkpoint: Path | None = None
    """A folder to save to once a minute and to resume from."""


class ClassBatches:
    """Endless batches of NxHxWx3 uint8 photos and N int64 classes; batch n is the same whenever it is asked for."""

    def __init__(self, parts: Sequence[Classified], config: ClassFitConfig) -> None:
        count = sum(len(part) for part in parts)
        if not count:
            raise ConfigError("there are no photos to train on")
        if count * config.height * config.width * 3 > MOST_BYTES:
            raise ConfigError(f"{count} photos of {config.height}x{config.width} do not fit: make them smaller")
        self._config = config
        self._images = np.empty((count, config.height, config.width, 3), np.uint8)
        self.kinds = np.empty(count, np.int64)
        for number, sample in enumerate(part[index] for part in parts for index in range(len(part))):
            self._images[number], self.kinds[number] = resized(sample.image, config.height, config.width), sample.kind
        self._batch = min(config.batch, count)

    def __len__(self) -> int:
        """Batches per pass over the photos."""
        return max(1, len(self.kinds) // self._batch)

    def batch_at(self, number: int) -> tuple[Tensor, Tensor]:
        """Batch `number`: each pass visits the photos in its own order."""
        chosen, rng = turn(number, len(self.kinds), self._batch, self._config.seed)
        images = np.stack([self._augmented(self._images[index], rng) for index in chosen])
        return torch.from_numpy(images), torch.from_numpy(self.kinds[chosen])

    def _augmented(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        if rng.random() < 0.5:
            image = image[:, ::-1]
        by = [round(self._config.shift * side) for side in image.shape[:2]]
        down, right = (int(rng.integers(-most, most + 1)) for most in by)
        image = np.roll(_padded(image, *by), (down, right), axis=(0, 1))[
            by[0] : by[0] + image.shape[0], by[1] : by[1] + image.shape[1]
        ]
        return relit(image, self._config.photometric, rng)


def fit_classifier(
    network: nn.Module,
    parts: Sequence[Classified],
    config: ClassFitConfig,
    progress: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> FitReport:
    """Train `network` in place and leave it in evaluation mode.

    Raises ConfigError where there is nothing to learn from, FloatingPointError when the loss is no longer finite.
    """
    batches = ClassBatches(parts, config)
    counts = np.bincount(batches.kinds, minlength=len(parts[0].classes))
    weights = class_weights(counts, config.class_balance)

    def loss_of(batch: tuple[Tensor, ...], step: int) -> Tensor:
        images, kinds = batch
        logits = network(normalised(images))
        return functional.cross_entropy(logits, kinds, weight=weights, label_smoothing=config.smoothing)

    identity = {"task": "image-classification", **settled(asdict(config))}
    return learn(network, batches, loss_of, config, identity, progress, clock)


def _padded(image: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    return np.pad(image, ((rows, rows), (columns, columns), (0, 0)), mode="edge")
