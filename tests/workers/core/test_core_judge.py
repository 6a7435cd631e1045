"""The chain of rules: first verdict wins, thresholds are strict, budgets are shares, live settings change numbers."""

import math
import random
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.config import MinerRule
from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.messages import LiveRule, LiveSettings, Scores
from umiak_workers.core.budget import Upload, bytes_per_second, share_of_frames
from umiak_workers.core.calibration import fit_calibration
from umiak_workers.core.judge import Judge, Verdict, judge, new_judge, retuned, settled, unjudged
from umiak_workers.core.miners import MINERS

unit = st.floats(0, 1)
number = st.one_of(
    st.fixed_dictionaries({"threshold": unit}),
    st.fixed_dictionaries({"threshold": unit, "calibration": st.just(((0.1, 0.0), (0.9, 0.5)))}),
    st.fixed_dictionaries({"budget": unit}),
    st.fixed_dictionaries({"bytes_per_second": st.integers(1, 100_000)}),
    st.fixed_dictionaries({"cost": st.just({"per_hour": 3.0, "per_upload": 0.01})}),
)
rules = st.builds(
    lambda miner, value: MinerRule(miner=miner, **value),  # type: ignore[arg-type]
    st.sampled_from(["ScoreMargin", "MaxProbability", "Entropy", "AppealHead", "Random"]),
    number,
) | st.builds(MinerRule, miner=st.sampled_from(["EdgeOnly", "CloudOnly"]))
rules |= st.builds(
    lambda rule, value: MinerRule(**rule, **value),
    st.sampled_from(
        [{"miner": "BoxThreshold", "nothing_found": 1}, {"miner": "IBT", "nothing_found": 0, "certain": 0.5}]
    ),
    number,
)
appeal = st.none() | st.floats(-1, 1)
scores = st.builds(
    Scores,
    margin=unit,
    max_probability=unit,
    entropy=st.floats(0, 3),
    classes=st.integers(2, 19),
    appeal=appeal,
    confidences=st.none() | st.lists(unit, max_size=20).map(tuple),
)


SIZE = 50_000
"""bytes of a photo; one comes every second"""


def half() -> float:
    return 0.5


def run(chain: tuple[MinerRule, ...], seen: list[Scores], draw: Callable[[], float]) -> list[Verdict | None]:
    state, verdicts = new_judge(chain), []
    for second, one in enumerate(seen):
        verdict, state = judge(state, one, Upload(SIZE, float(second)), draw)
        verdicts.append(verdict)
    return verdicts


def of(margin: float = 0.5, best: float = 0.5) -> Scores:
    return Scores(margin=margin, max_probability=best, entropy=0.1)


def test_score_margin_calls_small_margins_hard() -> None:
    chain = (MinerRule(miner="ScoreMargin", threshold=0.6),)
    found = run(chain, [of(0.3), of(0.41), of(0.9)], half)
    assert [verdict is not None for verdict in found] == [True, False, False]
    assert found[0] == Verdict("ScoreMargin", "hardness 0.700 above 0.600", pytest.approx(0.7))


def test_max_probability_calls_low_confidence_hard() -> None:
    chain = (MinerRule(miner="MaxProbability", threshold=0.4),)
    assert [v is not None for v in run(chain, [of(best=0.5), of(best=0.7)], half)] == [True, False]


def test_entropy_is_a_share_of_what_the_classes_allow() -> None:
    chain = (MinerRule(miner="Entropy", threshold=0.5),)
    nats = math.log(8)  # half of 64 classes, all of 8
    seen = [Scores(margin=0.5, max_probability=0.5, entropy=nats, classes=classes) for classes in (8, 63, 65)]
    found = run(chain, seen, half)
    assert [verdict is not None for verdict in found] == [True, True, False]
    assert found[0] == Verdict("Entropy", "hardness 1.000 above 0.500", pytest.approx(1.0))


def appealing(*gains: float | None) -> list[Scores]:
    return [Scores(margin=0.5, max_probability=0.5, entropy=0.1, appeal=gain) for gain in gains]


