"""object-detection: boxes around things, as JSON with the class and the confidence of each."""

from collections.abc import Sequence

from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.payloads import JSON
from umiak_workers.core.detection import read_boxes
from umiak_workers.core.tasks.kind import Fused, Kind, Opinion, Output


def check(payload: bytes) -> None:
    """All of it but the classes, which only the model knows."""
    read_boxes(payload)


def the_clouds(edge: bytes, opinions: Sequence[Opinion]) -> Fused:
    """The cloud's boxes stand. What only the edge saw goes: kept, it made answers worse (docs/adr/0015)."""
    if len(opinions) != 1:
        raise MessageError(f"boxes are of the whole photo, the cloud answered {len(opinions)} regions")
    check(edge)
    check(opinions[0].payload)
    return Fused(opinions[0].payload, opinions[0].payload)


DETECTION = Kind(
    task="object-detection",
    media=JSON,
    outputs=(
        Output("boxes", "FP32", (1, -1, 4)),
        Output("classes", "INT64", (1, -1)),
        Output("confidences", "FP32", (1, -1)),
    ),
    check=check,
    fuse=the_clouds,
)
