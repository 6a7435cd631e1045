"""A circuit breaker: once the other side has failed a few times in a row, nobody waits for it until a probe succeeds.

Pure: time is passed in, each step returns the next state.
"""

from dataclasses import dataclass, replace

FAILURES = 2
"""in a row, before the breaker opens"""


@dataclass(frozen=True)
class Breaker:
    """Closed while `failures` < FAILURES. Open until `again_at` (monotonic seconds), then one probe may pass."""

    shortest: float
    longest: float
    """Seconds that the breaker stays open: doubled with every failed probe, within these."""
    failures: int = 0
    again_at: float = 0.0
    probing: bool = False

    @property
    def closed(self) -> bool:
        """Whether everybody may pass."""
        return self.failures < FAILURES

    def passes(self, now: float) -> tuple[bool, "Breaker"]:
        """(whether this call may go out, the breaker after it): when open, one call at a time once it is due."""
        if self.closed:
            return True, self
        if self.probing or now < self.again_at:
            return False, self
        return True, replace(self, probing=True)

    def failed(self, now: float) -> "Breaker":
        """One call did not reach the other side."""
        failures = min(self.failures + 1, 64)
        wait = min(self.longest, self.shortest * 2.0 ** max(0, failures - FAILURES))
        return replace(self, failures=failures, again_at=now + wait, probing=False)

    def succeeded(self) -> "Breaker":
        """One call was answered."""
        return replace(self, failures=0, again_at=0.0, probing=False)

    def abandoned(self) -> "Breaker":
        """A call that passed was given up before anything was known."""
        return replace(self, probing=False)
