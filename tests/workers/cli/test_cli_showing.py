"""How answers are shown by task: in words, as JSON and as a picture; a task nobody knows is named."""

from pathlib import Path
from typing import cast, get_args

import numpy as np
import pytest
from rich.console import Console

from umiak_workers.cli.infer import Answered, as_json, table
from umiak_workers.cli.showing import showing
from umiak_workers.contract.errors import MessageError, Unavailable
from umiak_workers.contract.messages import Answer, Scores, Task
from umiak_workers.core.detection import Detections, encode_boxes
from umiak_workers.core.keypoints import JOINTS, Pose, encode_joints
from umiak_workers.core.tasks.classification import pack

SAID = pack(("nobody", "person", "both"), np.array([0.2, 0.7, 0.1]))


BOXES = Detections(
    np.array([[20, 30, 60, 50], [100, 10, 20, 20], [0, 0, 9, 9]], np.float32),
    np.array([1, 0, 0]),
    np.float32([0.9, 0.4, 0.1]),
)
FOUND = encode_boxes(BOXES, ("person", "vehicle"))
NOTHING = encode_boxes(BOXES[np.zeros(3, np.bool_)], ("person", "vehicle"))
PLACES = np.stack((np.linspace(20, 140, 14), np.full(14, 60.0)), axis=1).astype(np.float32)
POSE = encode_joints(Pose(PLACES, np.linspace(0.2, 0.85, 14, dtype=np.float32)), JOINTS)
PHOTO = np.full((120, 160, 3), 90, np.uint8)


def answered(task: Task = "image-classification", payload: bytes = SAID) -> Answered:
    answer = Answer(
        frame="edge-1/http/1",
        revision=0,
        task=task,
        answered_by="edge",
        reason="Easy",
        scores=Scores(margin=0.5, max_probability=0.7, entropy=0.8, classes=3),
        model="sha256:" + "a" * 64,
        captured_at=1.0,
        answered_at=1.5,
    )
    return Answered(Path("gate.jpg"), answer, payload)


def test_a_class_in_words_and_for_machines() -> None:
    console = Console(width=200, record=True, file=None)
    with console.capture() as said:
        console.print(table([answered()], None))
    assert "gate.jpg: person 70%, nobody 20%, both 10%" in said.get()
    found = as_json(answered(), None)
    assert (found["label"], found["probabilities"]) == ("person", {"both": 0.1, "nobody": 0.2, "person": 0.7})
    assert found["answer"]["task"] == "image-classification"


def test_a_class_is_written_below_the_photo() -> None:
    picture = showing("image-classification").picture(PHOTO, SAID, None)
    assert picture.shape == (134, 160, 3)
    assert (picture[:120] == PHOTO).all()
    assert picture[120:].max() > 200


def test_boxes_in_words_for_machines_and_drawn() -> None:
    show = showing("object-detection")
    assert show.words(FOUND, None) == "vehicle 90%, person 40% (1 below 30%)"
    assert show.words(NOTHING, None) == "nothing found"
    first = as_json(answered("object-detection", FOUND), None)["boxes"][0]
    assert first == {"box": [20.0, 30.0, 60.0, 50.0], "class": "vehicle", "confidence": 0.9}
    picture = show.picture(PHOTO, FOUND, None)
    changed = (picture != PHOTO).any(axis=2)
    assert changed[30:81, 20].all()
    assert changed[80, 20:81].all()
    assert not changed[32:79, 22:79].any()
    assert not changed[9, :9].any()  # too faint to be drawn
    assert tuple(picture[60, 20]) != tuple(picture[20, 100])  # another class
    assert (show.picture(PHOTO, NOTHING, None) == PHOTO).all()


def test_joints_in_words_for_machines_and_drawn() -> None:
    show = showing("keypoint-detection")
    assert show.words(POSE, None) == "14 joints, sure 52%, from head_top 85% to r_ankle 20%"
    first = as_json(answered("keypoint-detection", POSE), None)["joints"][0]
    assert first == {"name": "r_ankle", "x": 20.0, "y": 60.0, "confidence": 0.2}
    changed = (show.picture(PHOTO, POSE, None) != PHOTO).any(axis=2)
    assert changed[60, 20:122].all()
    assert not changed[:50].any()
    pair = encode_joints(Pose(PLACES[[0, 13]], np.float32([0.5, 0.5])), ("a", "b"))
    assert not (show.picture(PHOTO, pair, None) != PHOTO)[60, 40:120].any()  # bones of nobody


def test_every_task_is_shown() -> None:
    assert len({showing(task).ending for task in get_args(Task)}) == len(get_args(Task))


def test_what_cannot_be_shown_is_said() -> None:
    with pytest.raises(Unavailable, match="poetry, which this release does not show"):
        showing(cast(Task, "poetry"))
    with pytest.raises(MessageError, match="PNG"):
        as_json(answered("semantic-segmentation"), None)
