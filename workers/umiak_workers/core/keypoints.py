"""Joints of a person: what a key point model answers, its score, how two answers become one, and JSON of it.

Fourteen joints in the order of the Leeds Sports Pose data (Johnson and Everingham, "Learning Effective Human Pose
Estimation from Inaccurate Annotation", 2011), left and right being the person's own.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.errors import InvalidPrediction, MessageError
from umiak_workers.core.detection import LARGEST, bounded, rows_of
from umiak_workers.core.resample import block_interval

JOINTS = (
    "r_ankle",
    "r_knee",
    "r_hip",
    "l_hip",
    "l_knee",
    "l_ankle",
    "r_wrist",
    "r_elbow",
    "r_shoulder",
    "l_shoulder",
    "l_elbow",
    "l_wrist",
    "neck",
    "head_top",
)
MIRRORED = (5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13)
"""Which joint each becomes when the photo is mirrored."""
BONES = ((0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8), (9, 10), (10, 11), (2, 3), (8, 9), (2, 8), (3, 9), (12, 13))
MOST = 64
"""Joints of one answer."""
LONGEST = 16 << 10
"""Bytes of an encoded answer."""
NEAR = 0.2
"""Share of the torso within which a joint is right."""
BLOCK = 10
"""Neighbouring photos that the bootstrap draws together."""


@dataclass(frozen=True)
class Pose:
    """Joints of one photo: `joints` Jx2 float32 (x, y; photo pixels), `confidences` J float32 in [0, 1].

    Raises InvalidPrediction for anything else.
    """

    joints: NDArray[np.float32]
    confidences: NDArray[np.float32]

    def __post_init__(self) -> None:
        count = len(self.joints)
        if self.joints.shape != (count, 2) or self.confidences.shape != (count,) or not 1 <= count <= MOST:
            raise InvalidPrediction(f"joints are {self.joints.shape}, confidences {self.confidences.shape}")
        if not np.isfinite(self.joints).all():
            raise InvalidPrediction("a joint is not finite")
        if not ((self.confidences >= 0) & (self.confidences <= 1)).all():
            raise InvalidPrediction("a joint's confidence is not in [0, 1]")

    def certainty(self) -> float:
        """Mean peak probability of the joints, in [0, 1]: what a router judges a pose by."""
        return float(self.confidences.mean())


class NamedJoint(NamedTuple):
    """A joint as it travels: name, place in photo pixels, confidence in [0, 1]."""

    name: str
    x: float
    y: float
    confidence: float


@dataclass(frozen=True)
class Correct:
    """PCK per joint with the ends of its 95 % interval, the last entry being over all joints; NaN for unseen ones."""

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    photos: int
    """Photos whose torso is labelled."""
    left_out: int
    """Photos without one: what is near enough is not known there."""


def fuse_joints(edge: Pose, cloud: Pose, keep: Literal["surer", "cloud"] = "surer") -> Pose:
    """One pose out of two: each joint from whoever is surer of it (the cloud where they are equal), or the cloud's."""
    if edge.joints.shape != cloud.joints.shape:
        raise InvalidPrediction(f"the edge has {len(edge.joints)} joints, the cloud {len(cloud.joints)}")
    if keep == "cloud":
        return cloud
    mine = edge.confidences > cloud.confidences
    joints = np.where(mine[:, None], edge.joints, cloud.joints)
    return Pose(joints, np.maximum(edge.confidences, cloud.confidences))


def torso(joints: NDArray[np.float32], visible: NDArray[np.bool_]) -> float | None:
    """Length in pixels from the left shoulder to the right hip, else from the right shoulder to the left hip.

    None where neither pair is labelled.
    """
    for shoulder, hip in ((9, 2), (8, 3)):
        if visible[shoulder] and visible[hip]:
            return float(np.hypot(*(joints[shoulder] - joints[hip])))
    return None