def test_the_appeal_head_is_an_expected_gain_and_a_loss_is_none() -> None:
    chain = (MinerRule(miner="AppealHead", threshold=0.05),)
    found = run(chain, appealing(0.06, 0.05, -0.9), half)
    assert [verdict is not None for verdict in found] == [True, False, False]
    assert found[0] == Verdict("AppealHead", "hardness 0.060 above 0.050", pytest.approx(0.06))
    assert not any(run((MinerRule(miner="AppealHead", threshold=0.0),), appealing(-0.2, 0.0), half))


def test_what_a_miner_cannot_tell_is_not_hard_not_remembered_and_said() -> None:
    """The photos of a model without an appeal head; the rules behind that one still judge them."""
    chain = (MinerRule(miner="AppealHead", budget=0.5), MinerRule(miner="ScoreMargin", threshold=0.4))
    state = new_judge(chain[:1])
    for one in appealing(*[None] * 40):
        verdict, state = judge(state, one, Upload(SIZE, 0.0), half)
        assert verdict is None
    assert state == new_judge(chain[:1])
    assert [verdict and verdict.rule for verdict in run(chain, appealing(None), half)] == ["ScoreMargin"]
    assert unjudged(new_judge(chain), appealing(None)[0]) == ("AppealHead",)
    assert unjudged(new_judge(chain), appealing(0.0)[0]) == ()


def boxed(*confidences: float) -> Scores:
    return Scores(margin=0.5, max_probability=0.5, entropy=0.1, confidences=confidences)


@pytest.mark.parametrize("nothing_found", [0.0, 1.0])
def test_rules_of_boxes_go_by_their_confidences_and_say_what_nothing_means(nothing_found: float) -> None:
    mean = MinerRule(miner="BoxThreshold", threshold=0.4, nothing_found=nothing_found)
    share = MinerRule(miner="IBT", threshold=0.5, certain=0.5, nothing_found=nothing_found)
    seen = [boxed(0.9, 0.2), boxed(0.9, 0.4), boxed(0.4, 0.3, 0.9), boxed()]
    assert [v and v.hardness for v in run((mean,), seen, half)] == [
        pytest.approx(0.45),
        None,
        pytest.approx(1 - 1.6 / 3),
        nothing_found or None,
    ]
    assert [v is not None for v in run((share,), seen, half)] == [False, False, True, bool(nothing_found)]
    assert [v and v.rule for v in run((share, mean), seen, half)] == [
        "BoxThreshold",
        None,
        "IBT",
        "IBT" if nothing_found else None,
    ]


def test_what_has_no_boxes_is_not_judged_by_them() -> None:
    chain = (MinerRule(miner="IBT", threshold=0.0, certain=0.5, nothing_found=1), MinerRule(miner="CloudOnly"))
    assert [verdict and verdict.rule for verdict in run(chain, [of(), boxed()], half)] == ["CloudOnly", "IBT"]
    assert unjudged(new_judge(chain), of()) == ("IBT",)
    assert unjudged(new_judge(chain), boxed()) == ()


def test_what_nothing_means_and_what_is_certain_change_live() -> None:
    rule = MinerRule(miner="IBT", threshold=0.5, certain=0.5, nothing_found=1)
    state = new_judge((rule,))
    live = LiveRule.model_validate({**rule.model_dump(), "certain": 0.2, "nothing_found": 0})
    state = retuned(state, LiveSettings(settings_version=1, rules=(live,)))
    assert [judge(state, one, Upload(SIZE, 0.0), half)[0] for one in (boxed(), boxed(0.3))] == [None, None]
    state = retuned(state, LiveSettings(settings_version=2, threshold=0.0))  # numbers alone: the rest stays
    assert judge(state, boxed(), Upload(SIZE, 0.0), half)[0] is None
    assert judge(state, boxed(0.1), Upload(SIZE, 0.0), half)[0] is not None
    with pytest.raises(MessageError, match="IBT needs certain"):
        retuned(state, LiveSettings(settings_version=3, rules=(live.model_copy(update={"certain": None}),)))


