"""What a promptable segmenter answers, whatever runs it: numpy in, numpy out, and no torch to know about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from umiak_workers.core.masks import Prompt


@dataclass(frozen=True)
class Embedding:
    """What the image encoder made of one photo: `features` 1xExhxw float32, and the photo's `height` and `width`."""

    features: NDArray[np.float32]
    height: int
    width: int


@dataclass(frozen=True)
class Masks:
    """One mask per prompt, in their order: `masks` NxHxW bool, `quality` N float32 (predicted IoU, 0..1)."""

    masks: NDArray[np.bool_]
    quality: NDArray[np.float32]


class Promptable(Protocol):
    """A loaded model that cuts out what it is asked for."""

    @property
    def digest(self) -> str: ...

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        """Embed one HxWx3 uint8 photo; raises InvalidInput or InvalidPrediction."""
        ...

    def encode_all(self, images: Sequence[NDArray[np.uint8]]) -> tuple[Embedding, ...]:
        """Embed photos of any sizes in one pass, in their order; raises as `encode` does, for all of them at once."""
        ...

    def decode(self, embedding: Embedding, prompts: Sequence[Prompt], height: int, width: int) -> Masks:
        """Answer prompts (pixels of the photo) with masks of `height` x `width`; raises InvalidPrediction."""
        ...
