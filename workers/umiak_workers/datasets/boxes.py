"""Photos with labelled boxes: the noun, what every such data set promises, and its parts to learn from and score on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.sample import Chosen, Image, Indexed, Joined

Part = Literal["train", "val", "all"]
LONGEST_RUN = 20
"""Neighbouring photos that go the same way when a folder is cut into a part to learn from and one to score on."""
EVERY = 5


@dataclass(frozen=True)
class Boxed:
    """One photo: `image` HxWx3 uint8 RGB, `boxes` Nx4 float32 (left, top, width, height; pixels), `classes` N int64."""

    image: Image
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    name: str


class BoxDataset(Indexed[Boxed], Protocol):
    """Class ids are indices into `classes`."""

    @property
    def classes(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class ChosenBoxes(Chosen[Boxed]):
    """Some photos of a data set; the ids keep their names."""

    classes: tuple[str, ...]


@dataclass(frozen=True)
class JoinedBoxes(Joined[Boxed]):
    """Several data sets of the same classes."""

    classes: tuple[str, ...]


def joined_boxes(parts: Sequence[BoxDataset]) -> JoinedBoxes:
    """One after the other; raises ConfigError where their classes differ."""
    for part in parts[1:]:
        if part.classes != parts[0].classes:
            raise ConfigError(f"data sets of unlike classes: {parts[0].classes} and {part.classes}")
    return JoinedBoxes(tuple(parts), parts[0].classes)


def indices_of(count: int, part: Part) -> tuple[int, ...]:
    """Which of `count` photos, in the order of their file names, belong to a part.

    The files are cut into runs of neighbours (20, fewer where there are fewer than 200 photos) and every fifth run is
    `val`, the others `train`: photos of one flight or one scene mostly go the same way, which a random draw would not
    do. Raises ConfigError where there are too few photos for both.
    """
    if part == "all":
        return tuple(range(count))
    if count < EVERY:
        raise ConfigError(f"{count} labelled photos are too few to hold any back; name others with --val")
    run = max(1, min(LONGEST_RUN, count // 10))
    held = [index // run % EVERY == EVERY - 1 for index in range(count)]
    return tuple(index for index in range(count) if held[index] == (part == "val"))
