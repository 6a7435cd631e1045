"""What a calibration is: knots of a rising line from a miner's hardness to the gain that asking the cloud promises.

Fitted and applied in `core/calibration.py`; written in a JointInference, so both sides check it by the same words.
"""

from itertools import pairwise
from typing import Annotated

from pydantic import Field

MOST_KNOTS = 32
Unit = Annotated[float, Field(ge=0, le=1)]
Knot = Annotated[tuple[Unit, ...], Field(min_length=2, max_length=2)]
"""(hardness, expected gain); a pair, said as bounds because an API server's schema knows no other pair."""
Knots = Annotated[tuple[Knot, ...], Field(min_length=1, max_length=MOST_KNOTS)]


def check_rising(knots: Knots) -> Knots:
    """The knots; raises ValueError unless hardness rises from knot to knot and the expected gain never falls."""
    for (before, low), (after, high) in pairwise(knots):
        if after <= before or high < low:
            raise ValueError("hardness must rise from knot to knot and the expected gain must not fall")
    return knots
