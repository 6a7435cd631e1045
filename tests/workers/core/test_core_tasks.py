"""What each task says of its answers: bytes that repeat, bytes that are refused, and two answers made one."""

import json
from typing import cast, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.errors import InvalidPrediction, MessageError
from umiak_workers.contract.messages import Box, Task
from umiak_workers.core.detection import Detections, encode_boxes, nothing
from umiak_workers.core.keypoints import Pose, encode_joints
from umiak_workers.core.mask_png import decode_mask, encode_mask
from umiak_workers.core.scores import box_scores, certainty_scores, gate_scores, softmax
from umiak_workers.core.tasks import KINDS, kind_of
from umiak_workers.core.tasks.classification import CLASSIFICATION, MOST_BYTES, pack, unpack
from umiak_workers.core.tasks.detection import DETECTION
from umiak_workers.core.tasks.keypoints import KEYPOINTS
from umiak_workers.core.tasks.kind import Kind, Opinion
from umiak_workers.core.tasks.segmentation import SEGMENTATION

NAMES = ("nobody", "person", "vehicle")
WHOLE = Box(left=0, top=0, width=8, height=6)


def opinion(payload: bytes, box: Box = WHOLE, confidence: float = 0.9) -> Opinion:
    return Opinion(box, payload, confidence)


def classes(*chances: float, names: tuple[str, ...] = NAMES) -> bytes:
    return pack(names, np.array(chances))


def test_tasks_are_found_by_name_and_others_are_named() -> None:
    assert set(KINDS) == set(get_args(Task))
    assert all(kind_of(task) is kind and kind.task == task for task, kind in KINDS.items())
    with pytest.raises(MessageError, match="poetry is not answered by this release"):
        kind_of(cast(Task, "poetry"))


def test_a_class_is_canonical_json() -> None:
    assert classes(0.25, 0.7, 0.05) == (
        b'{"label":"person","probabilities":{"nobody":0.25,"person":0.7,"vehicle":0.05}}'
    )
    assert unpack(classes(0.25, 0.7, 0.05)).label == "person"


@given(st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=255))
def test_any_models_probabilities_travel(logits: list[float]) -> None:
    names = tuple(f"class {index}" for index in range(len(logits)))
    chances = softmax(np.array(logits, np.float32))
    said = unpack(pack(names, chances))
    CLASSIFICATION.check(pack(names, chances))
    assert chances[names.index(said.label)] == pytest.approx(chances.max(), abs=1e-6)
    assert list(said.probabilities) == sorted(names)
    assert [said.probabilities[name] for name in names] == pytest.approx(chances, abs=1e-6)


@pytest.mark.parametrize("chances", [(0.5, 0.5), (0.5, 0.4, 0.0), (np.nan, 0.5, 0.5)])
def test_what_are_no_probabilities_is_not_packed(chances: tuple[float, ...]) -> None:
    with pytest.raises(InvalidPrediction):
        pack(NAMES, np.array(chances))


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"label": "nobody", "probabilities": {"nobody": 0.2, "person": 0.8}}, "not the most probable"),
        ({"label": "cat", "probabilities": {"nobody": 0.2, "person": 0.8}}, "not the most probable"),
        ({"label": "person", "probabilities": {"nobody": 0.2, "person": 0.7}}, "sum to 0.900"),
        ({"label": "person", "probabilities": {"person": 1.0}}, "probabilities"),
        ({"label": "person", "probabilities": {"nobody": -0.1, "person": 1.1}}, "probabilities.nobody"),
        ({"probabilities": {"nobody": 0.2, "person": 0.8}}, "label"),
        ({"label": "x" * MOST_BYTES, "probabilities": {}}, "at most"),
    ],
)
def test_what_is_no_class_is_refused_by_field(said: object, word: str) -> None:
    with pytest.raises(MessageError, match=word):
        CLASSIFICATION.check(json.dumps(said).encode())


def test_the_clouds_class_stands() -> None:
    edge, cloud = classes(0.5, 0.4, 0.1), classes(0.1, 0.2, 0.7)
    fused = CLASSIFICATION.fuse(edge, [opinion(cloud)])
    assert (fused.final, fused.cloud) == (cloud, cloud)


def test_classes_that_do_not_fit_together_are_not_fused() -> None:
    edge = classes(0.5, 0.4, 0.1)
    with pytest.raises(InvalidPrediction, match="the cloud's boat, nobody, person"):
        CLASSIFICATION.fuse(edge, [opinion(classes(0.1, 0.2, 0.7, names=("nobody", "person", "boat")))])
    for opinions in ([], [opinion(edge), opinion(edge)]):
        with pytest.raises(MessageError, match="one class"):
            CLASSIFICATION.fuse(edge, opinions)
    with pytest.raises(MessageError):
        CLASSIFICATION.fuse(edge, [opinion(encode_mask(np.zeros((6, 8), np.uint8)))])


def boxes(*confidences: float) -> bytes:
    count = len(confidences)
    sides = np.tile(np.float32([1, 2, 3, 4]), (count, 1))
    return encode_boxes(Detections(sides, np.zeros(count, np.int64), np.float32(confidences)), ("person",))


def joints(*names: str) -> bytes:
    return encode_joints(Pose(np.ones((len(names), 2), np.float32), np.full(len(names), 0.5, np.float32)), names)


