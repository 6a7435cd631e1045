"""Training a classifier: the same one-cycle schedule as a segmenter's, one class for a photo instead of one a pixel."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor, nn
from torch.nn import functional

from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.classified import Classified
from umiak_workers.models.batches import Photometric, relit
from umiak_workers.models.export import normalised
from umiak_workers.models.loop import FitReport, Progress, one_cycle
from umiak_workers.models.train import class_weights

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
            self._images[number], self.kinds[number] = fitted(sample.image, config.height, config.width), sample.kind
        self._batch = min(config.batch, count)

    def __len__(self) -> int:
        """Batches per pass over the photos."""
        return max(1, len(self.kinds) // self._batch)

    def batch_at(self, number: int) -> tuple[Tensor, Tensor]:
        """Batch `number`: each pass visits the photos in its own order."""
        epoch, position = divmod(number, len(self))
        order = np.random.default_rng((self._config.seed, epoch)).permutation(len(self.kinds))
        rng = np.random.default_rng((self._config.seed, epoch, position))
        chosen = order[position * self._batch : (position + 1) * self._batch]
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
    batches: ClassBatches,
    classes: int,
    config: ClassFitConfig,
    progress: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> FitReport:
    """Train `network` in place and leave it in evaluation mode; raises FloatingPointError for a loss not finite."""
    weights = class_weights(np.bincount(batches.kinds, minlength=classes), config.class_balance)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    start, losses, planned = clock(), list[float](), config.epochs * len(batches)
    network.train()
    while (done := _done(config, len(losses) / planned, clock() - start)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * one_cycle(done, config.warm_up)
        images, kinds = batches.batch_at(len(losses))
        logits = network(normalised(images).contiguous())  # channels last crashes torch 2.15's oneDNN at 8 channels
        loss = functional.cross_entropy(logits, kinds, weight=weights, label_smoothing=config.smoothing)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} after {len(losses)} steps; lower the learning rate")
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
        seconds = clock() - start
        now = _done(config, len(losses) / planned, seconds)
        left = seconds * (1 - now) / max(now, 1e-6)
        progress(Progress(now, len(losses), float(np.mean(losses[-20:])), seconds, left))
    network.eval()
    passes = tuple(float(np.mean(losses[at : at + len(batches)])) for at in range(0, len(losses), len(batches)))
    return FitReport(len(losses), len(losses) / len(batches), clock() - start, passes)


def fitted(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The photo at this size, as a predictor shrinks it."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Pillow.fromarray(image).resize((width, height), Pillow.Resampling.BILINEAR))


def _padded(image: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    return np.pad(image, ((rows, rows), (columns, columns), (0, 0)), mode="edge")


def _done(config: ClassFitConfig, share: float, seconds: float) -> float:
    return min(1.0, share if config.minutes is None else seconds / (60 * config.minutes))
