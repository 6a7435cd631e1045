"""The table from hardness to expected gain: rising, small, true to the mean, and the best there is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from umiak_workers.contract.calibration import MOST_KNOTS, Knots, check_rising
from umiak_workers.core.calibration import expected_gain, fit_calibration

unit = st.floats(0, 1)
gain = st.floats(-1, 1)
frames = st.lists(st.tuples(unit, gain), min_size=1, max_size=120)
levels = st.lists(unit, min_size=1, max_size=60, unique_by=lambda one: round(one, 6))


def fitted(seen: list[tuple[float, float]], most: int = MOST_KNOTS) -> Knots:
    return fit_calibration([one for one, _ in seen], [other for _, other in seen], most)


def isotonic(gains: list[float]) -> list[float]:
    """The least-squares rising line through equally weighted gains, by its max-min formula."""
    size = len(gains)
    mean = [[sum(gains[i : j + 1]) / (j + 1 - i) if j >= i else 0.0 for j in range(size)] for i in range(size)]
    return [max(min(mean[i][j] for j in range(k, size)) for i in range(k + 1)) for k in range(size)]


def distinct(rising: list[float]) -> list[float]:
    """Without those that only rounding tells from the one before."""
    return [one for at, one in enumerate(rising) if not at or one - rising[at - 1] > 1e-5]


def test_by_hand() -> None:
    # 0.3 and 0.4 are out of order: they become one knot at their mean; the first gain is below 0
    knots = fit_calibration([0.4, 0.1, 0.3, 0.9], [0.1, -0.2, 0.3, 0.6])
    assert knots == ((0.1, 0.0), (0.35, 0.2), (0.9, 0.6))
    assert expected_gain(knots, 0.0) == 0.0
    assert expected_gain(knots, 0.225) == pytest.approx(0.1)
    assert expected_gain(knots, 0.35) == 0.2
    assert expected_gain(knots, 1.0) == 0.6


def test_hardness_that_promises_nothing_makes_one_knot() -> None:
    assert fit_calibration([0.1, 0.5, 0.9], [0.3, 0.2, 0.1]) == ((0.5, 0.2),)
    assert fit_calibration([0.5, 0.5], [0.0, 1.0]) == ((0.5, 0.5),)
    assert expected_gain(((0.5, 0.2),), 0.1) == expected_gain(((0.5, 0.2),), 0.9) == 0.2


@given(frames, st.integers(1, MOST_KNOTS))
def test_a_fit_is_a_table_that_a_config_takes(seen: list[tuple[float, float]], most: int) -> None:
    knots = fitted(seen, most)
    assert TypeAdapter(Knots).validate_python(check_rising(knots)) == knots
    assert len(knots) <= most


@given(frames, unit, unit)
def test_harder_never_promises_less(seen: list[tuple[float, float]], one: float, other: float) -> None:
    knots, (low, high) = fitted(seen), sorted((one, other))
    assert 0 <= expected_gain(knots, low) <= expected_gain(knots, high) + 1e-12 <= 1 + 1e-9


@given(frames)
def test_the_order_of_frames_does_not_matter(seen: list[tuple[float, float]]) -> None:
    one, other = fitted(seen), fitted(seen[::-1])
    assert np.allclose(one, other, atol=2e-6) if len(one) == len(other) else len(seen) > 1


@given(levels, st.data())
def test_it_is_the_best_rising_fit(hardness: list[float], data: st.DataObject) -> None:
    hardness = sorted(hardness)
    gains = data.draw(
        st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), min_size=len(hardness), max_size=len(hardness))
    )
    best = isotonic(gains)
    knots = fit_calibration(hardness, gains)
    wanted, found = distinct(best), distinct([one for _, one in knots])
    if len(wanted) <= MOST_KNOTS:
        assert found == pytest.approx(wanted, abs=2e-6)
    else:
        assert len(knots) == MOST_KNOTS


@given(st.lists(st.tuples(unit, unit), min_size=1, max_size=400))
def test_the_mean_promise_is_the_mean_gain(seen: list[tuple[float, float]]) -> None:
    """At the knots, weighted by their frames; joining pools keeps it, so one knot must be it."""
    ((_, promised),) = fitted(seen, 1)
    assert promised == pytest.approx(sum(one for _, one in seen) / len(seen), abs=1e-5)


@given(
    st.lists(
        st.tuples(unit, unit),
        min_size=2,
        max_size=MOST_KNOTS,
        unique_by=(lambda k: round(k[0], 3), lambda k: round(k[1], 3)),
    )
)
def test_a_rising_line_without_noise_is_found_again(seen: list[tuple[float, float]]) -> None:
    line = list(zip(sorted(one for one, _ in seen), sorted(one for _, one in seen), strict=True))
    assert fitted(line) == tuple((round(one, 6), round(other, 6)) for one, other in line)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_truth_behind_noisy_gains_is_found(seed: int) -> None:
    """2000 frames, gains that are noise for the most part, a truth with a flat beginning."""
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    hardness = rng.beta(2, 3, 2000)
    truth = np.clip(hardness - 0.3, 0, 1) * 0.6
    knots = fit_calibration(hardness.tolist(), np.clip(truth + rng.normal(0, 0.15, 2000), -1, 1).tolist())
    promised = np.asarray([expected_gain(knots, one) for one in hardness])
    print(f"{len(knots)} knots, mean absolute error {np.abs(promised - truth).mean():.4f}")
    assert np.abs(promised - truth).mean() <= 0.015
    assert truth[promised > 0.1].min() >= 0.05
    assert truth[promised < 0.1].max() <= 0.15


@pytest.mark.parametrize(
    ("hardness", "gains"),
    [([], []), ([0.1], []), ([1.1], [0.0]), ([0.1], [1.1]), ([float("nan")], [0.0]), ([0.1], [float("nan")])],
)
def test_what_makes_no_table_is_refused(hardness: list[float], gains: list[float]) -> None:
    with pytest.raises(ValueError, match="hardness"):
        fit_calibration(hardness, gains)


def test_many_different_frames_are_fitted_within_a_moment() -> None:
    knots = fit_calibration([index / 2000 for index in range(2000)], [index / 2000 for index in range(2000)])
    assert len(knots) == MOST_KNOTS


@pytest.mark.parametrize(
    "knots",
    [[[0.5, 0.1], [0.5, 0.2]], [[0.6, 0.1], [0.5, 0.2]], [[0.1, 0.2], [0.5, 0.1]]],
)
def test_knots_that_do_not_rise_are_refused(knots: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="must not fall"):
        check_rising(TypeAdapter(Knots).validate_python(knots))


@pytest.mark.parametrize(
    "knots", [[], [[0.5]], [[0.1, 0.2, 0.3]], [[0.1, 1.2]], [[index / 40, 0.5] for index in range(33)]]
)
def test_knots_have_bounds(knots: list[list[float]]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Knots).validate_python(knots)
