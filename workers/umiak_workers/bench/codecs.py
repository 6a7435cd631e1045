"""What a codec's bytes and milliseconds buy: the same photos written in many ways, read again and labelled.

`umiak bench joint` measures routers with the one codec that the product sends; this says why it is that one.
"""

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from umiak_workers.cloud.think import joined
from umiak_workers.contract import config
from umiak_workers.contract.config import Fusion
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.codec import WRITING, decoded
from umiak_workers.core.metrics import Counts, block_bootstrap_difference, confusion, mean_iou
from umiak_workers.datasets.sample import Dataset
from umiak_workers.predictors.planes import grown_logits
from umiak_workers.predictors.segmentation import Segmenter

Image = NDArray[np.uint8]
BLOCK = 5
"""Neighbouring photos in a block of the bootstrap."""


@dataclass(frozen=True)
class Codec:
    """A way to write a photo: a format, quality 1..100, and how hard it tries, in Pillow's words."""

    format: config.Codec
    quality: int
    trying: tuple[str, int] | None = None
    """(`method`, 0 fast to 6 small) of WebP, (`speed`, 10 fast to 0 small) of AVIF; None: as the product writes it."""

    @property
    def name(self) -> str:
        """As a row is called."""
        return self.format if self.trying is None else "{}, {} {}".format(self.format, *self.trying)

    def write(self, image: Image) -> bytes:
        """The file of an HxWx3 uint8 image."""
        told = {**WRITING[self.format], **dict([self.trying] if self.trying else [])}
        file = io.BytesIO()
        Pillow.fromarray(image).save(file, self.format.upper(), quality=self.quality, **told)
        return file.getvalue()


@dataclass(frozen=True)
class Row:
    """One codec at one quality (None: photos untouched); bytes and p50 milliseconds per photo.

    `labeller` and `both` are mIoU by who labels; `lost` is that of `both` minus the untouched photos', with 95 % ends.
    """

    codec: Codec | None
    bytes: float
    write_ms: float
    read_ms: float
    labeller: float
    both: float
    lost: tuple[float, float, float] | None

    def milliseconds(self, rate: float) -> float:
        """Written, sent at `rate` bits per second, and read again."""
        return self.write_ms + self.bytes * 8000 / rate + self.read_ms

    def as_json(self, rate: float) -> dict[str, object]:
        """Plain values."""
        return {
            "codec": None if self.codec is None else self.codec.name,
            "quality": None if self.codec is None else self.codec.quality,
            "bytes": round(self.bytes, 1),
            "write_ms": round(self.write_ms, 2),
            "read_ms": round(self.read_ms, 2),
            "ms": round(self.milliseconds(rate), 2),
            "miou": {"labeller": round(self.labeller, 4), "both": round(self.both, 4)},
            "lost": None if self.lost is None else [round(value, 4) for value in self.lost],
        }


@dataclass
class _Tally:
    sizes: list[int] = field(default_factory=list)
    writing: list[float] = field(default_factory=list)
    reading: list[float] = field(default_factory=list)
    labeller: list[Counts] = field(default_factory=list)
    both: list[Counts] = field(default_factory=list)


QUALITIES: dict[config.Codec, tuple[int, ...]] = {"JPEG": (15, 30, 50), "WebP": (5, 15, 30), "AVIF": (20, 30, 40)}
"""What is tried of each, since each has a scale of its own: about the same kilobytes."""


def codecs(qualities: Sequence[int] = ()) -> tuple[Codec, ...]:
    """Every codec as the product writes it, WebP faster and smaller too, AVIF smaller too, at each quality.

    Without any, at those of QUALITIES.
    """
    ways: tuple[tuple[config.Codec, tuple[str, int] | None], ...] = (
        ("JPEG", None),
        ("WebP", ("method", 0)),
        ("WebP", None),
        ("WebP", ("method", 4)),
        ("AVIF", None),
        ("AVIF", ("speed", 8)),
    )
    return tuple(Codec(form, quality, trying) for form, trying in ways for quality in qualities or QUALITIES[form])


def measured(
    edge: Segmenter,
    labeller: Segmenter,
    samples: Dataset,
    ways: Sequence[Codec],
    seed: int,
    progress: Callable[[], object],
) -> list[Row]:
    """The untouched photos, then every way; both models see what was read again, as in a cloud worker.

    Raises ConfigError where no photo is labelled.
    """
    tallies: dict[Codec | None, _Tally] = {way: _Tally() for way in (None, *ways)}
    for index in range(len(samples)):
        sample = samples[index]
        if sample.label is not None:
            for way, tally in tallies.items():
                seen = sample.image if way is None else _through(way, sample.image, tally)
                mine, better = edge.predict(seen).logits, labeller.predict(seen).logits
                for logits, counts in ((better, tally.labeller), (joined(mine, better, _BOTH), tally.both)):
                    labels = grown_logits(logits, *sample.label.shape).argmax(axis=0).astype(np.uint8)
                    counts.append(confusion(sample.label, labels, len(edge.card.classes)))
        progress()
    if not tallies[None].both:
        raise ConfigError("no labelled photo")
    return [_row(way, tally, tallies[None], seed) for way, tally in tallies.items()]


_BOTH = Fusion(labels="both")


def _through(way: Codec, image: Image, tally: _Tally) -> Image:
    begun = time.perf_counter()
    written = way.write(image)
    between = time.perf_counter()
    seen = decoded(written)
    tally.reading.append((time.perf_counter() - between) * 1000)
    tally.writing.append((between - begun) * 1000)
    tally.sizes.append(len(written))
    return seen


def _row(way: Codec | None, tally: _Tally, untouched: _Tally, seed: int) -> Row:
    labeller, both, whole = (
        mean_iou(sum(one, np.zeros_like(one[0]))) for one in (tally.labeller, tally.both, untouched.both)
    )
    if way is None:
        return Row(None, 0.0, 0.0, 0.0, labeller, both, None)
    ends = block_bootstrap_difference(untouched.both, tally.both, min(BLOCK, len(tally.both)), seed)
    writing, reading = (float(np.median(one)) for one in (tally.writing, tally.reading))
    return Row(way, float(np.mean(tally.sizes)), writing, reading, labeller, both, (both - whole, *ends))
