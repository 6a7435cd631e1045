"""Counters over a fleet: what edges and Jobs said since this hub started, per resource and never per edge.

Each edge says running totals. Their sum would fall whenever an edge leaves or loses its state volume, which Prometheus
takes for a restart and counts everything twice. So the growth between two words of one edge is added up instead.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from umiak_workers.contract.messages import LATENCY_SECONDS, Latency, Reason, RouterState

OTHER: Reason = "Other"
REASONS: tuple[str, ...] = tuple(reason for reason in get_args(Reason) if reason != OTHER)
"""Reasons that this hub does not know (an edge may be newer, or lie) share one label."""
ROUTES = ("edge", "cloud")
_BUCKETS = len(LATENCY_SECONDS) + 1


@dataclass
class Spread:
    """Answer times of one route: cumulative counts per bucket, and the sum of seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    seconds: float = 0.0

    def add(self, before: Latency | None, now: Latency) -> None:
        """The growth from one word to the next; buckets of another make are left out."""
        if len(now.counts) != _BUCKETS:
            return
        if before is None or len(before.counts) != _BUCKETS or before.counts[-1] > now.counts[-1]:
            before = Latency(counts=(0,) * _BUCKETS, seconds=0.0)
        grown = zip(now.counts, before.counts, strict=True)
        self.counts = [held + max(0, new - old) for held, (new, old) in zip(self.counts, grown, strict=True)]
        self.seconds += max(0.0, now.seconds - before.seconds)


@dataclass
class Totals:
    """What was counted of one resource."""

    frames: Counter[str] = field(default_factory=Counter)
    """reason -> final answers"""
    bytes: Counter[str] = field(default_factory=Counter)
    """`up`, `down` -> bytes between edges and cloud"""
    dropped: int = 0
    latency: dict[str, Spread] = field(default_factory=lambda: {route: Spread() for route in ROUTES})
    rounds: Counter[str] = field(default_factory=Counter)
    """outcome -> training rounds"""
    video_dropped: int = 0

    def add(self, before: RouterState | None, now: RouterState) -> None:
        """The growth between two words of one router."""
        old: Mapping[str, int] = before.by_reason if before else {}
        for reason, count in now.by_reason.items():
            self.frames[reason if reason in REASONS else OTHER] += growth(old.get(reason, 0), count)
        self.bytes["up"] += growth(before.bytes_up if before else 0, now.bytes_up)
        self.bytes["down"] += growth(before.bytes_down if before else 0, now.bytes_down)
        self.dropped += growth(before.dropped if before else 0, now.dropped)
        self.video_dropped += growth(before.video_dropped if before else 0, now.video_dropped)
        for route in ROUTES:
            if said := now.latency.get(route):
                self.latency[route].add(before.latency.get(route) if before else None, said)


def growth(before: int, now: int) -> int:
    """How much a running total grew; one that fell began again at nothing."""
    return now - before if now >= before else now


class Tally:
    """Totals of every resource, for as long as this process lives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Totals] = {}

    def said(self, namespace: str, resource: str, before: RouterState | None, now: RouterState) -> None:
        """A router spoke; `before` is what it had said last."""
        with self._lock:
            self._of(namespace, resource).add(before, now)

    def round_done(self, namespace: str, resource: str, outcome: str) -> None:
        """A round was reported for the first time."""
        with self._lock:
            self._of(namespace, resource).rounds[outcome] += 1

    def read(self, namespace: str, resource: str) -> Totals:
        """A copy of what was counted of one resource."""
        with self._lock:
            held = self._of(namespace, resource)
            spreads = {route: Spread(list(one.counts), one.seconds) for route, one in held.latency.items()}
            frames, moved, rounds = (Counter(one) for one in (held.frames, held.bytes, held.rounds))
            return Totals(frames, moved, held.dropped, spreads, rounds, held.video_dropped)

    def keep(self, named: set[tuple[str, str]]) -> None:
        """Forget every resource that is not among these (namespace, name)."""
        with self._lock:
            for key in self._known.keys() - named:
                del self._known[key]

    def _of(self, namespace: str, resource: str) -> Totals:
        return self._known.setdefault((namespace, resource), Totals())