def test_the_clouds_boxes_stand_and_none_is_an_answer() -> None:
    for cloud in (boxes(0.9), encode_boxes(nothing(), ())):
        fused = DETECTION.fuse(boxes(0.8, 0.7), [opinion(cloud)])
        assert (fused.final, fused.cloud) == (cloud, cloud)
    for opinions in ([], [opinion(boxes(0.9))] * 2):
        with pytest.raises(MessageError, match="of the whole photo"):
            DETECTION.fuse(boxes(0.8), opinions)
    for edge, cloud in ((joints("a"), boxes(0.9)), (boxes(0.9), joints("a"))):
        with pytest.raises(MessageError, match="boxes"):
            DETECTION.fuse(edge, [opinion(cloud)])


def test_the_clouds_joints_stand_where_they_are_the_same_joints() -> None:
    edge, cloud = joints("neck", "head_top"), joints("neck", "head_top").replace(b"0.5", b"0.9")
    fused = KEYPOINTS.fuse(edge, [opinion(cloud)])
    assert (fused.final, fused.cloud) == (cloud, cloud)
    with pytest.raises(InvalidPrediction, match="the edge's joints are neck, head_top, the cloud's head_top, neck"):
        KEYPOINTS.fuse(edge, [opinion(joints("head_top", "neck"))])
    with pytest.raises(MessageError, match="one pose"):
        KEYPOINTS.fuse(edge, [])


@pytest.mark.parametrize(
    ("kind", "wrong", "word"),
    [
        (DETECTION, b'{"boxes":[{"box":[1,2,3,4],"class":7,"confidence":0.5}]}', r"boxes\[0\].class: expected a name"),
        (DETECTION, b'{"boxes":[{"box":[1,2,3,4],"class":"a","confidence":1.5}]}', r"boxes\[0\].confidence"),
        (DETECTION, b"[]", "boxes: expected"),
        (KEYPOINTS, b'{"joints":[]}', "at least one"),
        (KEYPOINTS, b'{"joints":[{"name":7,"x":1,"y":1,"confidence":0.5}]}', r"joints\[0\].name: expected a name"),
        (KEYPOINTS, b'{"joints":[{"name":"a","x":1,"confidence":0.5}]}', r"joints\[0\]: expected name"),
    ],
)
def test_what_are_no_boxes_or_joints_is_refused_by_field(kind: Kind, wrong: bytes, word: str) -> None:
    kind.check(boxes(0.5) if kind is DETECTION else joints("neck"))
    with pytest.raises(MessageError, match=word):
        kind.check(wrong)


def test_payloads_of_boxes_and_joints_are_canonical_json() -> None:
    for payload in (boxes(0.5, 0.25), joints("neck", "head_top")):
        assert json.dumps(json.loads(payload), sort_keys=True, separators=(",", ":")).encode() == payload


def test_masks_fuse_pixel_by_pixel_and_known_pngs_are_not_made_again() -> None:
    edge = encode_mask(np.zeros((6, 8), np.uint8))
    half = encode_mask(np.full((6, 4), 7, np.uint8))
    fused = SEGMENTATION.fuse(edge, [opinion(half, Box(left=4, top=0, width=4, height=6))])
    assert decode_mask(fused.final)[0].tolist() == [0] * 4 + [7] * 4
    assert decode_mask(fused.cloud)[0].tolist() == [255] * 4 + [7] * 4
    whole = encode_mask(np.full((6, 8), 7, np.uint8))
    assert SEGMENTATION.fuse(edge, [opinion(whole)]).final is whole


def test_a_mask_is_told_by_its_first_bytes() -> None:
    SEGMENTATION.check(encode_mask(np.zeros((6, 8), np.uint8)))
    with pytest.raises(MessageError, match="PNG"):
        SEGMENTATION.check(classes(0.5, 0.4, 0.1))


def test_gate_scores_of_one_softmax() -> None:
    scores = gate_scores(np.log(np.array([0.7, 0.2, 0.1], np.float32)))
    assert (scores.margin, scores.max_probability) == (pytest.approx(0.5, abs=1e-6), pytest.approx(0.7, abs=1e-6))
    assert scores.entropy == pytest.approx(-(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1)), abs=1e-6)
    assert scores.classes == 3


def test_gate_scores_of_boxes_are_of_those_that_count_as_found() -> None:
    scores = box_scores(np.float32([0.9, 0.5, 0.29, 0.05]))
    assert scores.confidences == (0.9, 0.5)
    assert (scores.margin, scores.max_probability, scores.classes) == (pytest.approx(0.7), pytest.approx(0.7), 2)
    both = [-(p * np.log(p) + (1 - p) * np.log(1 - p)) for p in (0.9, 0.5)]
    assert scores.entropy == pytest.approx(np.mean(both), abs=1e-6)


def test_nothing_found_is_as_unsure_as_can_be() -> None:
    for confidences in ([], [0.1, 0.2]):
        scores = box_scores(np.float32(confidences))
        assert (scores.margin, scores.max_probability, scores.confidences) == (0, 0, ())
        assert scores.entropy == pytest.approx(np.log(2))


def test_gate_scores_of_joints_are_of_their_mean() -> None:
    scores = certainty_scores(0.6, np.float32([0.7, 0.5]))
    assert (scores.margin, scores.max_probability, scores.confidences) == (0.6, 0.6, None)
    assert 0 < scores.entropy < np.log(2)
