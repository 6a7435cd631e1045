"""A model in memory: what was read from a verified artefact, as arrays and bytes that any predictor can use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.artefact import Card

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Golden:
    """An input and the answer the model must give to it.

    `image` HxWx3 uint8, `logits` float32 (Cxhxw of a segmentation, C of a classification), `tolerance` the largest
    allowed absolute difference of a logit.
    """

    image: NDArray[np.uint8]
    logits: NDArray[np.float32]
    tolerance: float


@dataclass(frozen=True)
class Model:
    """Card, digest (`sha256:<hex>`), ONNX graph without weights, weights by tensor name, golden input.

    A promptable model has no graph (empty); its architecture is built in torch.
    """

    card: Card
    digest: str
    graph: bytes
    weights: Tensors
    golden: Golden
