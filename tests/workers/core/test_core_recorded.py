"""Budgets and calibration on recorded scores: the built-in edge model over 500 yard photos by day and 500 at dusk.

`record_yard.py` wrote them, with the bytes of each photo as JPEG and the mIoU that the cloud model was ahead by.
"""

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from umiak_workers.contract.config import MinerRule
from umiak_workers.contract.messages import Scores
from umiak_workers.core.budget import Upload
from umiak_workers.core.calibration import expected_gain, fit_calibration
from umiak_workers.core.judge import judge, new_judge
from umiak_workers.core.miners import MINERS

FILE = Path(__file__).with_name("yard_day_to_dusk.csv")
CLASSES = 7
SHOTS = 20
"""frames that are kept together when one half fits and the other checks: neighbours look alike"""
SCORED = ["ScoreMargin", "MaxProbability", "Entropy"]
SEEDS = [1, 2, 3]


def recorded() -> list[tuple[Scores, int, float]]:
    """(scores, bytes, gain) per photo."""
    with FILE.open() as file:
        rows = [[float(value) for value in row] for row in list(csv.reader(file))[1:]]
    return [
        (Scores(margin=margin, max_probability=best, entropy=nats, classes=CLASSES), int(size), gain)
        for margin, best, nats, size, gain in rows
    ]


PHOTOS = recorded()
SIZES = np.asarray([size for _, size, _ in PHOTOS])
GAINS = np.asarray([gain for _, _, gain in PHOTOS])
FITTED = np.arange(len(PHOTOS)) // SHOTS % 2 == 0


def no_draw() -> float:
    raise AssertionError("none of these miners draws")


def hardness(miner: str) -> NDArray[np.float64]:
    return np.asarray([MINERS[miner](scores, no_draw) for scores, _, _ in PHOTOS])


def picks(rule: dict[str, object], times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which photos a rule calls hard."""
    state, hard = new_judge((MinerRule.model_validate(rule),)), []
    for (scores, size, _), at in zip(PHOTOS, times, strict=True):
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
