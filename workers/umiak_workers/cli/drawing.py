"""Boxes and joints drawn onto photos."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from umiak_workers.cli.overlay import colours
from umiak_workers.contract.artefact import Card
from umiak_workers.core.detection import NamedBox
from umiak_workers.core.keypoints import BONES, JOINTS, NamedJoint

Photo = NDArray[np.uint8]
RIGHT, LEFT, MIDDLE = (255, 90, 60), (60, 150, 255), (255, 230, 80)
"""Colours of a person's own right and left, and of what is neither."""


def boxes(photo: Photo, found: Sequence[NamedBox], card: Card | None) -> Photo:
    """A copy of an HxWx3 photo with each box in its class's colour, its class and confidence above it."""
    picture = Image.fromarray(photo)
    pen, line = ImageDraw.Draw(picture), _line(photo)
    names = card.classes if card else tuple(sorted({box.name for box in found}))
    table = colours(card)
    for box in found:
        left, top, width, height = box.box
        colour = _colour(table, names, box.name)
        pen.rectangle((left, top, left + width, top + height), outline=colour, width=line)
        size = max(9, 6 * line)
        place = (left + line, max(0.0, top - size - line))
        pen.text(place, f"{box.name} {box.confidence:.0%}", fill=colour, font_size=size)
    return np.asarray(picture)


def joints(photo: Photo, found: Sequence[NamedJoint]) -> Photo:
    """A copy of an HxWx3 photo with a dot at each joint, and bones where the joints are those of `JOINTS`."""
    picture = Image.fromarray(photo)
    pen, line = ImageDraw.Draw(picture), _line(photo)
    if tuple(joint.name for joint in found) == JOINTS:
        for one, other in BONES:
            ends = (found[one].x, found[one].y, found[other].x, found[other].y)
            pen.line(ends, fill=_side(found[one].name, found[other].name), width=line)
    for joint in found:
        around = (joint.x - 2 * line, joint.y - 2 * line, joint.x + 2 * line, joint.y + 2 * line)
        pen.ellipse(around, fill=_side(joint.name, joint.name))
    return np.asarray(picture)


def _line(photo: Photo) -> int:
    """Pixels of a line."""
    height, width = photo.shape[:2]
    return max(1, round(min(int(height), int(width)) / 200))


def _colour(table: NDArray[np.uint8], names: Sequence[str], name: str) -> tuple[int, int, int]:
    red, green, blue = table[names.index(name) if name in names else 255].tolist()
    return red, green, blue


def _side(one: str, other: str) -> tuple[int, int, int]:
    if one[:2] == other[:2] == "r_":
        return RIGHT
    return LEFT if one[:2] == other[:2] == "l_" else MIDDLE
