"""Where the milliseconds of one answer went."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("wait", "decode", "edge", "labeller", "sam_encode", "sam_decode", "vote", "encode", "store")
"""wait: for a turn. Stages that did not happen are absent from an answer."""


class Stages:
    """Milliseconds by stage of one request; a stage that happens twice is added up."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count what happens inside."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, (time.perf_counter() - begun) * 1000)

    def add(self, stage: str, milliseconds: float) -> None:
        """Count some more of a stage."""
        self.milliseconds[stage] = round(self.milliseconds.get(stage, 0.0) + milliseconds, 3)