@given(st.lists(scores, min_size=40, max_size=60), st.integers(0, 3), st.integers(0, 200_000))
def test_settling_gives_back_what_was_charged_too_much_to_the_rule_that_charged(
    seen: list[Scores], doubles: int, sent: int
) -> None:
    chain = (MinerRule(miner="AppealHead", threshold=1.0),) * doubles
    state = new_judge((*chain, MinerRule(miner="ScoreMargin", bytes_per_second=20_000)))
    for second, one in enumerate(seen):
        verdict, state = judge(state, one, Upload(SIZE, float(second)), half)
        if verdict is None:
            continue
        assert verdict.place == doubles
        before, after = state.rules[-1].budget, settled(state, verdict, Upload(sent, 0.0)).rules[-1].budget
        assert before is not None
        assert after is not None
        assert after.credit == pytest.approx(before.credit + SIZE - sent)
        assert settled(state, verdict, Upload(SIZE, 99.0)) == state


def test_a_threshold_settles_nothing() -> None:
    state = new_judge((MinerRule(miner="CloudOnly"),))
    verdict, state = judge(state, of(), Upload(SIZE, 0.0), half)
    assert verdict is not None
    assert settled(state, verdict, Upload(1, 0.0)) == state


def test_a_calibrated_threshold_is_on_the_expected_gain() -> None:
    knots = ((0.2, 0.0), (0.6, 0.1))
    chain = (MinerRule(miner="ScoreMargin", threshold=0.05, calibration=knots),)
    found = run(chain, [of(0.5), of(0.61), of(0.9)], half)
    assert [verdict is not None for verdict in found] == [True, False, False]
    assert found[0] == Verdict("ScoreMargin", "expected gain 0.075 of hardness 0.500 above 0.050", 0.5)


def test_one_threshold_of_expected_gain_means_the_same_to_two_miners() -> None:
    """Two miners that see the same frames on other scales call the same ones hard once both are calibrated."""
    seed = 5
    print(f"seed {seed}")
    frames = np.random.default_rng(seed).uniform(0, 1, 400)
    seen = [Scores(margin=1 - x, max_probability=1 - x**3 / 2, entropy=0.1) for x in frames]
    gains = [0.4 * x * x for x in frames]
    chosen = []
    for miner in ("ScoreMargin", "MaxProbability"):
        knots = fit_calibration([MINERS[miner](scores, half) for scores in seen], gains)
        rule = MinerRule(miner=miner, threshold=0.2, calibration=knots)
        chosen.append(np.asarray([verdict is not None for verdict in run((rule,), seen, half)]))
    assert (chosen[0] != chosen[1]).mean() <= 0.02
    assert abs(float(chosen[0].mean()) - float((np.asarray(gains) > 0.2).mean())) <= 0.02


def test_bytes_and_money_are_named_in_the_reason() -> None:
    for rule, words in (
        ({"bytes_per_second": 10_000}, "among the hardest that 10000 bytes per second allow"),
        ({"cost": {"per_hour": 36.0, "per_upload": 0.05}}, "among the hardest that a cost of 36 per hour allows"),
    ):
        found = run((MinerRule.model_validate({"miner": "ScoreMargin", **rule}),), [of(0.3)] * 300, half)
        reasons = {verdict.reason for verdict in found if verdict}
        assert reasons == {f"hardness 0.700 {words}"}
        assert sum(verdict is not None for verdict in found) == pytest.approx(60, rel=0.1)


def test_the_first_rule_that_says_hard_names_the_verdict() -> None:
    chain = (MinerRule(miner="ScoreMargin", threshold=0.9), MinerRule(miner="MaxProbability", threshold=0.1))
    first, second = run(chain, [of(0.05, 0.2), of(0.5, 0.2)], half)
    assert first is not None
    assert second is not None
    assert (first.rule, second.rule) == ("ScoreMargin", "MaxProbability")


