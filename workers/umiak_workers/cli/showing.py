"""Answers for people and machines, by task: in words, as JSON, and drawn onto the photo."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from umiak_workers.cli import drawing, overlay
from umiak_workers.contract.artefact import Card
from umiak_workers.contract.errors import Unavailable
from umiak_workers.contract.messages import Task
from umiak_workers.core.detection import read_boxes
from umiak_workers.core.keypoints import read_joints
from umiak_workers.core.mask_png import decode_mask
from umiak_workers.core.scores import FOUND
from umiak_workers.core.tasks.classification import unpack

MOST_NAMED = 5
"""Classes that are told of in words."""
Photo = NDArray[np.uint8]


@dataclass(frozen=True)
class Showing:
    """How answers of one task are shown; `ending` is what a picture's file name ends with."""

    words: Callable[[bytes, Card | None], str]
    facts: Callable[[bytes, Card | None], dict[str, Any]]
    picture: Callable[[Photo, bytes, Card | None], Photo]
    ending: str


def showing(task: Task) -> Showing:
    """How answers of a task are shown; raises Unavailable for one that this release does not know."""
    if task not in _SHOWINGS:
        raise Unavailable(f"the edge answers {task}, which this release does not show; it shows {', '.join(_SHOWINGS)}")
    return _SHOWINGS[task]


def _mask_words(payload: bytes, card: Card | None) -> str:
    found = overlay.shares(decode_mask(payload), card)
    return ", ".join(f"{name} {share:.0%}" for name, share in list(found.items())[:MOST_NAMED])


def _mask_facts(payload: bytes, card: Card | None) -> dict[str, Any]:
    mask = decode_mask(payload)
    shares = {name: round(share, 4) for name, share in overlay.shares(mask, card).items()}
    return {"width": mask.shape[1], "height": mask.shape[0], "shares": shares}


def _mask_picture(photo: Photo, payload: bytes, card: Card | None) -> Photo:
    return overlay.overlay(photo, decode_mask(payload), overlay.colours(card))


def _class_words(payload: bytes, card: Card | None) -> str:
    ranked = sorted(unpack(payload).probabilities.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {chance:.0%}" for name, chance in ranked[:MOST_NAMED])


def _class_facts(payload: bytes, card: Card | None) -> dict[str, Any]:
    return unpack(payload).model_dump()


def _class_picture(photo: Photo, payload: bytes, card: Card | None) -> Photo:
    """The photo with a line of text below it."""
    said = unpack(payload)
    strip = max(14, photo.shape[0] // 12)
    picture = Image.new("RGB", (photo.shape[1], photo.shape[0] + strip))
    picture.paste(Image.fromarray(photo))
    words = f"{said.label} {said.probabilities[said.label]:.0%}"
    ImageDraw.Draw(picture).text((4, photo.shape[0] + 1), words, fill=(255, 255, 255), font_size=strip - 4)
    return np.asarray(picture)


def _box_words(payload: bytes, card: Card | None) -> str:
    boxes = read_boxes(payload)
    found = [box for box in boxes if box.confidence >= FOUND]
    told = ", ".join(f"{box.name} {box.confidence:.0%}" for box in found[:MOST_NAMED])
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    faint = len(boxes) - len(found)
    return f"{told or 'nothing found'}{more}" + (f" ({faint} below {FOUND:.0%})" if faint else "")


def _box_facts(payload: bytes, card: Card | None) -> dict[str, Any]:
    return {
        "boxes": [
            {"box": list(one.box), "class": one.name, "confidence": one.confidence} for one in read_boxes(payload)
        ]
    }


def _box_picture(photo: Photo, payload: bytes, card: Card | None) -> Photo:
    return drawing.boxes(photo, [box for box in read_boxes(payload) if box.confidence >= FOUND], card)


def _joint_words(payload: bytes, card: Card | None) -> str:
    joints = sorted(read_joints(payload), key=lambda joint: -joint.confidence)
    mean = sum(joint.confidence for joint in joints) / len(joints)
    first, last = joints[0], joints[-1]
    ends = f"from {first.name} {first.confidence:.0%} to {last.name} {last.confidence:.0%}"
    return f"{len(joints)} joints, sure {mean:.0%}, {ends}"


def _joint_facts(payload: bytes, card: Card | None) -> dict[str, Any]:
    return {"joints": [joint._asdict() for joint in read_joints(payload)]}


def _joint_picture(photo: Photo, payload: bytes, card: Card | None) -> Photo:
    return drawing.joints(photo, read_joints(payload))


_SHOWINGS: Mapping[Task, Showing] = {
    "semantic-segmentation": Showing(_mask_words, _mask_facts, _mask_picture, "mask"),
    "image-classification": Showing(_class_words, _class_facts, _class_picture, "class"),
    "object-detection": Showing(_box_words, _box_facts, _box_picture, "boxes"),
    "keypoint-detection": Showing(_joint_words, _joint_facts, _joint_picture, "joints"),
}
