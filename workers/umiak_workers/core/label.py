"""Giving class-agnostic masks their labels: the fusion of a promptable segmenter with a labelling model.

Seed 001, 3.2: masks are sharp but have no class, pixel scores have classes but blurred borders; so the pixels inside a
mask vote, and the mask takes the class that wins. Masks overlap: small ones are painted over large ones.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from umiak_workers.core.masks import VOID, lead

Vote = Literal["probability", "logits", "majority"]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Rule:
    """Which masks may speak and how their pixels vote.

    `minimum_area` in pixels; `margin` the share of the vote (0..1) by which the winner must lead; `minimum_quality` the
    segmenter's own predicted IoU; `certain` the probability (0..1) above which a pixel keeps its own label against any
    mask (1: never).
    """

    vote: Vote
    minimum_area: int
    margin: float
    minimum_quality: float
    certain: float


@dataclass(frozen=True)
class Labelled:
    """`labels` HxW uint8 (VOID = no opinion), `probability` HxW float32 of those labels, `masks` how many were used."""

    labels: NDArray[np.uint8]
    probability: Floats
    masks: int


def mean_probability(labels: NDArray[np.uint8], probability: Floats) -> float:
    """Mean probability (0..1) of the pixels that have a label; 0 where none has."""
    opinion = labels != VOID
    return float(np.clip(probability[opinion].mean(dtype=np.float64), 0, 1)) if opinion.any() else 0.0


def softmax(logits: Floats) -> Floats:
    """Probabilities over the first axis; not-a-number where a pixel's logits are not finite."""
    finite = np.isfinite(logits).all(axis=0)
    safe = np.where(finite, logits, np.float32(0))
    powers = np.exp(safe - safe.max(axis=0))
    shares: Floats = np.where(finite, powers / powers.sum(axis=0), np.float32(np.nan)).astype(np.float32)
    return shares


def together(first: Floats, second: Floats) -> Floats:
    """Logits of the mean of two predictions' probabilities; both CxHxW float32."""
    mean = (softmax(first) + softmax(second)) / 2
    both: Floats = np.log(np.maximum(mean, np.float32(1e-9)))
    return both


def label_masks(logits: Floats, masks: Bools, quality: Floats, rule: Rule) -> Labelled:
    """Label every pixel from `logits` (CxHxW) and, where a mask (NxHxW, `quality` N) wins a vote, from the mask.

    A mask keeps the pixels' own labels when none of its pixels has finite scores, when it is smaller, worse or less
    decided than `rule` asks, or when the vote is a tie. A pixel without finite scores that no mask covers is VOID.
    """
    probability = softmax(logits)
    own = probability.max(axis=0)
    voters = np.isfinite(own)
    labels = np.where(voters, np.argmax(np.where(voters, probability, 0), axis=0), VOID).astype(np.uint8)
    firm = voters & (own > rule.certain)
    certainty = np.where(voters, own, np.float32(0)).astype(np.float32)
    areas = masks.sum(axis=(1, 2))
    usable = np.flatnonzero((areas >= max(rule.minimum_area, 1)) & (quality >= rule.minimum_quality))
    used = 0
    for shares, mask in _votes(
        _ballot(logits, probability, voters, rule.vote), voters, masks, areas, usable, rule.vote
    ):
        ahead = float(lead(shares))
        if not (ahead > 0 and ahead >= rule.margin):
            continue
        painted = mask & ~firm
        winner = int(np.argmax(shares))
        labels[painted], certainty[painted] = winner, shares[winner]
        used += 1
    return Labelled(labels, certainty, used)


def _ballot(logits: Floats, probability: Floats, voters: Bools, vote: Vote) -> Floats:
    """What each pixel throws into the vote: CxHxW, zero where it has none."""
    if vote == "majority":
        classes = np.arange(len(probability)).reshape(-1, 1, 1)
        best = np.argmax(np.where(voters, probability, 0), axis=0)
        return np.asarray((best == classes) & voters, dtype=np.float32)
    return np.where(voters, probability if vote == "probability" else logits, np.float32(0))


def _votes(
    ballot: Floats, voters: Bools, masks: Bools, areas: NDArray[np.integer], usable: NDArray[np.integer], vote: Vote
) -> list[tuple[Floats, Bools]]:
    """(shares of the vote C, mask) of each usable mask somebody votes in, largest first."""
    order = usable[np.argsort(-areas[usable], kind="stable")]
    flat = masks[order].reshape(len(order), voters.size).astype(np.float32)
    counts = flat @ voters.reshape(-1).astype(np.float32)
    sums = flat @ ballot.reshape(len(ballot), voters.size).T
    found = []
    for index, count, total in zip(order, counts, sums, strict=True):
        if count > 0:
            mean = total / count
            found.append((softmax(mean) if vote == "logits" else mean, masks[index]))
    return found
