"""How long to wait before starting again: doubling, bounded, and forgiven after a good run. Pure."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Backoff:
    """Exponential back-off in seconds; a run that was good for at least `forgiven_after` starts it over."""

    first: float = 0.5
    most: float = 30.0
    forgiven_after: float = 20.0
    failures: int = 0

    def after(self, good_for: float) -> "tuple[float, Backoff]":
        """(seconds to wait, the next back-off) after a run that ended by itself, `good_for` seconds after it was ready
        (0: it never was)."""
        failures = 0 if good_for >= self.forgiven_after else self.failures
        return min(self.first * 2.0 ** min(failures, 32), self.most), replace(self, failures=failures + 1)
