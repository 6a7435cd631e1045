"""What the cloud's encoder could do: photos in batches instead of one at a time, and photos it has already seen.

The cloud thinks about one photo at a time (`cloud/waiting.py`). Whether collecting several for one pass of the image
encoder would pay is measured here, and so is how much of a whole request that pass is.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from umiak_workers.cloud.stages import Stages
from umiak_workers.cloud.think import CACHE_BYTES, Thinker
from umiak_workers.contract.config import Fusion
from umiak_workers.contract.errors import ConfigError
from umiak_workers.predictors.promptable import Embedding, Promptable
from umiak_workers.predictors.segmentation import Segmenter

Image = NDArray[np.uint8]
SIZES = (1, 2, 4, 8)
ROUNDS = 5


class Batched(Promptable, Protocol):
    """A promptable segmenter that can embed several photos at once."""

    def encode_all(self, images: Sequence[Image]) -> tuple[Embedding, ...]: ...


@dataclass(frozen=True)
class Batch:
    """Encoding in batches of `size`: milliseconds per photo (p50), photos per second, times the pace of size 1."""

    size: int
    milliseconds: float
    per_second: float
    gain: float


@dataclass(frozen=True)
class Request:
    """A whole opinion, p50 in ms by stage: `cold` for photos never seen, `warm` for photos seen a moment ago.

    `embedding_bytes` is one photo's embedding; `remembered` how many of them the cloud keeps.
    """

    cold: dict[str, float]
    warm: dict[str, float]
    embedding_bytes: int
    remembered: int

    def saved(self, gain: float) -> float:
        """Largest share (0..1) of a cold request that an encoder `gain` times as fast could save."""
        return self.cold["sam_encode"] / sum(self.cold.values()) * max(0.0, 1 - 1 / gain)


def batches(sam: Batched, photos: Sequence[Image]) -> list[Batch]:
    """Every size on the same photos, in turn, nothing remembered; raises ConfigError for too few or equal photos."""
    whole = photos[: len(photos) // max(SIZES) * max(SIZES)]
    if not whole or len({photo.tobytes() for photo in whole}) < len(whole):
        raise ConfigError(f"batches are measured on {max(SIZES)} or more photos, no two of them the same")
    sam.encode_all(whole[: max(SIZES)])  # the first pass also fills torch's own caches
    taken: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size in SIZES:
            taken[size] += [_encoded(sam, whole[at : at + size]) / size for at in range(0, len(whole), size)]
    alone = float(np.median(taken[1]))
    return [
        Batch(size, each, 1000 / each, alone / each)
        for size, each in ((size, float(np.median(values))) for size, values in taken.items())
    ]


def request(edge: Segmenter, labeller: Segmenter | None, sam: Promptable, photos: Sequence[Image]) -> Request:
    """What the cloud's own thinker takes for each photo, and for the same photo once more."""
    thinker = Thinker(labeller, sam, Fusion())
    cold, warm = list[Stages](), list[Stages]()
    for number, photo in enumerate(photos):
        for stages in (cold, warm):
            stages.append(Stages())
            thinker.think(str(number), photo, edge, stages[-1])
    size = int(sam.encode(photos[0]).features.nbytes)
    return Request(_medians(cold), _medians(warm), size, CACHE_BYTES // size)


def _encoded(sam: Batched, photos: Sequence[Image]) -> float:
    begun = time.perf_counter()
    sam.encode_all(photos)
    return (time.perf_counter() - begun) * 1000


def _medians(requests: Sequence[Stages]) -> dict[str, float]:
    names = requests[0].milliseconds
    return {name: float(np.median([one.milliseconds[name] for one in requests])) for name in names}
