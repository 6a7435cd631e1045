"""Regions over a mask: where the cloud has an opinion it wins, nothing else changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from umiak_workers.contract.errors import InvalidPrediction
from umiak_workers.contract.messages import Box
from umiak_workers.core.fuse import NO_OPINION, Patch, fuse, opinion

HEIGHT, WIDTH = 7, 9
Mask = NDArray[np.uint8]


@st.composite
def patches(draw: st.DrawFn) -> Patch:
    left, top = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
    width, height = draw(st.integers(1, WIDTH - left)), draw(st.integers(1, HEIGHT - top))
    values = draw(st.lists(st.sampled_from([0, 1, 2, NO_OPINION]), min_size=width * height, max_size=width * height))
    labels = np.asarray(values, np.uint8).reshape(height, width)
    return Patch(Box(left=left, top=top, width=width, height=height), labels, draw(st.floats(0, 1)))


masks = st.lists(st.integers(0, 5), min_size=HEIGHT * WIDTH, max_size=HEIGHT * WIDTH).map(
    lambda values: np.asarray(values, np.uint8).reshape(HEIGHT, WIDTH)
)


def pixel_by_pixel(edge: Mask, chosen: list[Patch]) -> Mask:
    """The same said slowly: of all patches with an opinion on a pixel, the most confident (the last of equals)."""
    final = edge.copy()
    for row in range(HEIGHT):
        for column in range(WIDTH):
            best = -1.0
            for patch in chosen:
                y, x = row - patch.box.top, column - patch.box.left
                inside = 0 <= y < patch.box.height and 0 <= x < patch.box.width
                if inside and patch.labels[y, x] != NO_OPINION and patch.confidence >= best:
                    best, final[row, column] = patch.confidence, patch.labels[y, x]
    return final


@given(masks, st.lists(patches(), max_size=4))
def test_fusing_is_the_same_as_deciding_pixel_by_pixel(edge: Mask, chosen: list[Patch]) -> None:
    before = edge.copy()
    assert (fuse(edge, chosen) == pixel_by_pixel(edge, chosen)).all()
    assert (edge == before).all(), "the edge's mask is left alone"


@given(masks, st.lists(patches(), max_size=4))
def test_the_cloud_s_own_mask_over_the_edge_s_is_the_fused_one(edge: Mask, chosen: list[Patch]) -> None:
    own = opinion((HEIGHT, WIDTH), chosen)
    assert (np.where(own == NO_OPINION, edge, own) == fuse(edge, chosen)).all()


def test_no_opinion_keeps_the_edge_s_label() -> None:
    edge = np.full((2, 2), 4, np.uint8)
    labels = np.array([[1, NO_OPINION], [NO_OPINION, 2]], np.uint8)
    fused = fuse(edge, [Patch(Box(left=0, top=0, width=2, height=2), labels, 0.5)])
    assert fused.tolist() == [[1, 4], [4, 2]]


@pytest.mark.parametrize(
    ("box", "shape", "dtype"),
    [
        (Box(left=1, top=0, width=2, height=2), (2, 2), np.uint8),
        (Box(left=0, top=1, width=2, height=2), (2, 2), np.uint8),
        (Box(left=0, top=0, width=2, height=1), (2, 2), np.uint8),
        (Box(left=0, top=0, width=2, height=2), (2, 2), np.int64),
    ],
)
def test_a_region_that_does_not_fit_is_refused(box: Box, shape: tuple[int, int], dtype: type) -> None:
    with pytest.raises(InvalidPrediction):
        fuse(np.zeros((2, 2), np.uint8), [Patch(box, np.zeros(shape, dtype), 0.5)])