@given(st.lists(scores, max_size=20))
def test_the_two_baselines_are_what_they_are_called(seen: list[Scores]) -> None:
    assert not any(run((MinerRule(miner="EdgeOnly"),), seen, half))
    assert all(run((MinerRule(miner="CloudOnly"),), seen, half))


@given(st.lists(scores, max_size=50), unit)
def test_random_ignores_the_scores(seen: list[Scores], threshold: float) -> None:
    chain = (MinerRule(miner="Random", threshold=threshold),)
    one = run(chain, seen, random.Random(7).random)
    other = run(chain, [of()] * len(seen), random.Random(7).random)
    assert one == other


@given(st.lists(rules, min_size=1, max_size=4), st.lists(scores, max_size=30), st.integers(0, 9))
def test_judging_is_repeatable_and_leaves_the_old_state_alone(
    chain: list[MinerRule], seen: list[Scores], seed: int
) -> None:
    state = new_judge(tuple(chain))
    kept = Judge(tuple(state.rules))
    assert run(tuple(chain), seen, random.Random(seed).random) == run(tuple(chain), seen, random.Random(seed).random)
    for one in seen:
        judge(state, one, Upload(SIZE, 0.0), half)
    assert state == kept


@given(st.lists(rules, min_size=1, max_size=4), scores)
def test_a_chain_is_hard_exactly_when_one_of_its_rules_is(chain: list[MinerRule], seen: Scores) -> None:
    alone = [run((rule,), [seen], half)[0] for rule in chain]
    together = run(tuple(chain), [seen], half)[0]
    assert together == next((verdict for verdict in alone if verdict), None)


@given(scores, unit, unit)
def test_a_higher_threshold_never_makes_more_frames_hard(seen: Scores, one: float, other: float) -> None:
    low, high = sorted((one, other))
    strict = run((MinerRule(miner="ScoreMargin", threshold=high),), [seen], half)[0]
    loose = run((MinerRule(miner="ScoreMargin", threshold=low),), [seen], half)[0]
    assert loose or not strict


def test_live_settings_change_each_rule_and_keep_what_budgets_remember() -> None:
    chain = (MinerRule(miner="ScoreMargin", budget=0.2), MinerRule(miner="Random", threshold=0.5))
    state = new_judge(chain)
    for _ in range(30):
        _, state = judge(state, of(0.3), Upload(SIZE, 0.0), half)
    live = LiveSettings(
        settings_version=2,
        rules=(LiveRule(miner="ScoreMargin", budget=0.4), LiveRule(miner="Random", threshold=0.9)),
    )
    changed = retuned(state, live)
    assert changed.rules[0].budget is not None
    assert state.rules[0].budget is not None
    assert changed.rules[0].budget.allowance == share_of_frames(0.4)
    assert changed.rules[0].budget.window == state.rules[0].budget.window
    assert changed.rules[1].threshold == 0.9


def test_a_byte_rate_changes_live_and_keeps_its_credit() -> None:
    state = new_judge((MinerRule(miner="ScoreMargin", bytes_per_second=1000),))
    for second in range(30):
        _, state = judge(state, of(0.3), Upload(SIZE, float(second)), half)
    live = LiveSettings(settings_version=2, rules=(LiveRule(miner="ScoreMargin", bytes_per_second=4000),))
    before, after = state.rules[0].budget, retuned(state, live).rules[0].budget
    assert before is not None
    assert after is not None
    assert after.allowance == bytes_per_second(4000)
    assert (after.credit, after.window, after.intervals) == (before.credit, before.window, before.intervals)


def test_a_new_fee_forgets_credit_in_the_old_one() -> None:
    old, new = ({"per_hour": 36.0, "per_upload": fee} for fee in (0.05, 0.5))
    state = new_judge((MinerRule.model_validate({"miner": "ScoreMargin", "cost": old}),))
    for second in range(30):
        _, state = judge(state, of(0.3), Upload(SIZE, float(second)), half)
    rule = LiveRule.model_validate({"miner": "ScoreMargin", "cost": new})
    changed = retuned(state, LiveSettings(settings_version=2, rules=(rule,))).rules[0].budget
    assert changed is not None
    assert (changed.credit, len(changed.window)) == (0.0, 30)


