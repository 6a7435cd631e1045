"""Boxes by literals: overlap, suppression, fusing edge and cloud, JSON there and back, and what is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.errors import InvalidPrediction, MessageError
from umiak_workers.core.detection import (
    LONGEST,
    MOST,
    Detections,
    decode_boxes,
    encode_boxes,
    fuse_boxes,
    nothing,
    overlaps,
    suppressed,
)

CLASSES = ("insulator", "defect")


def found(*rows: tuple[float, float, float, float, int, float]) -> Detections:
    table = np.asarray(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4].astype(np.float32), table[:, 4].astype(np.int64), table[:, 5].astype(np.float32))


def test_overlap_by_hand() -> None:
    a = np.asarray([[0, 0, 10, 10], [20, 20, 4, 4]], np.float32)
    b = np.asarray([[5, 0, 10, 10], [0, 0, 10, 10], [24, 20, 4, 4]], np.float32)
    assert overlaps(a, b).tolist() == [[pytest.approx(1 / 3), 1, 0], [0, 0, 0]]
    assert overlaps(a, np.zeros((0, 4), np.float32)).shape == (2, 0)


def test_suppression_keeps_the_surest_of_a_heap_and_other_classes() -> None:
    heap = found((0, 0, 10, 10, 0, 0.4), (1, 0, 10, 10, 0, 0.9), (1, 0, 10, 10, 1, 0.3), (40, 0, 10, 10, 0, 0.2))
    kept = suppressed(heap, 0.5)
    assert kept.confidences.tolist() == pytest.approx([0.9, 0.3, 0.2])
    assert kept.classes.tolist() == [0, 1, 0]


def test_where_both_see_a_thing_the_clouds_box_stays_however_sure_the_edge_is() -> None:
    edge = found((0, 0, 10, 10, 0, 0.95), (50, 50, 5, 5, 1, 0.6))
    cloud = found((1, 0, 10, 10, 0, 0.5))
    fused = fuse_boxes(edge, cloud)
    assert fused.boxes.tolist() == [[50, 50, 5, 5], [1, 0, 10, 10]]
    assert fused.confidences.tolist() == pytest.approx([0.6, 0.5])
    assert fuse_boxes(edge, nothing()).boxes.tolist() == edge.boxes.tolist()
    assert len(fuse_boxes(nothing(), nothing())) == 0


def test_a_fused_answer_holds_the_hundred_surest() -> None:
    far = [(20.0 * number, 0.0, 5.0, 5.0, 0, number / 100) for number in range(100)]
    other = [(20.0 * number, 50.0, 5.0, 5.0, 0, 1.0) for number in range(50)]
    fused = fuse_boxes(found(*far), found(*other))
    assert len(fused) == MOST
    assert fused.confidences.min() == pytest.approx(0.5)


side = st.floats(0.5, 4000, width=32)
corner = st.floats(-50, 4000, width=32)
rows = st.lists(st.tuples(corner, corner, side, side, st.integers(0, 1), st.floats(0, 1, width=32)), max_size=MOST)


@given(rows)
def test_json_there_and_back(answer: list[tuple[float, float, float, float, int, float]]) -> None:
    data = encode_boxes(found(*answer), CLASSES)
    assert len(data) <= LONGEST
    again = decode_boxes(data, CLASSES)
    order = np.argsort(-found(*answer).confidences, kind="stable")
    assert again.boxes == pytest.approx(found(*answer).boxes[order], abs=0.011)
    assert again.classes.tolist() == found(*answer).classes[order].tolist()
    assert encode_boxes(again, CLASSES) == data


def test_the_longest_names_fit() -> None:
    name = "x" * 64
    many = found(*[(4000.25, 4000.25, 4000.25, 4000.25, 0, 0.1234)] * MOST)
    assert len(decode_boxes(encode_boxes(many, (name,)), (name,))) == MOST


ROW = {"box": [1, 2, 3, 4], "class": "defect", "confidence": 0.5}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "expected"),
        (b'{"boxes": [], "more": 1}', "nothing else"),
        (b" " * (LONGEST + 1), "bytes, at most"),
        ({"boxes": [ROW] * (MOST + 1)}, "at most 100"),
        ({"boxes": [7]}, r"boxes\[0\]: expected box"),
        ({"boxes": [{**ROW, "box": [1, 2, 3]}]}, r"boxes\[0\].box: expected left"),
        ({"boxes": [{**ROW, "box": [1, 2, 0, 4]}]}, r"boxes\[0\].box: 0 is not within"),
        ({"boxes": [{**ROW, "box": [1, True, 3, 4]}]}, "expected a number"),
        ({"boxes": [{**ROW, "box": [1, 10**400, 3, 4]}]}, "not within"),
        ({"boxes": [ROW, {**ROW, "class": "bird"}]}, r"boxes\[1\].class: 'bird' is none of insulator, defect"),
        ({"boxes": [{**ROW, "confidence": float("nan")}]}, r"confidence: nan is not within"),
        ({"boxes": [{**ROW, "confidence": 1.5}]}, "not within 0 and 1"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(wrong: object, message: str) -> None:
    data = wrong if isinstance(wrong, bytes) else json.dumps(wrong).encode()
    with pytest.raises(MessageError, match=message):
        decode_boxes(data, CLASSES)


@pytest.mark.parametrize(
    "row",
    [(0, 0, 0, 5, 0, 0.5), (np.nan, 0, 5, 5, 0, 0.5), (0, 0, 5, 5, -1, 0.5), (0, 0, 5, 5, 0, 1.01)],
)
def test_boxes_that_are_none_are_refused(row: tuple[float, float, float, float, int, float]) -> None:
    with pytest.raises(InvalidPrediction):
        found(row)
    with pytest.raises(InvalidPrediction, match="at most"):
        found(*[(0, 0, 5, 5, 0, 0.5)] * (MOST + 1))
    with pytest.raises(InvalidPrediction, match="has no name"):
        encode_boxes(found((0, 0, 5, 5, 2, 0.5)), CLASSES)
