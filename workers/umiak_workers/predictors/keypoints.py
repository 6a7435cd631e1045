"""A key point model on ONNX Runtime, without torch: photos of one person in, joints out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.messages import Scores
from umiak_workers.core.keypoints import Pose, encode_joints
from umiak_workers.core.scores import certainty_scores
from umiak_workers.predictors.onnx import BoundGraph, FromArtefact
from umiak_workers.predictors.segmentation import Image, checked_logits


@dataclass(frozen=True)
class KeypointOutput:
    """`pose` the joints in photo pixels, `logits` Jxhxw float32 as the network answers, `names` the card's joints."""

    names: tuple[str, ...]
    pose: Pose
    logits: NDArray[np.float32]

    def scores(self) -> Scores:
        """Of the joints' mean confidence."""
        return certainty_scores(self.pose.certainty(), self.pose.confidences)

    def payload(self) -> bytes:
        """The joints as JSON."""
        return encode_joints(self.pose, self.names)

    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """Jx2 and J float32, in the order of the card's joints."""
        return {"joints": self.pose.joints, "confidences": self.pose.confidences}

    def hardness(self, by: str = "Margin") -> None:
        """A pose is of the whole photo."""


class OnnxJoints(BoundGraph):
    """A key point graph."""

    task = "keypoint-detection"

    def predict(self, image: Image) -> KeypointOutput:
        """Answer one HxWx3 uint8 photo of any size; raises InvalidInput or InvalidPrediction."""
        logits = checked_logits(self.answers(image)[self.card.outputs.logits], len(self.card.classes))
        return KeypointOutput(self.card.classes, pose_of(logits, image.shape[0], image.shape[1]), logits)


class OnnxKeypoints(FromArtefact, OnnxJoints):
    """A key point model."""


def pose_of(logits: NDArray[np.float32], height: int, width: int) -> Pose:
    """Joints of a photo of height x width pixels from Jxhxw logits.

    Each joint's map becomes probabilities over its cells (softmax). The joint is at the mean of the 3x3 cells around
    the likeliest one, and its confidence is the probability of those nine together.
    """
    count, rows, columns = logits.shape
    flat = logits.reshape(count, -1).astype(np.float64)
    likely = np.exp(flat - flat.max(axis=1, keepdims=True))
    maps = np.pad((likely / likely.sum(axis=1, keepdims=True)).reshape(logits.shape), ((0, 0), (1, 1), (1, 1)))
    at_row, at_column = np.unravel_index(flat.argmax(axis=1), (rows, columns))
    near = np.arange(3)
    window = maps[
        np.arange(count)[:, None, None], (at_row[:, None] + near)[:, :, None], (at_column[:, None] + near)[:, None]
    ]
    total = window.sum(axis=(1, 2))
    x = at_column + 0.5 + (window.sum(axis=1) * (near - 1)).sum(axis=1) / total
    y = at_row + 0.5 + (window.sum(axis=2) * (near - 1)).sum(axis=1) / total
    joints = np.stack((x * width / columns, y * height / rows), axis=1)
    return Pose(joints.astype(np.float32), np.minimum(total, 1).astype(np.float32))
