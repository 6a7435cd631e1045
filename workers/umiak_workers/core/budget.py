"""A share of frames instead of a threshold: the hardest ones, as many as the share allows, while scores drift.

Two parts. A quantile over the last frames says which ones are the hardest. Credit keeps the share: every frame earns
`share`, every hard one costs 1, and what was over- or underspent is paid back over the next HORIZON frames by moving
the quantile. A proportional correction of one integrator cannot oscillate; a quantile alone is wrong for as long as
scores drift. Credit is bounded on both sides (at the upper bound a frame is hard whatever its score, at the lower one
none is), so after n frames the hard ones are share * n, give or take `bound`, whatever the scores do.
"""

from dataclasses import dataclass, replace

WINDOW = 256
"""frames that the quantile looks back on"""
HORIZON = 40
"""frames over which over- and underspending is paid back"""
BOUND = 15
"""frames of income that credit or debt may reach"""
FEWEST = 16
"""frames before the quantile is believed; until then credit alone decides"""


@dataclass(frozen=True)
class Budget:
    """A share in [0, 1], the hardness of recent frames (oldest first) and the credit in frames."""

    share: float
    window: tuple[float, ...] = ()
    credit: float = 0.0

    @property
    def bound(self) -> float:
        """Largest credit or debt in frames."""
        return max(1.0, self.share * BOUND)


def spend(budget: Budget, hardness: float) -> tuple[bool, Budget]:
    """(whether a frame of this hardness in [0, 1] is among the hardest, the budget after it)."""
    if budget.share in (0.0, 1.0):
        return budget.share == 1.0, budget
    credit = budget.credit + budget.share
    target = min(1.0, max(0.0, budget.share + credit / HORIZON))
    hard = credit >= budget.bound or (
        credit > 1 - budget.bound and _among_hardest(budget.window, hardness, target, credit)
    )
    window = (*budget.window, hardness)[-WINDOW:]
    return hard, replace(budget, window=window, credit=credit - hard)


def _among_hardest(window: tuple[float, ...], hardness: float, share: float, credit: float) -> bool:
    """Above the (1 - share) quantile; ties with it are decided by credit, so that equal scores still keep the share."""
    if len(window) < FEWEST:
        return credit >= 1
    rank = int((1 - share) * len(window))
    if rank >= len(window):
        return False
    limit = sorted(window)[rank]
    return hardness > limit or (hardness == limit and credit >= 1)
