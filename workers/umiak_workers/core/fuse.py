"""The cloud's regions over the edge's mask: where the cloud has an opinion it wins, elsewhere the edge's stays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.errors import InvalidPrediction
from umiak_workers.contract.messages import Box

NO_OPINION = 255
Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Patch:
    """The cloud's labels (height x width of `box`, uint8, 255 = no opinion) and how sure it is, 0..1."""

    box: Box
    labels: Mask
    confidence: float


def fuse(edge: Mask, patches: Sequence[Patch]) -> Mask:
    """A new HxW uint8 mask; where patches overlap the most confident one wins, among equals the later one.

    Raises InvalidPrediction for a patch outside the frame or of another shape than its box.
    """
    final = edge.copy()
    for patch in sorted(patches, key=lambda patch: patch.confidence):
        _paste(final, patch)
    return final


def opinion(shape: tuple[int, int], patches: Sequence[Patch]) -> Mask:
    """The cloud's own HxW mask: 255 where it has no opinion."""
    return fuse(np.full(shape, NO_OPINION, np.uint8), patches)


def _paste(final: Mask, patch: Patch) -> None:
    box = patch.box
    height, width = final.shape
    if box.left + box.width > width or box.top + box.height > height:
        raise InvalidPrediction(
            f"a region {box.width}x{box.height}+{box.left}+{box.top} leaves the {width}x{height} frame"
        )
    if patch.labels.shape != (box.height, box.width) or patch.labels.dtype != np.uint8:
        raise InvalidPrediction(
            f"a region of {box.width}x{box.height} came with labels {patch.labels.shape} {patch.labels.dtype}"
        )
    target = final[box.top : box.top + box.height, box.left : box.left + box.width]
    np.copyto(target, patch.labels, where=patch.labels != NO_OPINION)
