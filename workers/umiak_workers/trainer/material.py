"""What one round learns from and is judged by: replayed photos with the cloud's answers, and base data.

Ground truth of the edges' photos never comes here: a sample's label map is what the cloud answered, and where it had no
opinion the pixel is void.
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import structlog
from PIL import Image

from umiak_workers.adapters.photo import decode_photo
from umiak_workers.contract.config import MiB, TrainerConfig
from umiak_workers.contract.errors import ConfigError, InvalidInput, MessageError, Refused
from umiak_workers.contract.messages import SampleInfo, SampleList
from umiak_workers.core.mask_png import decode_mask
from umiak_workers.core.replay import balanced, split_by_time
from umiak_workers.datasets.sample import Sample
from umiak_workers.datasets.source import open_dataset

MOST_LEARNT = 600
MOST_HELD_BACK = 200
MOST_BASE = 400
MOST_BASE_HELD_BACK = 100
"""Samples of each kind, so that a round's time and memory stay bounded whatever the replay store holds."""
MOST_PIXELS = 400_000
"""A larger photo and its label are shrunk to this many pixels: 1300 samples of 1.6 MB fit the Job's memory."""
MOST_PHOTO_BYTES = 64 * MiB
MOST_PHOTO_PIXELS = 100_000_000
log = structlog.get_logger()


class Replay(Protocol):
    """The part of the hub that gives samples."""

    def every_sample(self, namespace: str, resource: str, until: int) -> SampleList:
        """The listing up to a position."""
        ...

    def sample_bytes(self, namespace: str, resource: str, position: int, part: Literal["image", "label"]) -> bytes:
        """Photo or label PNG; raises Refused 404 once it was evicted."""
        ...


@dataclass(frozen=True)
class Material:
    """Labelled samples: to learn from and held back, replayed and base."""

    replay: tuple[Sample, ...]
    replay_held_back: tuple[Sample, ...]
    base: tuple[Sample, ...]
    base_held_back: tuple[Sample, ...]


def gather(hub: Replay, config: TrainerConfig) -> Material:
    """Choose, fetch and decode; the same config and store give the same material.

    Raises ConfigError (base data), Unavailable (hub).
    """
    listed = hub.every_sample(config.namespace, config.joint_inference, config.watermark).samples
    learn, held = split_by_time(listed, config.promotion.holdout)
    rng = np.random.default_rng(config.seed)
    replay = _fetched(hub, config, balanced(learn, MOST_LEARNT, rng))
    replay_held_back = _fetched(hub, config, balanced(held, MOST_HELD_BACK, rng))
    base, base_held_back = _base(config, rng)
    found = Material(replay, replay_held_back, base, base_held_back)
    log.info(
        "material",
        listed=len(listed),
        replay=len(replay),
        replay_held_back=len(replay_held_back),
        base=len(base),
        base_held_back=len(base_held_back),
    )
    return found


def _fetched(hub: Replay, config: TrainerConfig, chosen: tuple[SampleInfo, ...]) -> tuple[Sample, ...]:
    found = (_sample(hub, config, info) for info in chosen)
    return tuple(sample for sample in found if sample is not None)


def _sample(hub: Replay, config: TrainerConfig, info: SampleInfo) -> Sample | None:
    """One replayed sample; None (and a line in the log) for one that was evicted meanwhile or cannot be read."""
    where = (config.namespace, config.joint_inference, info.position)
    try:
        photo = decode_photo(hub.sample_bytes(*where, "image"), MOST_PHOTO_BYTES, MOST_PHOTO_PIXELS)
        label = decode_mask(hub.sample_bytes(*where, "label"))
    except (Refused, InvalidInput, MessageError) as error:
        log.warning("a sample was left out", frame=info.frame, reason=str(error))
        return None
    if label.shape != photo.shape[:2]:
        log.warning("a sample was left out", frame=info.frame, reason=f"label {label.shape}, photo {photo.shape}")
        return None
    return shrunk(Sample(photo, label, info.frame))


def _base(config: TrainerConfig, rng: np.random.Generator) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """(to learn from, held back): the last share of the base data, in its own order, is held back."""
    data = open_dataset(config.base_data)
    if len(data) < 2:
        raise ConfigError(f"{config.base_data}: at least 2 labelled photos are needed, one is held back")
    cut = min(len(data) - 1, max(1, len(data) - round(config.promotion.holdout * len(data))))
    return (
        tuple(_labelled(data[index], config) for index in _some(range(cut), MOST_BASE, rng)),
        tuple(_labelled(data[index], config) for index in _some(range(cut, len(data)), MOST_BASE_HELD_BACK, rng)),
    )


def _some(indices: range, most: int, rng: np.random.Generator) -> list[int]:
    if len(indices) <= most:
        return list(indices)
    return sorted(int(index) for index in rng.choice(indices, size=most, replace=False))


def _labelled(sample: Sample, config: TrainerConfig) -> Sample:
    if sample.label is None:
        raise ConfigError(f"{config.base_data}: {sample.name} has no label; base data is labelled")
    return shrunk(sample)


def shrunk(sample: Sample) -> Sample:
    """The sample with at most MOST_PIXELS pixels; labels by nearest neighbour."""
    height, width = sample.image.shape[:2]
    scale = math.sqrt(MOST_PIXELS / (height * width))
    if scale >= 1:
        return sample
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    image = np.asarray(Image.fromarray(sample.image).resize(size, Image.Resampling.BILINEAR))
    label = sample.label
    if label is not None:
        label = np.asarray(Image.fromarray(label).resize(size, Image.Resampling.NEAREST))
    return Sample(image, label, sample.name)
