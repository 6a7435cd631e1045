"""Hardness of detection answers by literals, by their ranges, and where nothing was found."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.errors import InvalidPrediction
from umiak_workers.core.box_miners import box_threshold, image_box_thresholds

unit = st.floats(0, 1)
boxes = st.lists(unit, max_size=30)


def test_by_hand() -> None:
    assert box_threshold([0.9, 0.5, 0.4], 1.0) == pytest.approx(0.4)
    assert image_box_thresholds([0.9, 0.5, 0.4, 0.1], 0.5, 1.0) == 0.5  # 0.5 itself is certain enough
    assert image_box_thresholds([0.9, 0.8], 0.5, 1.0) == 0.0
    assert image_box_thresholds([0.1, 0.2], 0.5, 0.0) == 1.0


@given(unit, unit)
def test_nothing_found_is_as_hard_as_the_caller_says(nothing_found: float, certain: float) -> None:
    assert box_threshold([], nothing_found) == nothing_found
    assert image_box_thresholds([], certain, nothing_found) == nothing_found


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, 1.1])
def test_no_confidence_is_an_invalid_prediction(bad: float) -> None:
    for hardness in (lambda: box_threshold([0.5, bad], 1.0), lambda: image_box_thresholds([bad], 0.5, 1.0)):
        with pytest.raises(InvalidPrediction, match=r"not in \[0, 1\]"):
            hardness()


@given(boxes, unit, unit, unit)
def test_more_certainty_is_never_harder(found: list[float], certain: float, more: float, nothing: float) -> None:
    surer = [max(one, more) for one in found]
    assert box_threshold(surer, nothing) <= box_threshold(found, nothing) + 1e-12
    assert image_box_thresholds(surer, certain, nothing) <= image_box_thresholds(found, certain, nothing)


@given(boxes, unit, unit)
def test_hardness_is_in_range_and_ignores_the_order(found: list[float], certain: float, nothing: float) -> None:
    for one, other in (
        (box_threshold(found, nothing), box_threshold(found[::-1], nothing)),
        (image_box_thresholds(found, certain, nothing), image_box_thresholds(found[::-1], certain, nothing)),
    ):
        assert 0 <= one <= 1
        assert one == pytest.approx(other)