def hits_of(
    pose: Pose, joints: NDArray[np.float32], visible: NDArray[np.bool_], near: float = NEAR
) -> NDArray[np.float64] | None:
    """J values: 1 for a joint within `near` of the torso's length of its label, 0 for another, NaN where unlabelled.

    None where the photo has no labelled torso. (PCK of Yang and Ramanan, "Articulated Human Detection with Flexible
    Mixtures of Parts", 2013, with the torso for a scale as in Sapp and Taskar's FLIC measure.)
    """
    scale = torso(joints, visible)
    if scale is None:
        return None
    far = np.hypot(*(np.asarray(pose.joints, np.float64) - joints).T)
    return np.where(visible, (far <= near * scale).astype(np.float64), np.nan)


def correct_keypoints(photos: Sequence[NDArray[np.float64] | None], seed: int) -> Correct:
    """PCK of many photos' hits, each joint and all of them; raises ValueError where no photo has a torso."""
    known = [hits for hits in photos if hits is not None]
    if not known:
        raise ValueError("no photo has a labelled torso to measure by")
    stacked = np.stack(known)
    low, high = block_interval(
        lambda drawn: _shares(stacked[drawn]), len(known), max(1, min(BLOCK, len(known) // 10)), seed, resamples=1000
    )
    return Correct(_shares(stacked), low, high, len(known), len(photos) - len(known))


def encode_joints(pose: Pose, names: Sequence[str]) -> bytes:
    """JSON {"joints": [{"confidence": C, "name": NAME, "x": X, "y": Y}, ...]} in the order of `names`.

    Pixels have 2 decimals, confidences 4. Raises InvalidPrediction for more or fewer joints than names.
    """
    if len(names) != len(pose.joints):
        raise InvalidPrediction(f"{len(pose.joints)} joints for {len(names)} names")
    rows = [
        {"confidence": round(float(sure), 4), "name": name, "x": round(float(x), 2), "y": round(float(y), 2)}
        for name, (x, y), sure in zip(names, pose.joints, pose.confidences, strict=True)
    ]
    return json.dumps({"joints": rows}, separators=(",", ":"), allow_nan=False).encode()


def decode_joints(data: bytes, names: Sequence[str]) -> Pose:
    """What `encode_joints` wrote, every joint of `names` in its order; raises MessageError that names the joint."""
    found = read_joints(data)
    if len(found) != len(names):
        raise MessageError(f"joints: {len(found)} of them, expected {len(names)}")
    for index, (one, name) in enumerate(zip(found, names, strict=True)):
        if one.name != name:
            raise MessageError(f"joints[{index}]: expected name {name!r}, not {one.name!r}"[:200])
    numbers = np.asarray([(one.x, one.y, one.confidence) for one in found], np.float32)
    return Pose(numbers[:, :2], numbers[:, 2])


def read_joints(data: bytes) -> list[NamedJoint]:
    """What `encode_joints` wrote, for who does not know the model's joints; raises MessageError."""
    rows = rows_of(data, "joints", MOST, LONGEST)
    if not rows:
        raise MessageError("joints: a pose has at least one")
    return [_joint(row, f"joints[{index}]") for index, row in enumerate(rows)]


def _shares(hits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of 1 among what is known, per column and altogether."""
    known = ~np.isnan(hits)
    right = np.where(known, hits, 0).sum(axis=0)
    seen = known.sum(axis=0)
    right, seen = np.append(right, right.sum()), np.append(seen, seen.sum())
    return np.where(seen > 0, right / np.maximum(seen, 1), np.nan)


def _joint(row: object, where: str) -> NamedJoint:
    if not isinstance(row, dict) or set(row) != {"name", "x", "y", "confidence"}:
        raise MessageError(f"{where}: expected name, x, y and confidence")
    if not isinstance(row["name"], str):
        raise MessageError(f"{where}.name: expected a name, not {str(row['name'])[:40]!r}")
    x, y = (bounded(row[key], f"{where}.{key}", -LARGEST, LARGEST) for key in ("x", "y"))
    return NamedJoint(row["name"], x, y, bounded(row["confidence"], f"{where}.confidence", 0, 1))