def test_live_knots_replace_the_configs() -> None:
    state = new_judge((MinerRule(miner="ScoreMargin", threshold=0.2, calibration=((0.0, 0.0), (1.0, 1.0))),))
    rule = LiveRule(miner="ScoreMargin", threshold=0.3, calibration=((0.0, 0.0), (1.0, 0.4)))
    changed = retuned(state, LiveSettings(settings_version=2, rules=(rule,)))
    assert (changed.rules[0].threshold, changed.rules[0].calibration) == (0.3, ((0.0, 0.0), (1.0, 0.4)))
    falling = rule.model_copy(update={"calibration": ((0.5, 0.4), (0.6, 0.3))})
    with pytest.raises(MessageError, match="must not fall"):
        retuned(state, LiveSettings(settings_version=2, rules=(falling,)))


def test_live_settings_for_another_chain_change_nothing() -> None:
    state = new_judge((MinerRule(miner="ScoreMargin", threshold=0.2),))
    for live in (
        LiveSettings(settings_version=2),
        LiveSettings(settings_version=2, rules=(LiveRule(miner="Random", threshold=0.1),)),
        LiveSettings(settings_version=2, rules=(LiveRule(miner="ScoreMargin", threshold=0.1),) * 2),
        LiveSettings(settings_version=2, rules=(LiveRule(miner="ScoreMargin", budget=0.1),)),
        LiveSettings(
            settings_version=2, rules=(LiveRule(miner="ScoreMargin", threshold=0.1, calibration=((0.5, 0.5),)),)
        ),
    ):
        assert retuned(state, live) == state
    old_hub = LiveSettings(settings_version=2, threshold=0.7)
    assert retuned(state, old_hub).rules[0].threshold == 0.7


def test_a_number_no_config_would_take_is_refused() -> None:
    state = new_judge((MinerRule(miner="ScoreMargin", threshold=0.2),))
    with pytest.raises(MessageError, match="threshold"):
        retuned(state, LiveSettings(rules=(LiveRule(miner="ScoreMargin", threshold=7.0),)))


def test_a_rule_costs_less_than_a_millisecond() -> None:
    """Of processor time, with full windows; up to the dearest chain that a config can hold, of which none says hard."""
    calls, rounds, seed = 40, 15, 9
    knots = tuple((index / 31, index / 40) for index in range(32))
    budgets = [{"budget": 0.01}, {"bytes_per_second": 1}, {"cost": {"per_hour": 0.001, "per_upload": 1.0}}]
    chains = {
        "one share": [{"miner": "ScoreMargin", "budget": 0.2}],
        "one byte rate": [{"miner": "ScoreMargin", "bytes_per_second": 10_000}],
        "calibrated": [{"miner": "Entropy", "threshold": 1.0, "calibration": knots}],
        "eight": [{"miner": "ScoreMargin", **budgets[index % 3]} for index in range(8)],
    }
    print(f"seed {seed}")
    for name, rules_of in chains.items():
        draw = random.Random(seed).random
        state = new_judge(tuple(MinerRule.model_validate(rule) for rule in rules_of))
        for second in range(300):
            _, state = judge(state, of(draw()), Upload(SIZE, float(second)), draw)
        best = min(_milliseconds(state, calls) for _ in range(rounds))
        print(f"{name}: {best:.3f} ms of processor time a call")
        assert best <= len(state.rules)


def _milliseconds(state: Judge, calls: int) -> float:
    """Of one call, all of them on the same state: it is pure."""
    begun = time.thread_time()
    for _ in range(calls):
        judge(state, of(0.9), Upload(SIZE, 301.0), half)
    return (time.thread_time() - begun) * 1000 / calls
