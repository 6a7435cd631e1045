"""Photos with one person's joints: the noun, what every such data set promises, and parts of one."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from umiak_workers.datasets.sample import Image, checked


@dataclass(frozen=True)
class Posed:
    """One photo: `image` HxWx3 uint8 RGB, `joints` Jx2 float32 (x, y; pixels), `visible` J bool: labelled."""

    image: Image
    joints: NDArray[np.float32]
    visible: NDArray[np.bool_]
    name: str


class PoseDataset(Protocol):
    """Finite, ordered, random access; the joints are those of `core.keypoints.JOINTS`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Posed: ...


@dataclass(frozen=True)
class ChosenPoses:
    """Some photos of a data set, by their indices."""

    whole: PoseDataset
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Posed:
        return self.whole[self.indices[checked(index, len(self))]]


@dataclass(frozen=True)
class JoinedPoses:
    """Several data sets one after the other."""

    parts: tuple[PoseDataset, ...]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __getitem__(self, index: int, /) -> Posed:
        rest = checked(index, len(self))
        for part in self.parts:
            if rest < len(part):
                return part[rest]
            rest -= len(part)
        raise IndexError(index)
