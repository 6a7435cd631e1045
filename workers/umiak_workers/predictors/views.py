"""Test-time augmentation: a photo, its mirror image, and closer views of its corners. Mean probabilities decide.

A second look costs a pass of the model each and no byte of the link, so it is the cloud's to take.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.config import Views
from umiak_workers.core.label import softmax, together
from umiak_workers.predictors.planes import grown_logits
from umiak_workers.predictors.segmentation import Image

Floats = NDArray[np.float32]
CLOSER = 3 / 4
"""Of the photo's height and width: what a closer view shows, as large as the whole photo."""
PASSES: dict[Views, int] = {"one": 1, "mirrored": 2, "closer": 6}


def viewed(scores: Callable[[Image], Floats], image: Image, views: Views) -> Floats:
    """Logits (Cxhxw float32) of an HxWx3 uint8 photo. `scores` answers a photo of any size with its logits.

    `mirrored` adds the mirror image; `closer` adds that and four corners, which count as much as the two together; its
    answer is finer by a third. Raises what `scores` raises.
    """
    own = scores(image)
    if views == "one":
        return own
    both = together(own, scores(np.ascontiguousarray(image[:, ::-1]))[:, :, ::-1])
    if views == "mirrored":
        return both
    height, width = (round(length / CLOSER) for length in own.shape[1:])
    return together(grown_logits(both, height, width), _corners(scores, image, own.shape, height, width))


def _corners(
    scores: Callable[[Image], Floats], image: Image, shape: tuple[int, ...], height: int, width: int
) -> Floats:
    """Logits of the mean over the corners that show a place: CxHxW, for corners that are Cxhxw (`shape`)."""
    total, count = np.zeros((shape[0], height, width), np.float32), np.zeros((height, width), np.float32)
    for place, window in _windows(image, shape[1], shape[2], height, width):
        total[:, *place] += softmax(grown_logits(scores(window), shape[1], shape[2]))
        count[place] += 1
    logits: Floats = np.log(np.maximum(total / count, np.float32(1e-9)))
    return logits


def _windows(
    image: Image, rows: int, columns: int, height: int, width: int
) -> Iterator[tuple[tuple[slice, slice], Image]]:
    """Each corner: its place in a map of height x width, rows x columns of it, and its pixels."""
    for top in (0, height - rows):
        for left in (0, width - columns):
            ends = (image.shape[0] / height, image.shape[1] / width)
            vertical = slice(round(top * ends[0]), round((top + rows) * ends[0]))
            horizontal = slice(round(left * ends[1]), round((left + columns) * ends[1]))
            place = (slice(top, top + rows), slice(left, left + columns))
            yield place, np.ascontiguousarray(image[vertical, horizontal])
