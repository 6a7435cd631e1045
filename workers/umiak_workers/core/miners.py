"""How hard a frame looks: one function per miner, from what the edge model says of its own answer.

Each gives a hardness in [0, 1], 0 for a frame that needs nobody else, or None where the model does not say what the
miner goes by: such a frame it does not judge. They are kept apart from `judge`, which knows thresholds and budgets but
no model. Miners that go by boxes are in `box_miners`: their rules say more than a threshold.
"""

import math
from collections.abc import Callable

from umiak_workers.contract.messages import Scores

Draw = Callable[[], float]
"""A number in [0, 1), from a generator that the caller seeded."""
Hardness = Callable[[Scores, Draw], float | None]


def relative_entropy(scores: Scores) -> float:
    """Mean entropy of a pixel as a share of the most that so many classes allow.

    The edge server says nats and the number of classes, and the division is done here, so that the record of an answer
    keeps the figure as it was measured. Clipped at 1: a score that does not say its classes counts as a choice of two.
    """
    return min(1.0, scores.entropy / math.log(scores.classes))


def expected_appeal(scores: Scores) -> float | None:
    """The gain that the model's appeal head expects for the photo (seed 001, 3.3.2), None for a model without one.

    It is a gain already, so a threshold on it needs no calibration; one below 0 (the cloud would spoil more than it
    mends) is 0, whatever its size: nobody needs to ask.
    """
    return None if scores.appeal is None else max(0.0, scores.appeal)


MINERS: dict[str, Hardness] = {
    "ScoreMargin": lambda scores, draw: 1 - scores.margin,  # seed 001, 3.3.1: a small mean margin is a hard frame
    "MaxProbability": lambda scores, draw: 1 - scores.max_probability,
    "Entropy": lambda scores, draw: relative_entropy(scores),
    "AppealHead": lambda scores, draw: expected_appeal(scores),
    "Random": lambda scores, draw: draw(),
    "EdgeOnly": lambda scores, draw: 0.0,
    "CloudOnly": lambda scores, draw: 1.0,
}
