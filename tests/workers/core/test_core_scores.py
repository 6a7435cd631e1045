"""Gate scores by literals and by their ranges."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from umiak_workers.contract.errors import InvalidPrediction
from umiak_workers.contract.messages import Scores
from umiak_workers.contract.wire import parse
from umiak_workers.core.miners import relative_entropy
from umiak_workers.core.scores import entropy, gate_scores, hardness, margin, softmax


def test_scores_of_two_pixels_by_hand() -> None:
    # probabilities (0.7, 0.2, 0.1) and (0.5, 0.5, ~0)
    chances = np.asarray([[[0.7, 0.5]], [[0.2, 0.5]], [[0.1, 1e-9]]], dtype=np.float32)
    scores = gate_scores(np.log(chances))
    assert scores.margin == pytest.approx((0.5 + 0.0) / 2, abs=1e-5)
    assert scores.max_probability == pytest.approx((0.7 + 0.5) / 2, abs=1e-5)
    first = -(0.7 * math.log(0.7) + 0.2 * math.log(0.2) + 0.1 * math.log(0.1))
    assert scores.entropy == pytest.approx((first + math.log(2)) / 2, abs=1e-5)
    assert scores.classes == 3


def test_equal_logits_are_as_unsure_as_can_be() -> None:
    scores = gate_scores(np.zeros((4, 3, 5), dtype=np.float32))
    assert (scores.margin, scores.max_probability) == (0.0, 0.25)
    assert scores.entropy == pytest.approx(math.log(4), abs=1e-5)
    assert relative_entropy(scores) == pytest.approx(1.0, abs=1e-5)


def test_the_appeal_of_a_photo_is_its_mean_and_absent_without_a_head() -> None:
    logits = np.zeros((2, 1, 4), dtype=np.float32)
    found = gate_scores(logits, np.asarray([[0.2, 0.2, -0.8, 0.0]], np.float32))
    assert found.appeal == pytest.approx(-0.1)
    assert found.model_copy(update={"appeal": None}) == gate_scores(logits)
    assert parse(Scores, gate_scores(logits).model_dump_json()).appeal is None


def test_large_logits_do_not_overflow() -> None:
    logits = np.zeros((3, 2, 2), dtype=np.float32)
    logits[1] = 3e38
    assert gate_scores(logits).margin == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_non_finite_logit_is_an_invalid_prediction(bad: float) -> None:
    logits = np.zeros((3, 8, 8), dtype=np.float32)
    logits[2, 7, 7] = bad
    with pytest.raises(InvalidPrediction, match="not finite"):
        gate_scores(logits)


@pytest.mark.parametrize("shape", [(1, 4, 4), (0, 4, 4), (3, 0, 4)])
def test_shapes_without_a_choice_are_invalid(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidPrediction):
        gate_scores(np.zeros(shape, dtype=np.float32))


@given(arrays(np.float32, (5, 3, 4), elements=st.floats(-50, 50, width=32)))
def test_scores_stay_in_their_ranges_and_ignore_a_shift(logits: np.ndarray) -> None:
    chances = softmax(logits)
    assert np.allclose(chances.sum(axis=0), 1, atol=1e-5)
    assert (margin(chances) >= 0).all()
    assert (entropy(chances) <= math.log(5) + 1e-4).all()
    assert gate_scores(logits + np.float32(4)).margin == pytest.approx(gate_scores(logits).margin, abs=1e-3)
    assert 0 <= relative_entropy(gate_scores(logits)) <= 1


def test_scores_of_an_older_release_are_read_and_still_have_a_relative_entropy() -> None:
    scores = parse(Scores, '{"margin": 0.5, "max_probability": 0.7, "entropy": 1.5}')
    assert (scores.classes, relative_entropy(scores)) == (2, 1.0)
    calm = parse(Scores, '{"margin": 0.9, "max_probability": 0.9, "entropy": 0.2}')
    assert relative_entropy(calm) == pytest.approx(0.2 / math.log(2))


def test_a_place_is_hard_by_its_margin_or_by_the_gain_that_the_model_expects() -> None:
    chances = np.asarray([[[0.7, 0.5]], [[0.2, 0.5]], [[0.1, 1e-9]]], dtype=np.float32)
    assert hardness(np.log(chances)) == pytest.approx(np.array([[0.5, 1.0]]), abs=1e-5)
