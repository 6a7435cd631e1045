"""How answers are shown by task: a class in words, as JSON and as a picture; a task nobody knows is named."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from umiak_workers.cli.infer import Answered, as_json, table
from umiak_workers.cli.showing import showing
from umiak_workers.contract.errors import MessageError, Unavailable
from umiak_workers.contract.messages import Answer, Scores, Task
from umiak_workers.core.tasks.classification import pack

SAID = pack(("nobody", "person", "both"), np.array([0.2, 0.7, 0.1]))


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
    photo = np.full((120, 160, 3), 90, np.uint8)
    picture = showing("image-classification").picture(photo, SAID, None)
    assert picture.shape == (134, 160, 3)
    assert (picture[:120] == photo).all()
    assert picture[120:].max() > 200


def test_what_cannot_be_shown_is_said() -> None:
    with pytest.raises(Unavailable, match="keypoint-detection, which this release does not show"):
        as_json(answered("keypoint-detection"), None)
    with pytest.raises(MessageError, match="PNG"):
        as_json(answered("semantic-segmentation"), None)
