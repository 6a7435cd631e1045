"""Budgets and calibration on recorded scores: the built-in edge model over 500 yard photos by day and 500 at dusk.

`record_yard.py` wrote them, with the bytes of each photo as JPEG and in part, and the mIoU that the cloud model was
ahead by.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from umiak_workers.contract.config import MinerRule
from umiak_workers.contract.messages import Scores
from umiak_workers.core.budget import Habit, Upload
from umiak_workers.core.calibration import expected_gain, fit_calibration
from umiak_workers.core.judge import Verdict, judge, new_judge, settled
from umiak_workers.core.miners import MINERS

FILE = Path(__file__).with_name("yard_day_to_dusk.csv")
CLASSES = 7
SHOTS = 20
"""frames that are kept together when one half fits and the other checks: neighbours look alike"""
SCORED = ["ScoreMargin", "MaxProbability", "Entropy"]
SEEDS = [1, 2, 3]


def recorded() -> list[tuple[Scores, int, float, int]]:
    """(scores, bytes, gain, bytes of what goes up in part) per photo."""
    with FILE.open() as file:
        rows = [[float(value) for value in row] for row in list(csv.reader(file))[1:]]
    return [
        (Scores(margin=margin, max_probability=best, entropy=nats, classes=CLASSES), int(size), gain, int(part))
        for margin, best, nats, size, gain, part in rows
    ]


PHOTOS = recorded()
SIZES = np.asarray([size for _, size, _, _ in PHOTOS])
GAINS = np.asarray([gain for _, _, gain, _ in PHOTOS])
PARTS = np.asarray([part for _, _, _, part in PHOTOS])
FITTED = np.arange(len(PHOTOS)) // SHOTS % 2 == 0


def no_draw() -> float:
    raise AssertionError("none of these miners draws")


def hardness(miner: str) -> NDArray[np.float64]:
    return np.asarray([MINERS[miner](scores, no_draw) for scores, _, _, _ in PHOTOS])


def picks(rule: dict[str, object], times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which photos a rule calls hard."""
    state, hard = new_judge((MinerRule.model_validate(rule),)), []
    for (scores, size, _, _), at in zip(PHOTOS, times, strict=True):
        verdict, state = judge(state, scores, Upload(size, float(at)), no_draw)
        hard.append(verdict is not None)
    return np.asarray(hard)


RULES = {
    "share": ({"budget": 0.2}, 0.2, 0.0, 1.0, 0.0),
    "bytes": ({"bytes_per_second": 5500}, 0.0, 5500.0, 0.0, 1.0),
    "money": ({"cost": {"per_hour": 7.2, "per_upload": 0.005, "per_megabyte": 0.2}}, 0.0, 0.002, 0.005, 2e-7),
}
"""Rule, then what a frame and a second earn and what an upload and a byte cost: about a fifth of the photos each."""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("miner", SCORED)
@pytest.mark.parametrize("name", list(RULES))
def test_a_budget_holds_within_a_tenth_from_day_to_dusk(name: str, miner: str, seed: int) -> None:
    """Photos come about every second; any 500 in a row that are asked about, the last 500 among them."""
    rule, per_frame, per_second, per_upload, per_byte = RULES[name]
    times = np.cumsum(np.random.default_rng(seed).gamma(20, 1 / 20, len(PHOTOS)))
    hard = picks({"miner": miner, **rule}, times)
    paid = hard * (per_upload + per_byte * SIZES)
    for first in (250, 350, 500):
        allowed = per_frame * 500 + per_second * (times[first + 499] - times[first - 1])
        ratio = paid[first : first + 500].sum() / allowed
        print(f"seed {seed}, {miner}, {name}, frames {first}..{first + 499}: {ratio:.3f} of what is allowed")
        assert ratio == pytest.approx(1, abs=0.1)


IN_PART = {
    "bytes, nothing else": ({"bytes_per_second": 2500}, False, 2500.0, 0.0, 1.0),
    "bytes, the whole later": ({"bytes_per_second": 8000}, True, 8000.0, 0.0, 1.0),
    "money, the whole later": (
        {"cost": {"per_hour": 14.4, "per_upload": 0.005, "per_megabyte": 0.25}},
        True,
        0.004,
        0.005,
        2.5e-7,
    ),
}
"""Rule, whether the whole photo follows, then what a second earns and what an upload and a byte cost."""


