"""Who is in the watched part of a yard: windows of yard photos, each nobody, person, vehicle or both.

A whole yard photo nearly always shows somebody, so each photo gives four windows and each looks for another class; one
that the photo does not hold gives its turn to the next class. Windows that show only a trace of somebody are no
question for anybody and left out.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from umiak_workers.datasets.classified import ClassSample
from umiak_workers.datasets.sample import Image, Label, Sample, checked
from umiak_workers.datasets.yard import CLASSES as THINGS
from umiak_workers.datasets.yard import Yard

CLASSES = ("nobody", "person", "vehicle", "both")
WIDTH, HEIGHT = 192, 144
STEP = 8
"""Windows lie on a grid of this many pixels."""
LEAST_PERSON, LEAST_VEHICLE = 110, 220
"""Pixels of a window (0.4 and 0.8 %) from which somebody counts as there."""
_PERSON, _VEHICLE = THINGS.index("person"), THINGS.index("vehicle")


@dataclass(frozen=True)
class Watch:
    """Four windows (HEIGHTxWIDTHx3) of every photo of a yard, with their classes."""

    yard: Yard

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def __len__(self) -> int:
        return len(self.yard) * len(CLASSES)

    def __getitem__(self, index: int, /) -> ClassSample:
        number, wanted = divmod(checked(index, len(self)), len(CLASSES))
        photo = _photo(self.yard, number)
        kinds = classes_of_windows(_labelled(photo))
        rng = np.random.default_rng((self.yard.seed, number, wanted))
        kind = _nearest(wanted, kinds)
        rows, columns = np.nonzero(kinds == kind)
        pick = int(rng.integers(len(rows)))
        return ClassSample(_window(photo.image, rows[pick], columns[pick]), kind, f"{photo.name}-{wanted}")


def classes_of_windows(label: Label) -> NDArray[np.int64]:
    """The class of each window of an HxW label map (rows x columns of the grid), -1 where it shows only a trace.

    A photo whose windows all show only traces has them count as nobody.
    """
    person, vehicle = _seen(label == _PERSON), _seen(label == _VEHICLE)
    kinds = (person >= LEAST_PERSON).astype(np.int64) + 2 * (vehicle >= LEAST_VEHICLE)
    trace = ((person > 0) & (person < LEAST_PERSON)) | ((vehicle > 0) & (vehicle < LEAST_VEHICLE))
    return kinds if trace.all() else np.where(trace, -1, kinds)


def _nearest(wanted: int, kinds: NDArray[np.int64]) -> int:
    """The class that is wanted, or the next one that some window has."""
    turns = ((wanted + turn) % len(CLASSES) for turn in range(len(CLASSES)))
    return next(kind for kind in turns if (kinds == kind).any())


def _seen(there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many pixels of each window are set, by an integral image."""
    total = np.zeros((there.shape[0] + 1, there.shape[1] + 1), np.int64)
    total[1:, 1:] = there.cumsum(axis=0).cumsum(axis=1)
    sums = total[HEIGHT:, WIDTH:] - total[:-HEIGHT, WIDTH:] - total[HEIGHT:, :-WIDTH] + total[:-HEIGHT, :-WIDTH]
    windows: NDArray[np.int64] = sums[::STEP, ::STEP]
    return windows


def _labelled(photo: Sample) -> Label:
    assert photo.label is not None, "a yard labels every photo"
    return photo.label


def _window(image: Image, row: int, column: int) -> Image:
    top, left = int(row) * STEP, int(column) * STEP
    return np.ascontiguousarray(image[top : top + HEIGHT, left : left + WIDTH])


@lru_cache(maxsize=2)
def _photo(yard: Yard, number: int) -> Sample:
    return yard[number]
