"""Samples in memory as augmented batches; batch number n is the same whenever it is asked for, so runs can resume."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.sample import Dataset, Sample


@dataclass(frozen=True)
class Photometric:
    """How far brightness, contrast and colour of a photo are moved at random (shares), and added noise (levels)."""

    brightness: float = 0.2
    contrast: float = 0.2
    colour: float = 0.08
    noise: float = 3.0


class Batches:
    """Endless batches of NxHxWx3 uint8 images and NxHxW uint8 labels: flipped, cropped and re-lit."""

    def __init__(
        self,
        samples: Dataset,
        height: int,
        width: int,
        batch: int,
        crop: tuple[int, int] | None,
        photometric: Photometric,
        seed: int,
    ) -> None:
        if not len(samples):
            raise ConfigError("there are no samples to train on")
        pairs = [resized(samples[index], height, width) for index in range(len(samples))]
        self._images = np.stack([image for image, _ in pairs])
        self._labels = np.stack([label for _, label in pairs])
        self._batch, self._seed, self._photometric = min(batch, len(pairs)), seed, photometric
        self._crop = crop or (height, width)

    def __len__(self) -> int:
        """Batches per pass over the samples."""
        return max(1, len(self._images) // self._batch)

    def pixel_counts(self, classes: int) -> NDArray[np.int64]:
        """Labelled pixels of each class."""
        return np.bincount(self._labels.reshape(-1), minlength=256)[:classes].astype(np.int64)

    def batch_at(self, number: int) -> tuple[Tensor, Tensor]:
        """Batch `number`: each pass visits the samples in its own order."""
        epoch, position = divmod(number, len(self))
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._images))
        rng = np.random.default_rng((self._seed, epoch, position))
        chosen = order[position * self._batch : (position + 1) * self._batch]
        pairs = [self._augmented(int(index), rng) for index in chosen]
        images, labels = np.stack([image for image, _ in pairs]), np.stack([label for _, label in pairs])
        return torch.from_numpy(images), torch.from_numpy(labels)

    def _augmented(self, index: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        image, label = self._images[index], self._labels[index]
        top = int(rng.integers(image.shape[0] - self._crop[0] + 1))
        left = int(rng.integers(image.shape[1] - self._crop[1] + 1))
        window = (slice(top, top + self._crop[0]), slice(left, left + self._crop[1]))
        image, label = image[window], label[window]
        if rng.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1]
        return relit(image, self._photometric, rng), label


def resized(sample: Sample, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(image, label) at the network's size: bilinear, nearest. Raises ConfigError for a sample without a label."""
    if sample.label is None:
        raise ConfigError(f"{sample.name}: has no label; training and scoring need one")
    if sample.label.shape == (height, width):
        return np.array(sample.image), np.array(sample.label)
    image = Pillow.fromarray(sample.image).resize((width, height), Pillow.Resampling.BILINEAR)
    label = Pillow.fromarray(sample.label).resize((width, height), Pillow.Resampling.NEAREST)
    return np.array(image), np.array(label)


def relit(image: NDArray[np.uint8], by: Photometric, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The photo with brightness, contrast, colour and noise moved at random."""
    contrast = 1 + rng.uniform(-by.contrast, by.contrast)
    gain = contrast * (1 + rng.uniform(-by.brightness, by.brightness)) * (1 + rng.uniform(-by.colour, by.colour, 3))
    level = 110.0 * (1 - contrast)
    lit = image * gain.astype(np.float32) + np.float32(level)
    if by.noise:
        grain = rng.standard_normal(image.shape[:2], dtype=np.float32)
        lit += (grain * np.float32(rng.uniform(0, by.noise)))[:, :, None]
    levels: NDArray[np.uint8] = np.clip(lit, 0, 255).astype(np.uint8)
    return levels
