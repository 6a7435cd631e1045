"""How long to wait before trying again: doubling, bounded, with jitter so that a fleet does not come back at once."""

from collections.abc import Callable


def delay(failures: int, shortest: float, longest: float, draw: Callable[[], float]) -> float:
    """Seconds before the next try after `failures` failures in a row (1 is the first).

    Between half and all of `min(longest, shortest * 2**(failures - 1))`; `draw` gives a number in [0, 1).
    """
    full = min(longest, shortest * 2.0 ** min(max(failures - 1, 0), 64))
    return full * (0.5 + 0.5 * draw())
