"""The answer on the wire: one region per asked-for rectangle, the whole photo when none was asked for."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.errors import InvalidInput
from umiak_workers.contract.messages import Box, Region
from umiak_workers.core.label import mean_probability
from umiak_workers.core.mask_png import encode_mask


class Labelled(Protocol):
    """`labels` HxW uint8 at the photo's size, `probability` hxw float32 of those labels."""

    @property
    def labels(self) -> NDArray[np.uint8]: ...

    @property
    def probability(self) -> NDArray[np.float32]: ...


def check_boxes(boxes: Sequence[Box], height: int, width: int) -> None:
    """Raise InvalidInput for a rectangle that leaves the photo."""
    for box in boxes:
        if box.left + box.width > width or box.top + box.height > height:
            raise InvalidInput(
                f"region {box.width}x{box.height}+{box.left}+{box.top} leaves the photo of {width}x{height}"
            )


def cut(opinion: Labelled, boxes: Sequence[Box]) -> tuple[tuple[Region, ...], tuple[bytes, ...]]:
    """(regions, their label PNGs); the confidence of a region is the mean probability of the labels in it."""
    height, width = opinion.labels.shape
    wanted = boxes or (Box(left=0, top=0, width=width, height=height),)
    regions, pictures = [], []
    for box in wanted:
        labels = opinion.labels[box.top : box.top + box.height, box.left : box.left + box.width]
        picture = encode_mask(labels)
        pictures.append(picture)
        regions.append(Region(box=box, size=len(picture), confidence=_confidence(opinion, box, labels)))
    return tuple(regions), tuple(pictures)


def _confidence(opinion: Labelled, box: Box, labels: NDArray[np.uint8]) -> float:
    height, width = opinion.labels.shape
    small_height, small_width = opinion.probability.shape
    rows = (np.arange(box.top, box.top + box.height) * small_height) // height
    columns = (np.arange(box.left, box.left + box.width) * small_width) // width
    return round(mean_probability(labels, opinion.probability[np.ix_(rows, columns)]), 4)
