"""A photo to think about, and how a mind that gains nothing from several at once goes about them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from umiak_workers.cloud.stages import Stages
from umiak_workers.predictors.answering import Answering

V = TypeVar("V")


@dataclass(frozen=True)
class Question:
    """An HxWx3 uint8 photo called `name` (its digest; empty: nothing is remembered) and its edge model."""

    name: str
    image: NDArray[np.uint8]
    edge: Answering
    stages: Stages


def one_by_one(
    think: Callable[[str, NDArray[np.uint8], Answering, Stages], V], questions: Sequence[Question]
) -> list[Callable[[], V]]:
    """Nothing now, everything when it is a question's turn."""
    return [partial(think, one.name, one.image, one.edge, one.stages) for one in questions]
