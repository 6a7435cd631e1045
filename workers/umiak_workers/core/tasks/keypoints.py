"""keypoint-detection: the joints of one person, as JSON with the confidence of each."""

from collections.abc import Sequence

from umiak_workers.contract.errors import InvalidPrediction, MessageError
from umiak_workers.contract.payloads import JSON
from umiak_workers.core.keypoints import read_joints
from umiak_workers.core.tasks.kind import Fused, Kind, Opinion, Output


def check(payload: bytes) -> None:
    """All of it but the names, which only the model knows."""
    read_joints(payload)


def the_clouds(edge: bytes, opinions: Sequence[Opinion]) -> Fused:
    """The cloud's joints stand."""
    if len(opinions) != 1:
        raise MessageError(f"a photo has one pose, the cloud answered {len(opinions)} regions")
    own, said = ([joint.name for joint in read_joints(one)] for one in (edge, opinions[0].payload))
    if own != said:
        raise InvalidPrediction(f"the edge's joints are {', '.join(own)}, the cloud's {', '.join(said)}")
    return Fused(opinions[0].payload, opinions[0].payload)


KEYPOINTS = Kind(
    task="keypoint-detection",
    media=JSON,
    outputs=(Output("joints", "FP32", (1, -1, 2)), Output("confidences", "FP32", (1, -1))),
    check=check,
    fuse=the_clouds,
)
