"""Average precision by hand, and intervals that a resample of the photos gives."""

import numpy as np
import pytest

from umiak_workers.core.detection import Detections, nothing
from umiak_workers.core.detection_metrics import average_precisions, matched, precision_of
from umiak_workers.core.resample import block_interval

BOX = (10.0, 10.0, 20.0, 20.0)
AWAY = (70.0, 70.0, 20.0, 20.0)


def answer(*rows: tuple[tuple[float, float, float, float], int, float]) -> Detections:
    return Detections(
        np.asarray([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.asarray([kind for _, kind, _ in rows], np.int64),
        np.asarray([sure for _, _, sure in rows], np.float32),
    )


def truth(*rows: tuple[tuple[float, float, float, float], int]) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray([box for box, _ in rows], np.float32).reshape(-1, 4), np.asarray(
        [kind for _, kind in rows], np.int64
    )


def test_a_labelled_box_is_found_once_by_the_surest() -> None:
    near = (11.0, 10.0, 20.0, 20.0)
    match = matched(answer((BOX, 0, 0.5), (near, 0, 0.9), (BOX, 1, 0.8)), *truth((BOX, 0)), 2)
    assert match.right.tolist() == [False, True, False]
    assert match.truths.tolist() == [1, 0]


def test_average_precision_by_hand() -> None:
    # by confidence: right, wrong, right, and one of three labels is never found: 1/3 * 1 + 1/3 * 2/3
    first = matched(answer((BOX, 0, 0.9), (AWAY, 0, 0.8)), *truth((BOX, 0)), 2)
    second = matched(answer((BOX, 0, 0.7)), *truth((BOX, 0), (AWAY, 0)), 2)
    found = average_precisions([first, second])
    assert found[0] == pytest.approx(1 / 3 + 2 / 9)
    assert np.isnan(found[1])
    assert found[2] == found[0]
    assert average_precisions([matched(nothing(), *truth((BOX, 1)), 2)])[1] == 0


def test_precision_is_made_monotonic() -> None:
    # wrong, right, right: precision 0, 1/2, 2/3; the first hit counts with the 2/3 that comes after it
    photos = [matched(answer((AWAY, 0, 0.9), (BOX, 0, 0.8)), *truth((BOX, 0)), 1)]
    photos.append(matched(answer((BOX, 0, 0.7)), *truth((BOX, 0)), 1))
    assert average_precisions(photos)[0] == pytest.approx(2 / 3)


def test_intervals_hold_the_value_and_repeat() -> None:
    hit = matched(answer((BOX, 0, 0.9)), *truth((BOX, 0)), 1)
    miss = matched(nothing(), *truth((BOX, 0)), 1)
    photos = [hit if draw else miss for draw in np.random.default_rng(1).permutation([0, 1] * 40)]
    score = precision_of(photos, seed=3)
    assert score.values[0] == pytest.approx(0.5)
    assert 0.3 < score.low[0] < 0.5 < score.high[0] < 0.7
    assert precision_of(photos, seed=3).low.tolist() == score.low.tolist()
    with pytest.raises(ValueError, match="no photo"):
        precision_of([], seed=1)


def test_neighbours_are_drawn_together() -> None:
    values = np.repeat([0.0, 1.0], 50)
    alone, together = (
        block_interval(lambda drawn: np.asarray([values[drawn].mean()]), 100, block, seed=1) for block in (1, 50)
    )
    assert together[1][0] - together[0][0] > 2 * (alone[1][0] - alone[0][0])
    with pytest.raises(ValueError, match="blocks of 11"):
        block_interval(lambda drawn: np.asarray([1.0]), 10, 11, seed=1)
