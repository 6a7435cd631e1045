"""What is hard: a chain of rules, each one idea, over the gate scores that the edge server sent with its answer.

A rule turns scores into a hardness in [0, 1] and calls the frame hard above a threshold or, with a budget of frames,
bytes or money, as often as that allows. A calibration turns hardness into expected gain before a threshold sees it. The
first rule that calls a frame hard decides; later rules do not see it.
"""

from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from umiak_workers.contract.calibration import Knots
from umiak_workers.contract.config import MinerRule
from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.messages import LiveRule, LiveSettings, Scores
from umiak_workers.contract.wire import explain
from umiak_workers.core.box_miners import BOX_MINERS
from umiak_workers.core.budget import (
    Allowance,
    Budget,
    Upload,
    bytes_per_second,
    cost_per_hour,
    reallowed,
    settle,
    share_of_frames,
    spend,
)
from umiak_workers.core.calibration import expected_gain
from umiak_workers.core.miners import MINERS, Draw

_FIXED = {"EdgeOnly": 1.0, "CloudOnly": 0.0}
"""Thresholds of the two miners that take none: never above, always above."""


@dataclass(frozen=True)
class Verdict:
    """Why a frame is hard: the rule's miner, one line for a person, the hardness in [0, 1].

    `place` is that of the rule in the chain and `charged` what its budget, if it has one, took for the frame.
    """

    rule: str
    reason: str
    hardness: float
    place: int = field(default=0, compare=False)
    charged: Upload | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Rule:
    """One link of the chain; exactly one of `threshold` and `budget` is set, `calibration` only beside a threshold.

    `nothing_found` and `certain` are of the miners that go by boxes.
    """

    miner: str
    kind: str
    threshold: float | None = None
    calibration: Knots | None = None
    budget: Budget | None = None
    nothing_found: float | None = None
    certain: float | None = None


@dataclass(frozen=True)
class Judge:
    """The chain and what its budgets remember."""

    rules: tuple[Rule, ...]


def new_judge(rules: tuple[MinerRule, ...]) -> Judge:
    """A judge that has seen nothing yet."""
    return Judge(tuple(_rule(rule) for rule in rules))


def judge(state: Judge, scores: Scores, upload: Upload, draw: Draw) -> tuple[Verdict | None, Judge]:
    """(why the frame is hard or None, the judge that saw it); `upload` is what sending it is expected to cost.

    A rule whose miner cannot tell how hard these scores are neither calls the frame hard nor remembers it.
    """
    rules = list(state.rules)
    for index, rule in enumerate(rules):
        verdict, rules[index] = _apply(rule, scores, upload, draw)
        if verdict:
            return replace(verdict, place=index, charged=upload if rule.budget else None), Judge(tuple(rules))
    return None, Judge(tuple(rules))


def unjudged(state: Judge, scores: Scores) -> tuple[str, ...]:
    """The miners of the chain that cannot tell how hard these scores are, in order."""
    return tuple(rule.miner for rule in state.rules if _hardness(rule, scores, lambda: 0.0) is None)


def settled(state: Judge, verdict: Verdict, sent: Upload) -> Judge:
    """The judge once it is known what a frame that it called hard really took, at the prices of now."""
    rule = state.rules[verdict.place]
    if rule.budget is None or verdict.charged is None:
        return state
    rules = list(state.rules)
    rules[verdict.place] = replace(rule, budget=settle(rule.budget, verdict.charged, sent))
    return Judge(tuple(rules))


def retuned(state: Judge, settings: LiveSettings) -> Judge:
    """The judge under live settings; what a budget remembers is kept when only its number changes.

    Settings for another chain (other miners, or another kind of number) change nothing: the pod is about to be
    replaced. Raises MessageError for a number that no config would take.
    """
    wanted = settings.rules
    if not wanted and len(state.rules) == 1 and (settings.threshold is not None or settings.budget is not None):
        wanted = (_first(state.rules[0], settings),)
    if [rule.miner for rule in wanted] != [rule.miner for rule in state.rules]:
        return state
    new = [_live(rule) for rule in wanted]
    if [rule.kind for rule in new] != [rule.kind for rule in state.rules]:
        return state
    return Judge(tuple(_remembering(old, rule) for old, rule in zip(state.rules, new, strict=True)))


def _first(rule: Rule, settings: LiveSettings) -> LiveRule:
    """The only rule under settings of a hub that says two numbers and no rules."""
    return LiveRule(
        miner=rule.miner,
        threshold=settings.threshold,
        budget=settings.budget,
        nothing_found=rule.nothing_found,
        certain=rule.certain,
    )


def _live(live: LiveRule) -> Rule:
    try:
        return _rule(MinerRule.model_validate(live.model_dump()))
    except ValidationError as error:
        raise MessageError(f"live settings: {live.miner}: {explain(error)}") from error


def _remembering(old: Rule, new: Rule) -> Rule:
    if old.budget and new.budget:
        return replace(new, budget=reallowed(old.budget, new.budget.allowance))
    return new


def _rule(rule: MinerRule) -> Rule:
    if rule.miner in _FIXED:
        return Rule(rule.miner, "plain", _FIXED[rule.miner])
    allowance = _allowance(rule)
    budget = Budget(allowance) if allowance else None
    numbers = (rule.threshold, rule.calibration, budget, rule.nothing_found, rule.certain)
    return Rule(rule.miner, rule.kind, *numbers)


def _allowance(rule: MinerRule) -> Allowance | None:
    if rule.budget is not None:
        return share_of_frames(rule.budget)
    if rule.bytes_per_second is not None:
        return bytes_per_second(rule.bytes_per_second)
    if rule.cost is not None:
        return cost_per_hour(rule.cost.per_hour, rule.cost.per_upload, rule.cost.per_megabyte)
    return None


def _apply(rule: Rule, scores: Scores, upload: Upload, draw: Draw) -> tuple[Verdict | None, Rule]:
    hardness = _hardness(rule, scores, draw)
    if hardness is None:
        return None, rule
    if rule.budget is None:
        return _above(rule, hardness), rule
    hard, budget = spend(rule.budget, hardness, upload)
    reason = f"hardness {hardness:.3f} {budget.allowance.words}"
    return (Verdict(rule.miner, reason, hardness) if hard else None), replace(rule, budget=budget)


def _hardness(rule: Rule, scores: Scores, draw: Draw) -> float | None:
    """In [0, 1]; None where the scores do not say what the miner goes by."""
    if rule.miner not in BOX_MINERS:
        return MINERS[rule.miner](scores, draw)
    if scores.confidences is None or rule.nothing_found is None:
        return None
    return BOX_MINERS[rule.miner](scores.confidences, rule.certain or 0.0, rule.nothing_found)


def _above(rule: Rule, hardness: float) -> Verdict | None:
    threshold = 1.0 if rule.threshold is None else rule.threshold
    if rule.calibration is None:
        reason = f"hardness {hardness:.3f} above {threshold:.3f}"
        return Verdict(rule.miner, reason, hardness) if hardness > threshold else None
    gain = expected_gain(rule.calibration, hardness)
    reason = f"expected gain {gain:.3f} of hardness {hardness:.3f} above {threshold:.3f}"
    return Verdict(rule.miner, reason, hardness) if gain > threshold else None
