"""Confusion counts, mIoU and block bootstrap by literals."""

import numpy as np
import pytest

from umiak_workers.core.metrics import (
    block_bootstrap,
    block_bootstrap_difference,
    class_iou,
    confusion,
    mean_iou,
    pixel_accuracy,
)

LABEL = np.asarray([[0, 0, 1], [1, 1, 255]], dtype=np.uint8)
GUESS = np.asarray([[0, 1, 1], [1, 0, 0]], dtype=np.uint8)


def test_confusion_counts_by_hand_and_void_left_out() -> None:
    counts = confusion(LABEL, GUESS, 3)
    assert counts.tolist() == [[1, 1, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0]]
    assert pixel_accuracy(counts) == 3 / 5


def test_iou_by_hand_over_present_classes_only() -> None:
    counts = confusion(LABEL, GUESS, 3)
    ious = class_iou(counts)
    assert ious[:2].tolist() == [1 / 3, 2 / 4]
    assert np.isnan(ious[2])
    assert mean_iou(counts) == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_a_guess_that_is_no_class_is_a_miss_and_nobody_elses_mistake() -> None:
    counts = confusion(np.zeros((2, 2), np.uint8), np.asarray([[0, 255], [9, 0]], np.uint8), 2)
    assert counts.tolist() == [[2, 0, 2], [0, 0, 0]]
    assert mean_iou(counts) == 0.5


def test_a_wrong_guess_of_an_absent_class_costs_the_present_one_only() -> None:
    counts = confusion(np.zeros((1, 4), np.uint8), np.asarray([[0, 0, 0, 1]], np.uint8), 2)
    assert mean_iou(counts) == 0.75


def test_nothing_labelled_is_nan() -> None:
    counts = confusion(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8), 2)
    assert np.isnan(mean_iou(counts))
    assert np.isnan(pixel_accuracy(counts))


def test_unlike_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="label is"):
        confusion(LABEL, GUESS[:1], 3)


def _frames(shares: list[float]) -> list[np.ndarray]:
    """Frames of 100 pixels of one class of which a share is right."""
    return [np.asarray([[round(100 * share), 0, round(100 - 100 * share)], [0, 0, 0]]) for share in shares]


def test_bootstrap_of_equal_frames_has_no_width() -> None:
    low, high = block_bootstrap(_frames([0.6] * 20), block=5, seed=1, resamples=50)
    assert low == pytest.approx(0.6)
    assert high == pytest.approx(0.6)


def test_bootstrap_encloses_the_figure_and_blocks_widen_it() -> None:
    frames = _frames([0.9] * 10 + [0.3] * 10 + [0.8] * 10 + [0.4] * 10)
    single, blocked = block_bootstrap(frames, 1, seed=3), block_bootstrap(frames, 10, seed=3)
    assert blocked[0] < single[0] < 0.6 < single[1] < blocked[1]
    assert block_bootstrap(frames, 10, seed=3) == blocked


def test_pairing_makes_a_constant_gain_certain_although_the_level_is_not() -> None:
    shares = [0.2, 0.7, 0.4, 0.6, 0.1, 0.5] * 5
    better = [share + 0.1 for share in shares]
    low, high = block_bootstrap_difference(_frames(shares), _frames(better), block=3, seed=2, resamples=200)
    assert low == pytest.approx(0.1, abs=1e-9)
    assert high == pytest.approx(0.1, abs=1e-9)


def test_bootstrap_refuses_blocks_that_do_not_fit_and_unpaired_runs() -> None:
    with pytest.raises(ValueError, match="blocks of 5"):
        block_bootstrap(_frames([0.5] * 4), block=5, seed=1)
    with pytest.raises(ValueError, match="paired"):
        block_bootstrap_difference(_frames([0.5] * 4), _frames([0.5] * 3), block=2, seed=1)
