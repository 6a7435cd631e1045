"""The chain of rules: first verdict wins, thresholds are strict, budgets are shares, live settings change numbers."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.config import MinerRule
from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.messages import LiveRule, LiveSettings, Scores
from umiak_workers.core.judge import Judge, Verdict, judge, new_judge, retuned

unit = st.floats(0, 1)
number = st.fixed_dictionaries({"threshold": unit}) | st.fixed_dictionaries({"budget": unit})
rules = st.builds(
    lambda miner, value: MinerRule(miner=miner, **value),  # type: ignore[arg-type]
    st.sampled_from(["ScoreMargin", "MaxProbability", "Random"]),
    number,
) | st.builds(MinerRule, miner=st.sampled_from(["EdgeOnly", "CloudOnly"]))
scores = st.builds(Scores, margin=unit, max_probability=unit, entropy=st.floats(0, 3))


def half() -> float:
    return 0.5


def run(chain: tuple[MinerRule, ...], seen: list[Scores], draw: Callable[[], float]) -> list[Verdict | None]:
    state, verdicts = new_judge(chain), []
    for one in seen:
        verdict, state = judge(state, one, draw)
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
        judge(state, one, half)
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
        _, state = judge(state, of(0.3), half)
    live = LiveSettings(
        settings_version=2,
        rules=(LiveRule(miner="ScoreMargin", budget=0.4), LiveRule(miner="Random", threshold=0.9)),
    )
    changed = retuned(state, live)
    assert changed.rules[0].budget is not None
    assert state.rules[0].budget is not None
    assert changed.rules[0].budget.share == 0.4
    assert changed.rules[0].budget.window == state.rules[0].budget.window
    assert changed.rules[1].threshold == 0.9


def test_live_settings_for_another_chain_change_nothing() -> None:
    state = new_judge((MinerRule(miner="ScoreMargin", threshold=0.2),))
    for live in (
        LiveSettings(settings_version=2),
        LiveSettings(settings_version=2, rules=(LiveRule(miner="Random", threshold=0.1),)),
        LiveSettings(settings_version=2, rules=(LiveRule(miner="ScoreMargin", threshold=0.1),) * 2),
    ):
        assert retuned(state, live) == state
    old_hub = LiveSettings(settings_version=2, threshold=0.7)
    assert retuned(state, old_hub).rules[0].threshold == 0.7


def test_a_number_no_config_would_take_is_refused() -> None:
    state = new_judge((MinerRule(miner="ScoreMargin", threshold=0.2),))
    with pytest.raises(MessageError, match="threshold"):
        retuned(state, LiveSettings(rules=(LiveRule(miner="ScoreMargin", threshold=7.0),)))
