"""Boxes of the substation yard: what stands in a frame, each thing's visible part measured on the frame itself.

A thing is painted once more on an empty picture; its pixels that say the same in the whole frame (what, how far) are
those that nothing hides. Things mostly hidden, or too small to be told by anybody, have no box.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from umiak_workers.datasets.boxes import Boxed
from umiak_workers.datasets.yard import HEIGHT, WIDTH, Look, Yard
from umiak_workers.datasets.yard_canvas import Canvas
from umiak_workers.datasets.yard_things import VOID, Thing, paint

CLASSES = ("person", "vehicle", "equipment")
KINDS = {
    "person": 0,
    "vehicle": 1,
    "transformer": 2,
    "breaker": 2,
    "disconnector": 2,
    "post": 2,
    "kiosk": 2,
}
LEAST_SEEN = 0.4
"""Share of a thing's pixels that must be visible."""
SMALLEST = (4, 8)
"""Pixels: width and height that a box has at least."""


@dataclass(frozen=True)
class YardBoxes:
    """A yard whose frames have boxes of people, vehicles and equipment instead of label maps."""

    yard: Yard

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def __len__(self) -> int:
        return len(self.yard)

    def __getitem__(self, index: int, /) -> Boxed:
        look = self.yard.look(index)
        pairs = [(visible_box(look, thing), KINDS[thing.kind]) for thing in look.things if thing.kind in KINDS]
        seen = [(box, kind) for box, kind in pairs if box is not None]
        boxes = np.asarray([box for box, _ in seen], np.float32).reshape(-1, 4)
        return Boxed(look.sample.image, boxes, np.asarray([kind for _, kind in seen], np.int64), look.sample.name)


def visible_box(look: Look, thing: Thing) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) of what is seen of a thing; None where that is too little."""
    alone = _alone(look, thing)
    own = alone != VOID
    seen = own & (alone == look.facts)
    if not own.any() or seen.sum() < LEAST_SEEN * own.sum():
        return None
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    width, height = int(columns[-1]) - left + 1, int(rows[-1]) - top + 1
    return (left, top, width, height) if width >= SMALLEST[0] and height >= SMALLEST[1] else None


def _alone(look: Look, thing: Thing) -> NDArray[np.int32]:
    """HxW facts of a thing by itself, VOID elsewhere."""
    empty = Pillow.new("RGB", (2, 2))  # colours are not looked at
    canvas = Canvas(look.camera, look.mood.sun, empty, Pillow.new("I", (WIDTH, HEIGHT), VOID))
    paint(canvas, thing, look.mood.lamps, look.step)
    return np.asarray(canvas.facts, dtype=np.int32)
