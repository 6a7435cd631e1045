"""What each task says of its answers: bytes that repeat, bytes that are refused, and two answers made one."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.errors import InvalidPrediction, MessageError
from umiak_workers.contract.messages import Box
from umiak_workers.core.mask_png import decode_mask, encode_mask
from umiak_workers.core.scores import gate_scores, softmax
from umiak_workers.core.tasks import KINDS, kind_of
from umiak_workers.core.tasks.classification import CLASSIFICATION, MOST_BYTES, pack, unpack
from umiak_workers.core.tasks.kind import Opinion
from umiak_workers.core.tasks.segmentation import SEGMENTATION

NAMES = ("nobody", "person", "vehicle")
WHOLE = Box(left=0, top=0, width=8, height=6)


def opinion(payload: bytes, box: Box = WHOLE, confidence: float = 0.9) -> Opinion:
    return Opinion(box, payload, confidence)


def classes(*chances: float, names: tuple[str, ...] = NAMES) -> bytes:
    return pack(names, np.array(chances))


def test_tasks_are_found_by_name_and_others_are_named() -> None:
    assert all(kind_of(task) is kind and kind.task == task for task, kind in KINDS.items())
    with pytest.raises(MessageError, match="keypoint-detection is not answered by this release"):
        kind_of("keypoint-detection")


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
