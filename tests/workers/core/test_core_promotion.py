"""The promotion gate: each objection alone, its numbers in the message, and nothing unsound ever through."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.config import Promotion
from umiak_workers.core.promotion import Measured, Promoted, Refused, judge_candidate

RULE = Promotion(min_gain=0.01, max_forgetting=0.05)
GOOD = Measured(replay_base=0.40, replay_candidate=0.55, base_base=0.70, base_candidate=0.68)
WEIGHTS = {"conv.weight": np.ones((4, 3, 3, 3), np.float32), "bn.num_batches_tracked": np.asarray(7, np.int64)}


def test_a_better_and_sound_candidate_is_promoted_with_its_numbers() -> None:
    found = judge_candidate(WEIGHTS, WEIGHTS, GOOD, RULE)
    assert isinstance(found, Promoted)
    assert "0.4000 -> 0.5500 (+0.1500)" in found.message
    assert "0.7000 -> 0.6800 (-0.0200)" in found.message


@pytest.mark.parametrize(
    ("measured", "reason", "number"),
    [
        (Measured(0.40, 0.405, 0.7, 0.7), "TooLittleGain", "+0.0050"),
        (Measured(0.40, 0.30, 0.7, 0.7), "TooLittleGain", "-0.1000"),
        (Measured(0.40, 0.55, 0.70, 0.64), "Forgetting", "-0.0600"),
        (Measured(0.40, float("nan"), 0.7, 0.7), "NotMeasurable", "replay_holdout_miou_candidate"),
        (Measured(0.40, 0.55, float("nan"), 0.7), "NotMeasurable", "base_holdout_miou_base"),
    ],
)
def test_each_figure_can_refuse_alone(measured: Measured, reason: str, number: str) -> None:
    found = judge_candidate(WEIGHTS, WEIGHTS, measured, RULE)
    assert isinstance(found, Refused)
    assert found.reason == reason
    assert number in found.message


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"conv.weight": np.full((4, 3, 3, 3), np.nan, np.float32)}, "NonFinite"),
        ({"conv.weight": np.full((4, 3, 3, 3), np.inf, np.float32)}, "NonFinite"),
        ({"conv.weight": np.ones((4, 3, 3), np.float32)}, "TensorsChanged"),
        ({"conv.weight": np.ones((4, 3, 3, 3), np.float64)}, "TensorsChanged"),
        ({"extra": np.ones(1, np.float32)}, "TensorsChanged"),
    ],
)
def test_i5_an_unsound_tensor_is_refused_however_good_the_figures(changed: dict[str, np.ndarray], reason: str) -> None:
    found = judge_candidate(WEIGHTS, {**WEIGHTS, **changed}, GOOD, RULE)
    assert isinstance(found, Refused)
    assert found.reason == reason
    assert next(iter(changed)) in found.message


def test_a_missing_tensor_is_refused() -> None:
    found = judge_candidate(WEIGHTS, {"conv.weight": WEIGHTS["conv.weight"]}, GOOD, RULE)
    assert found == Refused("TensorsChanged", "base and candidate do not both have bn.num_batches_tracked")


share = st.floats(0, 1)


@given(share, share, share, share, st.floats(-0.1, 0.5), st.floats(0, 0.5))
def test_the_gate_is_exactly_gain_and_forgetting(
    replay_base: float, replay_candidate: float, base_base: float, base_candidate: float, gain: float, loss: float
) -> None:
    measured = Measured(replay_base, replay_candidate, base_base, base_candidate)
    found = judge_candidate(WEIGHTS, WEIGHTS, measured, Promotion(min_gain=gain, max_forgetting=loss))
    allowed = replay_candidate - replay_base >= gain and base_base - base_candidate <= loss
    assert isinstance(found, Promoted) == allowed
