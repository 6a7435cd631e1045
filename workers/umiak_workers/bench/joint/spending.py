"""What answers cost: milliseconds by stage, CPU at either end, operations; and the same of many photos."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

STAGES = ("edge", "gate", "codec", "link", "cloud")
"""Edge model, choosing, writing what goes up, the way there and back, decoding and answering."""
AT_THE_EDGE = ("edge", "gate", "codec")
T = TypeVar("T")
Quantiles = dict[str, float]
"""mean, p50 and p95."""


@dataclass(frozen=True)
class Taken:
    """Milliseconds by the clock, and of CPU over all threads of this process."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(self.wall + other.wall, self.cpu + other.cpu)

    def __truediv__(self, parts: float) -> "Taken":
        return Taken(self.wall / parts, self.cpu / parts)


def timed(act: Callable[[], T]) -> tuple[T, Taken]:
    """(what it returns, what that took)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = act()
    return result, Taken(1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu))


@dataclass(frozen=True)
class Spent:
    """One photo under one budget: `stages` it went through, the link's as computed.

    `emulated` are the link's milliseconds as measured through an emulated one: 0 for a photo of the sample that stayed
    at the edge, None for photos outside of the sample. `macs`: multiply-accumulates, None where a graph does not tell.
    """

    stages: Mapping[str, Taken]
    emulated: float | None = None
    macs: int | None = None

    @property
    def computed(self) -> float:
        """Milliseconds of the whole answer over the computed link."""
        return sum(taken.wall for taken in self.stages.values())

    @property
    def carried(self) -> float | None:
        """The same over the emulated link."""
        link = self.stages.get("link", Taken()).wall
        return None if self.emulated is None else self.computed - link + self.emulated


@dataclass(frozen=True)
class Spending:
    """Many photos under one budget, per photo.

    `latency` and `deadline_hits` are those of the `carried` photos over the emulated link where there are any, else of
    all photos over the computed one; `computed` are the same figures of the same photos over the computed link.
    """

    latency: Quantiles
    deadline_hits: float
    computed: Quantiles
    computed_hits: float
    stages: Mapping[str, Quantiles]
    cpu_edge: float
    cpu_cloud: float
    """milliseconds"""
    macs: float | None
    carried: int

    def as_json(self) -> dict[str, object]:
        """Plain values; CPU in seconds, FLOPs as twice the multiply-accumulates."""
        return {
            "latency_ms": self.latency,
            "deadline_hits": round(self.deadline_hits, 4),
            "link": "emulated" if self.carried else "computed",
            "photos_timed_over_emulated_link": self.carried,
            "computed_latency_ms": self.computed,
            "computed_deadline_hits": round(self.computed_hits, 4),
            "stages_ms": dict(self.stages),
            "cpu_seconds": {
                "edge": round(self.cpu_edge / 1000, 6),
                "cloud": round(self.cpu_cloud / 1000, 6),
                "sum": round((self.cpu_edge + self.cpu_cloud) / 1000, 6),
            },
            "flops": None if self.macs is None else round(2 * self.macs),
        }


def spending(spent: Sequence[Spent], deadline: float) -> Spending:
    """The figures of at least one photo; `deadline` in milliseconds."""
    carried = [one for one in spent if one.carried is not None]
    shown = carried or spent
    computed = [one.computed for one in shown]
    final = [one.computed if one.carried is None else one.carried for one in shown]
    macs = [one.macs for one in spent if one.macs is not None]
    return Spending(
        latency=quantiles(final),
        deadline_hits=in_time(final, deadline),
        computed=quantiles(computed),
        computed_hits=in_time(computed, deadline),
        stages={stage: quantiles([_wall(one, stage) for one in shown]) for stage in STAGES},
        cpu_edge=_cpu(spent, AT_THE_EDGE),
        cpu_cloud=_cpu(spent, ("cloud",)),
        macs=float(np.mean(macs)) if len(macs) == len(spent) else None,
        carried=len(carried),
    )


def quantiles(values: Iterable[float]) -> Quantiles:
    """Mean, p50, p95 of at least one number, two digits."""
    found = np.fromiter(values, dtype=np.float64)
    p50, p95 = np.quantile(found, (0.5, 0.95))
    return {"mean": round(float(found.mean()), 2), "p50": round(float(p50), 2), "p95": round(float(p95), 2)}


def in_time(values: Sequence[float], deadline: float) -> float:
    """Share of answers that took at most `deadline`."""
    return float(np.mean([value <= deadline for value in values]))


def _wall(spent: Spent, stage: str) -> float:
    if stage == "link" and spent.emulated is not None:
        return spent.emulated
    return spent.stages.get(stage, Taken()).wall


def _cpu(spent: Sequence[Spent], stages: Sequence[str]) -> float:
    return float(np.mean([sum(one.stages.get(stage, Taken()).cpu for stage in stages) for one in spent]))
