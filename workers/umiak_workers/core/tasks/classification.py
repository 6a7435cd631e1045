"""image-classification: one class for a photo, as JSON with the probability of every class."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.artefact import canonical_json
from umiak_workers.contract.errors import InvalidPrediction, MessageError
from umiak_workers.contract.payloads import DIGITS, JSON, Classes
from umiak_workers.contract.wire import parse
from umiak_workers.core.tasks.kind import Fused, Kind, Opinion, Output

MOST_BYTES = 64 * 1024


def pack(classes: Sequence[str], chances: NDArray[np.floating]) -> bytes:
    """The payload of one photo: C names and their C probabilities; raises InvalidPrediction unless these sum to 1."""
    if chances.shape != (len(classes),) or not np.isfinite(chances).all() or abs(float(chances.sum()) - 1) > 1e-3:
        raise InvalidPrediction(f"{len(classes)} classes came with probabilities of shape {chances.shape}")
    rounded = {name: round(float(chance), DIGITS) for name, chance in zip(classes, chances, strict=True)}
    return canonical_json({"label": max(rounded, key=rounded.__getitem__), "probabilities": dict(rounded)})


def unpack(payload: bytes) -> Classes:
    """What a payload says; raises MessageError that names the field."""
    if len(payload) > MOST_BYTES:
        raise MessageError(f"a classification of {len(payload)} bytes, at most {MOST_BYTES} are taken")
    return parse(Classes, payload)


def check(payload: bytes) -> None:
    """All of it: it is small."""
    unpack(payload)


def the_clouds(edge: bytes, opinions: Sequence[Opinion]) -> Fused:
    """The cloud's class stands: it has weighed the edge model's own probabilities where it was asked to."""
    if len(opinions) != 1:
        raise MessageError(f"a photo has one class, the cloud answered {len(opinions)} regions")
    own, said = unpack(edge), unpack(opinions[0].payload)
    if own.probabilities.keys() != said.probabilities.keys():
        raise InvalidPrediction(
            f"the edge's classes are {', '.join(own.probabilities)}, the cloud's {', '.join(said.probabilities)}"
        )
    return Fused(opinions[0].payload, opinions[0].payload)


CLASSIFICATION = Kind(
    task="image-classification",
    media=JSON,
    outputs=(Output("probabilities", "FP32", (1, -1)),),
    check=check,
    fuse=the_clouds,
)
