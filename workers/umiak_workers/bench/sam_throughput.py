"""What the cloud's encoder could do: photos in batches instead of one at a time, and photos it has already seen.

The cloud's encoder takes up to `cloud.batch` of the photos that wait in one pass (`cloud/waiting.py`). Whether that
pays is measured here: for the pass alone, for whole requests through the waiting room, and how much of a request it is.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.cloud.question import Question
from umiak_workers.cloud.stages import Stages
from umiak_workers.cloud.think import CACHE_BYTES, Opinion, Thinker
from umiak_workers.cloud.waiting import WaitingRoom
from umiak_workers.contract.config import Fusion
from umiak_workers.contract.errors import ConfigError
from umiak_workers.predictors.promptable import Promptable
from umiak_workers.predictors.segmentation import Segmenter

Image = NDArray[np.uint8]
SIZES = (1, 2, 4, 8)
ROUNDS = 5
"""Passes over the photos where the encoder alone is timed; whole requests take longer and get three."""


@dataclass(frozen=True)
class Batch:
    """In batches of `size`: milliseconds per photo (p50), photos per second, times the pace of size 1."""

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


def batches(sam: Promptable, photos: Sequence[Image]) -> list[Batch]:
    """Every size on the same photos, in turn, nothing remembered; raises ConfigError for too few or equal photos."""
    whole = photos[: len(photos) // max(SIZES) * max(SIZES)]
    if not whole or len({photo.tobytes() for photo in whole}) < len(whole):
        raise ConfigError(f"batches are measured on {max(SIZES)} or more photos, no two of them the same")
    sam.encode_all(whole[: max(SIZES)])  # the first pass also fills torch's own caches
    taken: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size in SIZES:
            taken[size] += [_encoded(sam, whole[at : at + size]) / size for at in range(0, len(whole), size)]
    return _compared(taken)


def served(
    edge: Segmenter, labeller: Segmenter | None, sam: Promptable, photos: Sequence[Image], rounds: int = 3
) -> list[Batch]:
    """Whole requests for distinct photos that all wait at once, by how many the encoder takes; nothing remembered."""
    thinker = Thinker(labeller, sam, Fusion())
    taken: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(rounds):
        for size in SIZES:
            begun = time.perf_counter()
            asyncio.run(_asked(WaitingRoom(len(photos), size, thinker.think_all), edge, photos))
            taken[size].append((time.perf_counter() - begun) * 1000 / len(photos))
    return _compared(taken)


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


async def _asked(room: WaitingRoom[Question, Opinion], edge: Segmenter, photos: Sequence[Image]) -> None:
    questions = [Question("", photo, edge, Stages()) for photo in photos]
    await asyncio.gather(*(room.ask(one, one.stages) for one in questions))
    room.close()


def _compared(taken: dict[int, list[float]]) -> list[Batch]:
    medians = {size: float(np.median(values)) for size, values in taken.items()}
    return [Batch(size, each, 1000 / each, medians[1] / each) for size, each in medians.items()]


def _encoded(sam: Promptable, photos: Sequence[Image]) -> float:
    begun = time.perf_counter()
    sam.encode_all(photos)
    return (time.perf_counter() - begun) * 1000


def _medians(requests: Sequence[Stages]) -> dict[str, float]:
    names = requests[0].milliseconds
    return {name: float(np.median([one.milliseconds[name] for one in requests])) for name in names}
