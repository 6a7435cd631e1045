"""Which frames of a video are looked at when fewer are wanted than there are."""

import math


class Sampling:
    """At most `per_second` frames: the first one in each interval of a fixed grid. None: every frame.

    The same times give the same choice, so a file read again is numbered again as it was.
    """

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._last: int | None = None

    def wants(self, seconds: float) -> bool:
        """Whether the frame at this moment is wanted; moments may jump, also back."""
        if self._per_second is None:
            return True
        interval = math.floor(seconds * self._per_second + 1e-6)
        wanted = interval != self._last
        self._last = interval
        return wanted
