"""Joints by literals: PCK, fusing edge and cloud, JSON there and back, and what is refused."""

import json

import numpy as np
import pytest

from umiak_workers.contract.errors import InvalidPrediction, MessageError
from umiak_workers.core.keypoints import (
    BONES,
    JOINTS,
    MIRRORED,
    Pose,
    correct_keypoints,
    decode_joints,
    encode_joints,
    fuse_joints,
    hits_of,
    torso,
)

COUNT = len(JOINTS)


def standing() -> np.ndarray:
    """A torso of 3-4-5: the left shoulder is 30 right of and 40 above the right hip."""
    joints = np.zeros((COUNT, 2), np.float32)
    joints[JOINTS.index("l_shoulder")] = (30, 0)
    joints[JOINTS.index("r_hip")] = (0, 40)
    joints[JOINTS.index("r_shoulder")] = (0, 0)
    joints[JOINTS.index("l_hip")] = (60, 80)
    return joints


def pose(joints: np.ndarray, sure: float = 0.5) -> Pose:
    return Pose(np.asarray(joints, np.float32), np.full(len(joints), sure, np.float32))


def test_mirroring_swaps_sides_and_keeps_bones() -> None:
    for number, other in enumerate(MIRRORED):
        swapped = JOINTS[number].replace("r_", "L").replace("l_", "r_").replace("L", "l_")
        assert JOINTS[other] == swapped
        assert MIRRORED[other] == number
    assert all(0 <= a < COUNT > b >= 0 for a, b in BONES)


def test_a_joint_within_a_fifth_of_the_torso_is_right() -> None:
    joints, seen = standing(), np.ones(COUNT, np.bool_)
    seen[0] = False
    answer = joints.copy()
    answer[1] += (6, 8)  # 10 pixels, 0.2 of 50
    answer[4] += (6, 8.1)
    hits = hits_of(pose(answer), joints, seen)
    assert hits is not None
    assert np.isnan(hits[0])
    assert hits[1] == 1
    assert hits[4] == 0
    assert np.nansum(hits) == COUNT - 2


def test_the_other_diagonal_measures_where_the_first_is_not_labelled() -> None:
    joints, seen = standing(), np.ones(COUNT, np.bool_)
    assert torso(joints, seen) == 50
    seen[JOINTS.index("r_hip")] = False
    assert torso(joints, seen) == 100
    seen[JOINTS.index("r_shoulder")] = False
    assert torso(joints, seen) is None
    assert hits_of(pose(joints), joints, seen) is None


def test_shares_and_intervals_over_photos() -> None:
    right, wrong = np.ones(COUNT), np.concatenate([np.zeros(COUNT - 1), [np.nan]])
    photos = [right] * 20 + [wrong] * 20 + [None] * 20
    score = correct_keypoints([photos[index] for index in np.random.default_rng(1).permutation(60)], seed=1)
    assert (score.photos, score.left_out) == (40, 20)
    assert score.values[0] == 0.5
    assert score.values[COUNT - 1] == 1.0
    assert score.values[-1] == pytest.approx(20 * COUNT / (20 * COUNT + 20 * (COUNT - 1)))
    assert score.low[0] < 0.5 < score.high[0]
    with pytest.raises(ValueError, match="torso"):
        correct_keypoints([None], seed=1)


def test_each_joint_from_whoever_is_surer_or_all_from_the_cloud() -> None:
    edge = Pose(np.asarray([[1, 1], [2, 2], [3, 3]], np.float32), np.asarray([0.9, 0.2, 0.5], np.float32))
    cloud = Pose(np.asarray([[7, 7], [8, 8], [9, 9]], np.float32), np.asarray([0.6, 0.6, 0.5], np.float32))
    assert fuse_joints(edge, cloud).joints.tolist() == [[1, 1], [8, 8], [9, 9]]
    assert fuse_joints(edge, cloud).confidences.tolist() == pytest.approx([0.9, 0.6, 0.5])
    assert fuse_joints(edge, cloud, "cloud") is cloud
    assert edge.certainty() == pytest.approx(1.6 / 3)
    with pytest.raises(InvalidPrediction, match="the edge has 3 joints, the cloud 2"):
        fuse_joints(edge, pose(np.zeros((2, 2))))


def test_json_there_and_back() -> None:
    rng = np.random.default_rng(1)
    answer = Pose(rng.uniform(-5, 900, (COUNT, 2)).astype(np.float32), rng.random(COUNT, np.float32))
    again = decode_joints(encode_joints(answer, JOINTS), JOINTS)
    assert again.joints == pytest.approx(answer.joints, abs=0.006)
    assert again.confidences == pytest.approx(answer.confidences, abs=6e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "tail"}, r"joints\[1\]: expected name 'b'"),
        ({"x": None}, r"joints\[1\].x: expected a number"),
        ({"y": 1e9}, r"joints\[1\].y: 1000000000.0 is not within"),
        ({"confidence": -0.1}, r"joints\[1\].confidence: -0.1 is not within 0 and 1"),
        ({"more": 1}, r"joints\[1\]: expected"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(change: dict[str, object], message: str) -> None:
    rows = [{"name": name, "x": 1, "y": 2, "confidence": 0.5} for name in "ab"]
    rows[1] = {**rows[1], **change}  # type: ignore[dict-item]
    with pytest.raises(MessageError, match=message):
        decode_joints(json.dumps({"joints": rows}).encode(), ("a", "b"))
    with pytest.raises(MessageError, match="1 of them, expected 2"):
        decode_joints(json.dumps({"joints": rows[:1]}).encode(), ("a", "b"))


def test_joints_that_are_none_are_refused() -> None:
    with pytest.raises(InvalidPrediction, match="not finite"):
        pose(np.full((3, 2), np.nan))
    with pytest.raises(InvalidPrediction, match="confidence"):
        pose(np.zeros((3, 2)), 1.5)
    with pytest.raises(InvalidPrediction, match="joints are"):
        pose(np.zeros((0, 2)))
    with pytest.raises(InvalidPrediction, match="3 joints for 2 names"):
        encode_joints(pose(np.zeros((3, 2))), ("a", "b"))