@dataclass
class Sending:
    """A router's way with a budget: an estimate when a photo is judged, what was sent once it is known."""

    rule: dict[str, object]
    whole_later: bool
    settles: int
    """photos after which it is known what one took"""
    honest: bool = True
    """False: nothing is settled, and whole photos are charged"""

    def spent(self, times: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(bytes sent, uploads) per photo. Every tenth hard one misses its deadline and goes up whole."""
        state, habit = new_judge((MinerRule.model_validate(self.rule),)), Habit()
        size, uploads = np.zeros(len(PHOTOS), np.int64), np.zeros(len(PHOTOS), np.int64)
        due: list[tuple[int, Verdict, int, Upload]] = []
        hard = 0
        for index, (scores, photo, _, part) in enumerate(PHOTOS):
            while due and due[0][0] <= index:
                _, verdict, was, sent = due.pop(0)
                state, habit = settled(state, verdict, sent), habit.after(was, sent)
            found, state = judge(state, scores, habit.expects(photo, float(times[index])), no_draw)
            if found is None:
                continue
            hard += 1
            late = hard % 10 == 0 or part == photo
            uploads[index] = 1 if late or not self.whole_later else 2
            size[index] = photo if late else part + photo * self.whole_later
            if self.honest:
                took = Upload(int(size[index]), 0.0, float(uploads[index]))
                due.append((index + self.settles, found, photo, took))
        return size, uploads


def worst(name: str, miner: str, seed: int, settles: int, honest: bool) -> list[float]:
    """What was sent as a share of what was allowed, over 500 photos each."""
    number, whole_later, per_second, per_upload, per_byte = IN_PART[name]
    times = np.cumsum(np.random.default_rng(seed).gamma(20, 1 / 20, len(PHOTOS)))
    size, uploads = Sending({"miner": miner, **number}, whole_later, settles, honest).spent(times)
    paid = per_upload * uploads + per_byte * size
    found = []
    for first in (250, 350, 500):
        allowed = per_second * (times[first + 499] - times[first - 1])
        found.append(float(paid[first : first + 500].sum() / allowed))
    print(f"seed {seed}, {miner}, {name}, settled {honest} after {settles}: {np.round(found, 3)} of what is allowed")
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("miner", SCORED)
@pytest.mark.parametrize("name", list(IN_PART))
def test_a_budget_holds_by_what_was_sent_in_part(name: str, miner: str, seed: int) -> None:
    assert worst(name, miner, seed, settles=2, honest=True) == pytest.approx([1] * 3, abs=0.1)


@pytest.mark.parametrize("name", list(IN_PART))
def test_a_budget_that_settles_nothing_is_wrong_by_as_much_as_parts_are_smaller(name: str) -> None:
    assert all(abs(one - 1) > 0.2 for one in worst(name, "ScoreMargin", SEEDS[0], settles=2, honest=False))


@pytest.mark.parametrize("miner", SCORED)
def test_an_expected_gain_is_what_is_gained(miner: str) -> None:
    """Fitted on half of the shots, checked on the others."""
    seen = hardness(miner)
    knots = fit_calibration(seen[FITTED].tolist(), GAINS[FITTED].tolist())
    promised = np.asarray([expected_gain(knots, one) for one in seen[~FITTED]])
    for threshold in (0.05, 0.1, 0.3):
        asked = promised > threshold
        gained = GAINS[~FITTED][asked].mean()
        print(
            f"{miner} above {threshold}: {asked.mean():.3f} asked, {promised[asked].mean():.3f} promised, {gained:.3f}"
        )
        assert gained == pytest.approx(promised[asked].mean(), abs=0.03)


def test_one_threshold_asks_as_much_whichever_miner_is_used_once_it_is_calibrated() -> None:
    raw, calibrated = [], []
    times = np.arange(len(PHOTOS), dtype=np.float64)
    for miner in SCORED:
        knots = fit_calibration(hardness(miner)[FITTED].tolist(), GAINS[FITTED].tolist())
        raw.append(picks({"miner": miner, "threshold": 0.3}, times)[~FITTED].mean())
        rule = {"miner": miner, "threshold": 0.1, "calibration": knots}
        calibrated.append(picks(rule, times)[~FITTED].mean())
    print(f"asked above hardness 0.3: {np.round(raw, 3)}, above an expected gain of 0.1: {np.round(calibrated, 3)}")
    assert max(raw) - min(raw) >= 0.4, "hardness means something else to each miner"
    assert max(calibrated) - min(calibrated) <= 0.03
