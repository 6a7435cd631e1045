"""A share of frames: kept within 10 % while scores drift, without bursts, and spent on the hardest ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from umiak_workers.core.budget import Budget, spend

FRAMES = 3000
Series = NDArray[np.float64]


def drifts() -> dict[str, Series]:
    """Hardness over time, as it looks when light changes: steady, rising, falling, jumping, swinging, wandering."""
    rng, time = np.random.default_rng(11), np.arange(FRAMES)
    walk = np.zeros(FRAMES)
    for index in range(1, FRAMES):
        walk[index] = 0.98 * walk[index - 1] + rng.normal(0, 0.02)
    plain = {
        "steady": np.full(FRAMES, 0.3),
        "rising": 0.2 + 0.4 * time / FRAMES,
        "falling": 0.6 - 0.4 * time / FRAMES,
        "dusk": np.where(time < FRAMES // 2, 0.2, 0.6),
        "dawn": np.where(time < FRAMES // 2, 0.6, 0.2),
        "swinging": 0.4 + 0.2 * np.sin(time / 150),
        "wandering": 0.4 + walk,
    }
    noisy = {name: np.clip(values + rng.normal(0, 0.03, FRAMES), 0, 1) for name, values in plain.items()}
    return noisy | {"equal": np.full(FRAMES, 0.3), "ever harder": time / FRAMES, "ever easier": 1 - time / FRAMES}


DRIFTS = drifts()


def picks(series: Series, share: float) -> NDArray[np.bool_]:
    budget, hard = Budget(share), []
    for value in series:
        one, budget = spend(budget, float(value))
        hard.append(one)
    return np.asarray(hard)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.35, 0.5, 0.8])
@pytest.mark.parametrize("name", list(DRIFTS))
def test_the_share_is_kept_while_scores_drift(name: str, share: float) -> None:
    hard = picks(DRIFTS[name], share)
    assert hard.mean() == pytest.approx(share, rel=0.02)
    frames = 400
    windows = np.convolve(hard, np.ones(frames) / frames, "valid")
    assert windows.min() >= share * 0.9
    assert windows.max() <= share * 1.1


@pytest.mark.parametrize("name", list(DRIFTS))
def test_the_share_does_not_swing(name: str) -> None:
    share, frames = 0.2, 100
    rate = np.convolve(picks(DRIFTS[name], share), np.ones(frames) / frames, "valid")[::frames]
    steps = np.diff(rate - share)
    growing = np.abs(rate[len(rate) // 2 :] - share).max() - np.abs(rate[: len(rate) // 2] - share).max()
    assert np.abs(rate - share).max() <= share * 0.4
    assert growing <= share * 0.25, "an oscillation would grow"
    assert np.abs(steps).max() <= share * 0.7


def test_it_spends_on_the_hardest() -> None:
    series = np.clip(np.random.default_rng(3).normal(0.4, 0.1, FRAMES), 0, 1)
    hard = picks(series, 0.2)
    best = np.sort(series)[-int(hard.sum()) :].mean()
    gained = (series[hard].mean() - series.mean()) / (best - series.mean())
    assert gained >= 0.85, "random picks would gain nothing"


def test_the_ends_of_the_scale() -> None:
    assert not picks(DRIFTS["wandering"], 0.0).any()
    assert picks(DRIFTS["wandering"], 1.0).all()


@given(st.lists(st.floats(0, 1), max_size=400), st.floats(0.01, 0.99))
def test_credit_is_bounded_whatever_comes(series: list[float], share: float) -> None:
    budget, spent = Budget(share), 0
    for value in series:
        hard, budget = spend(budget, value)
        spent += hard
        assert -budget.bound <= budget.credit <= budget.bound + share
        assert len(budget.window) <= 256
    assert abs(spent - share * len(series)) <= budget.bound + 1


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0, 1))
def test_spending_is_pure(series: list[float], share: float) -> None:
    budget = Budget(share, tuple(series))
    assert spend(budget, 0.5) == spend(budget, 0.5)
    assert budget == Budget(share, tuple(series))
