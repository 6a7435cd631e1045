"""The nouns of this room: a sample, and what every data set promises."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Label = NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """One photo: `image` HxWx3 uint8 RGB, `label` HxW uint8 class ids (void included) or None, `name` a file stem."""

    image: Image
    label: Label | None
    name: str


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Indexed(Protocol[T_co]):
    """A finite, ordered, random-access collection that always gives the same picture for the same index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> T_co: ...


Dataset = Indexed[Sample]
"""Photos with label maps."""


@dataclass(frozen=True)
class Joined(Generic[T]):
    """Several data sets one after the other; list one twice to see its samples twice as often."""

    parts: tuple[Indexed[T], ...]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __getitem__(self, index: int, /) -> T:
        rest = checked(index, len(self))
        for part in self.parts:
            if rest < len(part):
                return part[rest]
            rest -= len(part)
        raise IndexError(index)


@dataclass(frozen=True)
class Chosen(Generic[T]):
    """Some photos of a data set, by their indices."""

    whole: Indexed[T]
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> T:
        return self.whole[self.indices[checked(index, len(self))]]


@dataclass(frozen=True)
class Span:
    """Samples `start` to `stop` (excluded) of a data set: in order of time, so that an end can be held back."""

    whole: Dataset
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int, /) -> Sample:
        return self.whole[self.start + checked(index, len(self))]


@dataclass(frozen=True)
class Listed:
    """Samples that are already in memory, for example pseudo-labelled photos of a replay store."""

    samples: Sequence[Sample]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int, /) -> Sample:
        return self.samples[checked(index, len(self))]


def checked(index: int, length: int) -> int:
    """`index` if it is inside 0..length-1, else IndexError (which also ends a plain `for` over a data set)."""
    if not 0 <= index < length:
        raise IndexError(f"sample {index} of {length}")
    return index


def walk(dataset: Dataset) -> Iterator[Sample]:
    """Every sample in order."""
    for index in range(len(dataset)):
        yield dataset[index]


def sequence_of(name: str) -> str:
    """The drive or film that a photo belongs to: what comes before the first `_` or `-` of its name."""
    return name.replace("-", "_").partition("_")[0]


def sequences(dataset: Dataset) -> dict[str, tuple[int, ...]]:
    """The numbers of each sequence's samples, sequences in the order in which they begin."""
    found: dict[str, list[int]] = {}
    for number, sample in enumerate(walk(dataset)):
        found.setdefault(sequence_of(sample.name), []).append(number)
    return {name: tuple(numbers) for name, numbers in found.items()}
