"""Samples in memory as augmented batches; batch number n is the same whenever it is asked for, so runs can resume."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from umiak_workers.contract.config import Codec
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.codec import decoded, encode_upload
from umiak_workers.core.regions import Grid, foveated
from umiak_workers.datasets.sample import Dataset, Sample


@dataclass(frozen=True)
class Photometric:
    """How far brightness, contrast and colour of a photo are moved at random (shares), and added noise (levels).

    `gamma`: the logarithm of the exponent that bends the tones, at most; `transfer`: the share of photos that take on
    some of the colours of another one (in segmentation's batches, which have the others at hand).
    """

    brightness: float = 0.2
    contrast: float = 0.2
    colour: float = 0.08
    noise: float = 3.0
    gamma: float = 0.0
    transfer: float = 0.0


ANY_LIGHT = Photometric(brightness=0.2, contrast=0.2, colour=0.12, noise=5.0, gamma=0.3, transfer=0.3)
"""For models that will see places and hours that no photo of the training set shows."""
Light = Literal["usual", "any"]
PHOTOMETRIC: dict[Light, Photometric] = {"usual": Photometric(), "any": ANY_LIGHT}


@dataclass(frozen=True)
class Zoom:
    """How many times larger or smaller than in the photo a crop may show things, evenly on a log scale."""

    smallest: float = 1.0
    largest: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= self.largest:
            raise ConfigError(f"scale: expected 0 < smallest <= largest, not {self.smallest:g} to {self.largest:g}")


@dataclass(frozen=True)
class Partial:
    """Crops that are sharp in some tiles only, as region uploads are: how often, in tiles and cells of which pixels.

    They go through a codec too, at a quality between the two.
    """

    share: float = 0.0
    side: int = 48
    cells: tuple[int, ...] = (2, 4, 8)
    quality: tuple[int, int] = (15, 80)
    codecs: tuple[Codec, ...] = get_args(Codec)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError(f"partial: expected a share of 0 to 1, not {self.share:g}")


class Batches:
    """Endless batches of NxHxWx3 uint8 images and NxHxW uint8 labels: flipped, cropped, zoomed and re-lit."""

    def __init__(
        self,
        samples: Dataset,
        height: int,
        width: int,
        batch: int,
        crop: tuple[int, int] | None,
        photometric: Photometric,
        seed: int,
        zoom: Zoom = Zoom(),
        partial: Partial = Partial(),
    ) -> None:
        if not len(samples):
            raise ConfigError("there are no samples to train on")
        pairs = [resized(samples[index], height, width) for index in range(len(samples))]
        self._images = np.stack([image for image, _ in pairs])
        self._labels = np.stack([label for _, label in pairs])
        self._batch, self._seed, self._photometric = min(batch, len(pairs)), seed, photometric
        self._crop = crop or (height, width)
        if not (0 < self._crop[0] <= height and 0 < self._crop[1] <= width):
            raise ConfigError(f"crop: {self._crop[0]}x{self._crop[1]} does not fit into photos of {height}x{width}")
        self._zoom, self._partial = zoom, partial
        self._tones = [tones(image) for image in self._images] if photometric.transfer else []

    def __len__(self) -> int:
        """Batches per pass over the samples."""
        return max(1, len(self._images) // self._batch)

    def pixel_counts(self, classes: int) -> NDArray[np.int64]:
        """Labelled pixels of each class."""
        return np.bincount(self._labels.reshape(-1), minlength=256)[:classes].astype(np.int64)

    def batch_at(self, number: int) -> tuple[Tensor, Tensor]:
        """Batch `number`: each pass visits the samples in its own order."""
        chosen, rng = turn(number, len(self._images), self._batch, self._seed)
        pairs = [self._augmented(int(index), rng) for index in chosen]
        images, labels = np.stack([image for image, _ in pairs]), np.stack([label for _, label in pairs])
        return torch.from_numpy(images), torch.from_numpy(labels)

    def _augmented(self, index: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        image, label = self._window(self._images[index], self._labels[index], rng)
        if rng.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1]
        if self._tones and rng.random() < self._photometric.transfer:
            image = toned(image, self._tones[int(rng.integers(len(self._tones)))], float(rng.random()))
        image = relit(image, self._photometric, rng)
        if self._partial.share and rng.random() < self._partial.share:
            image = partly_sharp(image, self._partial, rng)
        return image, label

    def _window(
        self, image: NDArray[np.uint8], label: NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        height, width = self._crop
        if self._zoom != Zoom():
            scale = float(np.exp(rng.uniform(np.log(self._zoom.smallest), np.log(self._zoom.largest))))
            scale = max(scale, height / image.shape[0], width / image.shape[1])
            height, width = round(height / scale), round(width / scale)
        top = int(rng.integers(image.shape[0] - height + 1))
        left = int(rng.integers(image.shape[1] - width + 1))
        window = (slice(top, top + height), slice(left, left + width))
        return fitted(image[window], label[window], *self._crop)


class Batched(Protocol):
    """Endless batches: what the training loop wants of any task's lessons."""

    def __len__(self) -> int:
        """Batches per pass over the samples."""
        ...

    def batch_at(self, number: int) -> tuple[Tensor, ...]:
        """Batch `number`, always the same one."""
        ...


def turn(number: int, count: int, batch: int, seed: int) -> tuple[NDArray[np.int64], np.random.Generator]:
    """Which of `count` samples batch `number` holds, and what to augment it by: each pass has its own order."""
    epoch, position = divmod(number, max(1, count // batch))
    order = np.random.default_rng((seed, epoch)).permutation(count)
    return order[position * batch : (position + 1) * batch], np.random.default_rng((seed, epoch, position))


class Ahead:
    """Batches made by a second thread while the first one learns; the same batches, sooner."""

    def __init__(self, batches: Batched) -> None:
        self._batches = batches
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: dict[int, Future[tuple[Tensor, ...]]] = {}

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def batch_at(self, number: int) -> tuple[Tensor, ...]:
        """Batch `number`; the one after it is begun."""
        mine = self._next.pop(number, None) or self._pool.submit(self._batches.batch_at, number)
        self._next = {number + 1: self._pool.submit(self._batches.batch_at, number + 1)}
        return mine.result()


def resized(sample: Sample, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(image, label) at the network's size: bilinear, nearest. Raises ConfigError for a sample without a label."""
    if sample.label is None:
        raise ConfigError(f"{sample.name}: has no label; training and scoring need one")
    image, label = fitted(sample.image, sample.label, height, width)
    return np.array(image), np.array(label)


def fitted(
    image: NDArray[np.uint8], label: NDArray[np.uint8], height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(image, label) at this size: bilinear, nearest."""
    if label.shape == (height, width):
        return image, label
    small = Pillow.fromarray(image).resize((width, height), Pillow.Resampling.BILINEAR)
    return np.asarray(small), np.asarray(Pillow.fromarray(label).resize((width, height), Pillow.Resampling.NEAREST))


def partly_sharp(image: NDArray[np.uint8], partial: Partial, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The photo sharp in a random share of its tiles and through the codec, as the cloud gets to see it."""
    grid = Grid(image.shape[0], image.shape[1], partial.side)
    chosen = rng.random((grid.rows, grid.columns)) < rng.random()
    blurred = foveated(image, grid.pixels(chosen), int(rng.choice(partial.cells)))
    codec = partial.codecs[int(rng.integers(len(partial.codecs)))]
    written = encode_upload(blurred, codec, int(rng.integers(*partial.quality)))
    return decoded(written)


Tones = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Mean and standard deviation of a photo's red, green and blue."""


def tones(image: NDArray[np.uint8]) -> Tones:
    """Of an HxWx3 uint8 photo."""
    levels = image.reshape(-1, 3).astype(np.float32)
    return levels.mean(axis=0), levels.std(axis=0) + 1


def toned(image: NDArray[np.uint8], other: Tones, share: float) -> NDArray[np.uint8]:
    """The photo, that much of the way (0..1) to another one's tones.

    Reinhard, Ashikhmin, Gooch and Shirley, "Color Transfer between Images", 2001, here per channel of RGB.
    """
    mean, spread = tones(image)
    gain = 1 - share + share * other[1] / spread
    moved = (image - mean) * gain + (1 - share) * mean + share * other[0]
    levels: NDArray[np.uint8] = np.clip(moved, 0, 255).astype(np.uint8)
    return levels


def relit(image: NDArray[np.uint8], by: Photometric, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The photo with tones, brightness, contrast, colour and noise moved at random."""
    if by.gamma:
        bent = (np.arange(256) / 255) ** np.exp(rng.uniform(-by.gamma, by.gamma))
        image = (255 * bent).astype(np.float32)[image]
    contrast = 1 + rng.uniform(-by.contrast, by.contrast)
    gain = contrast * (1 + rng.uniform(-by.brightness, by.brightness)) * (1 + rng.uniform(-by.colour, by.colour, 3))
    level = 110.0 * (1 - contrast)
    lit = image * gain.astype(np.float32) + np.float32(level)
    if by.noise:
        grain = rng.standard_normal(image.shape[:2], dtype=np.float32)
        lit += (grain * np.float32(rng.uniform(0, by.noise)))[:, :, None]
    levels: NDArray[np.uint8] = np.clip(lit, 0, 255).astype(np.uint8)
    return levels
