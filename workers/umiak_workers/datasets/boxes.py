"""Photos with labelled boxes: the noun, what every such data set promises, and its parts to learn from and score on."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.sample import Image, checked

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


class BoxDataset(Protocol):
    """Finite, ordered, random access; class ids are indices into `classes`."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Boxed: ...


@dataclass(frozen=True)
class ChosenBoxes:
    """Some photos of a data set, by their indices."""

    whole: BoxDataset
    indices: tuple[int, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.whole.classes

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Boxed:
        return self.whole[self.indices[checked(index, len(self))]]


@dataclass(frozen=True)
class JoinedBoxes:
    """Several data sets of the same classes one after the other."""

    parts: tuple[BoxDataset, ...]

    def __post_init__(self) -> None:
        for part in self.parts[1:]:
            if part.classes != self.parts[0].classes:
                raise ConfigError(f"data sets of unlike classes: {self.parts[0].classes} and {part.classes}")

    @property
    def classes(self) -> tuple[str, ...]:
        return self.parts[0].classes

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __getitem__(self, index: int, /) -> Boxed:
        rest = checked(index, len(self))
        for part in self.parts:
            if rest < len(part):
                return part[rest]
            rest -= len(part)
        raise IndexError(index)


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
