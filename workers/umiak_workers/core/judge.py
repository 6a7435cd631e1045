"""What is hard: a chain of rules, each one idea, over the gate scores that the edge server sent with its answer.

A rule turns scores into a hardness in [0, 1] and calls the frame hard above a threshold or, with a budget, as often as
the budget allows. The first rule that calls a frame hard decides; later rules do not see it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pydantic import ValidationError

from umiak_workers.contract.config import MinerRule
from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.messages import LiveRule, LiveSettings, Scores
from umiak_workers.contract.wire import explain
from umiak_workers.core.budget import Budget, spend

Draw = Callable[[], float]
"""A number in [0, 1), from a generator that the caller seeded."""
Hardness = Callable[[Scores, Draw], float]

MINERS: dict[str, Hardness] = {
    "ScoreMargin": lambda scores, draw: 1 - scores.margin,  # seed 001, 3.3.1: a small mean margin is a hard frame
    "MaxProbability": lambda scores, draw: 1 - scores.max_probability,
    "Random": lambda scores, draw: draw(),
    "EdgeOnly": lambda scores, draw: 0.0,
    "CloudOnly": lambda scores, draw: 1.0,
}
_FIXED = {"EdgeOnly": 1.0, "CloudOnly": 0.0}
"""Thresholds of the two miners that take none: never above, always above."""


@dataclass(frozen=True)
class Verdict:
    """Why a frame is hard: the rule's miner, one line for a person, the hardness in [0, 1]."""

    rule: str
    reason: str
    hardness: float


@dataclass(frozen=True)
class Rule:
    """One link of the chain; exactly one of `threshold` and `budget` is set."""

    miner: str
    threshold: float | None
    budget: Budget | None


@dataclass(frozen=True)
class Judge:
    """The chain and what its budgets remember."""

    rules: tuple[Rule, ...]


def new_judge(rules: tuple[MinerRule, ...]) -> Judge:
    """A judge that has seen nothing yet."""
    return Judge(tuple(_rule(rule) for rule in rules))


def judge(state: Judge, scores: Scores, draw: Draw) -> tuple[Verdict | None, Judge]:
    """(why the frame is hard or None, the judge that saw it)."""
    rules = list(state.rules)
    for index, rule in enumerate(rules):
        verdict, rules[index] = _apply(rule, scores, draw)
        if verdict:
            return verdict, Judge(tuple(rules))
    return None, Judge(tuple(rules))


def retuned(state: Judge, settings: LiveSettings) -> Judge:
    """The judge under live settings; what a budget remembers is kept when only its share changes.

    Settings for another chain (other miners, or another kind of number) change nothing: the pod is about to be
    replaced. Raises MessageError for a number that no config would take.
    """
    wanted = settings.rules
    if not wanted and len(state.rules) == 1 and (settings.threshold is not None or settings.budget is not None):
        only = LiveRule(miner=state.rules[0].miner, threshold=settings.threshold, budget=settings.budget)
        wanted = (only,)
    if [rule.miner for rule in wanted] != [rule.miner for rule in state.rules]:
        return state
    return Judge(tuple(_retuned(rule, live) for rule, live in zip(state.rules, wanted, strict=True)))


def _retuned(rule: Rule, live: LiveRule) -> Rule:
    try:
        new = _rule(MinerRule(miner=live.miner, threshold=live.threshold, budget=live.budget))
    except ValidationError as error:
        raise MessageError(f"live settings: {live.miner}: {explain(error)}") from error
    if rule.budget and new.budget:
        return replace(new, budget=replace(rule.budget, share=new.budget.share))
    return new


def _rule(rule: MinerRule) -> Rule:
    if rule.miner in _FIXED:
        return Rule(rule.miner, _FIXED[rule.miner], None)
    return Rule(rule.miner, rule.threshold, None if rule.budget is None else Budget(rule.budget))


def _apply(rule: Rule, scores: Scores, draw: Draw) -> tuple[Verdict | None, Rule]:
    hardness = MINERS[rule.miner](scores, draw)
    if rule.budget is None:
        threshold = 1.0 if rule.threshold is None else rule.threshold
        reason = f"hardness {hardness:.3f} above {threshold:.3f}"
        return (Verdict(rule.miner, reason, hardness) if hardness > threshold else None), rule
    hard, budget = spend(rule.budget, hardness)
    reason = f"hardness {hardness:.3f} within the {budget.share:.0%} hardest"
    return (Verdict(rule.miner, reason, hardness) if hard else None), replace(rule, budget=budget)
