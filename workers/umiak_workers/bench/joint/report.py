"""What `umiak bench joint` says: one result, as a table, as JSON and as a plot."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from umiak_workers.bench.joint.cloud import Labelling
from umiak_workers.bench.joint.curve import Point, area_fraction, at_bytes, gain_kept
from umiak_workers.bench.joint.routers import Kind
from umiak_workers.core.metrics import Counts, block_bootstrap, block_bootstrap_difference, class_iou, mean_iou
from umiak_workers.core.metrics import pixel_accuracy as accuracy

BUDGET = 0.3
"""Share of cloud-only's bytes at which routers are compared."""
TIGHT = (0.1, 0.05)
"""Smaller shares that the table shows too."""
BLOCK = 10


@dataclass(frozen=True)
class Alone:
    """One model that answers every photo by itself."""

    name: str
    counts: tuple[Counts, ...]
    bytes: float
    latency: dict[str, float]
    deadline_hits: float

    @property
    def miou(self) -> float:
        """Over all photos."""
        return mean_iou(np.sum(self.counts, axis=0))

    def as_json(self, classes: tuple[str, ...], names: list[str], seed: int) -> dict[str, object]:
        """mIoU with its interval, per class and per sequence."""
        low, high = block_bootstrap(self.counts, min(BLOCK, len(self.counts)), seed)
        total = np.sum(self.counts, axis=0)
        per_class = zip(classes, class_iou(total).tolist(), strict=True)
        return {
            "name": self.name,
            "miou": round(self.miou, 6),
            "low": round(low, 6),
            "high": round(high, 6),
            "pixel_accuracy": round(accuracy(total), 6),
            "classes": {name: round(value, 6) for name, value in per_class if value == value},
            "sequences": {name: round(value, 6) for name, value in _sequences(self.counts, names)},
            "bytes": round(self.bytes, 1),
            "latency_ms": self.latency,
            "deadline_hits": round(self.deadline_hits, 4),
        }


@dataclass(frozen=True)
class Routed:
    """One router's curve."""

    name: str
    kind: Kind
    points: tuple[Point, ...]
    gate_milliseconds: float

    @property
    def title(self) -> str:
        """Its name and what it chooses."""
        return f"{self.name}, {self.kind}"


@dataclass(frozen=True)
class Result:
    """Everything one run found. The first of `edges` is the one whose photos are routed."""

    data: str
    classes: tuple[str, ...]
    names: list[str]
    edges: tuple[Alone, ...]
    cloud: Alone
    routed: tuple[Routed, ...]
    labellings: tuple[Labelling, ...]
    settings: dict[str, object]
    seed: int

    @property
    def edge(self) -> Alone:
        """The edge model whose photos are routed."""
        return self.edges[0]

    def gain(self, edge: Alone) -> tuple[float, float, float]:
        """mIoU that asking the cloud about everything adds to an edge model, with its 95 % ends."""
        block = min(BLOCK, len(edge.counts))
        low, high = block_bootstrap_difference(edge.counts, self.cloud.counts, block, self.seed)
        return self.cloud.miou - edge.miou, low, high

    def kept(self, routed: Routed, budget: float = BUDGET) -> float:
        """Share of the gain kept at this share of cloud-only's bytes; below a curve's first point nothing is asked."""
        points = (self._nothing(), *routed.points)
        return gain_kept(points, budget * self.cloud.bytes, self.edge.miou, self.cloud.miou)

    def area(self, routed: Routed) -> float:
        """Where its curve lies between random and the oracle that choose the same kind of thing; NaN without such."""
        peers = {peer.name: peer.points for peer in self.routed if peer.kind == routed.kind}
        if not {"Random", "Oracle"} <= set(peers):
            return float("nan")
        return area_fraction(routed.points, peers["Random"], peers["Oracle"])

    def _nothing(self) -> Point:
        """Nothing uploaded."""
        miou, late = self.edge.miou, self.edge.latency
        return Point(0.0, 0.0, miou, miou, miou, miou, late, self.edge.deadline_hits)

    def as_json(self) -> dict[str, object]:
        """The file that `--json` writes."""
        return {
            "data": self.data,
            "frames": len(self.names),
            "settings": self.settings,
            "edge_only": self.edge.as_json(self.classes, self.names, self.seed),
            "edges": [edge.as_json(self.classes, self.names, self.seed) for edge in self.edges],
            "cloud_only": self.cloud.as_json(self.classes, self.names, self.seed),
            "gains": [
                dict(zip(("edge", "gain", "low", "high"), (edge.name, *_rounded(self.gain(edge))), strict=True))
                for edge in self.edges
            ],
            "miners": [self._routed_json(routed) for routed in self.routed],
            "fusion": [labelling.as_json() for labelling in self.labellings],
        }

    def _routed_json(self, routed: Routed) -> dict[str, object]:
        middle = min(routed.points, key=lambda point: abs(point.bytes - BUDGET * self.cloud.bytes))
        return {
            "name": routed.name,
            "chooses": routed.kind,
            "curve": [point.as_json() for point in routed.points],
            "oracle_area_fraction": _number(self.area(routed)),
            "gain_kept": _number(self.kept(routed)),
            "gain_kept_at": {f"{share:g}": _number(self.kept(routed, share)) for share in TIGHT},
            "gate_ms": round(routed.gate_milliseconds, 4),
            "latency_ms": middle.latency,
            "deadline_hits": round(middle.deadline_hits, 4),
        }


def _number(value: float) -> float | None:
    """Four digits; None where there is no number, which JSON does not know."""
    return round(value, 4) if value == value else None


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(value, 6) for value in values)


def _sequences(counts: tuple[Counts, ...], names: list[str]) -> Iterator[tuple[str, float]]:
    """mIoU of photos that share what comes before the first `_` or `-` of their names."""
    keys = [name.replace("-", "_").partition("_")[0] for name in names]
    for key in dict.fromkeys(keys):
        mine = [count for count, other in zip(counts, keys, strict=True) if other == key]
        yield key, mean_iou(np.sum(mine, axis=0))


def tables(result: Result) -> tuple[Table, ...]:
    """Everything that is printed, in order."""
    return models_table(result), labellings_table(result), routers_table(result), classes_table(result)


def models_table(result: Result) -> Table:
    """Each model alone."""
    table = Table("alone", "mIoU", "95 %", "pixels right", "bytes up", "ms p50 / p95", "in time", "gain of the cloud")
    for alone in (*result.edges, result.cloud):
        facts = alone.as_json(result.classes, result.names, result.seed)
        gain = "" if alone is result.cloud else "{:+.4f} [{:+.4f} {:+.4f}]".format(*result.gain(alone))
        table.add_row(
            alone.name,
            f"{alone.miou:.4f}",
            f"{facts['low']:.4f} {facts['high']:.4f}",
            f"{facts['pixel_accuracy']:.4f}",
            f"{alone.bytes:.0f}",
            f"{alone.latency['p50']:.0f} / {alone.latency['p95']:.0f}",
            f"{alone.deadline_hits:.0%}",
            gain,
        )
    return table


def routers_table(result: Result) -> Table:
    """Each router at BUDGET of cloud-only's bytes, and its curve as a whole."""
    budget = BUDGET * result.cloud.bytes
    title = f"routed; mIoU and latency at {budget:.0f} bytes per photo, {BUDGET:.0%} of cloud-only's"
    kept = [f"kept at {share:.0%}" for share in (BUDGET, *TIGHT)]
    table = Table("router", "chooses", "mIoU", *kept, "area to oracle", "gate ms", "ms mean / p95", title=title)
    for routed in result.routed:
        middle = min(routed.points, key=lambda point: abs(point.bytes - budget))
        table.add_row(
            routed.name,
            routed.kind,
            f"{at_bytes(routed.points, budget):.4f}",
            *(f"{result.kept(routed, share):.0%}" for share in (BUDGET, *TIGHT)),
            "-" if math.isnan(result.area(routed)) else f"{result.area(routed):.2f}",
            f"{routed.gate_milliseconds:.2f}",
            f"{middle.latency['mean']:.0f} / {middle.latency['p95']:.0f}",
        )
    return table


def labellings_table(result: Result) -> Table:
    """How the cloud labels whole photos, one way beside the other."""
    table = Table("the cloud labels by the scores of", "photos", "mIoU")
    for labelling in result.labellings:
        who = {"both": "both models"}.get(labelling.labels, f"the {labelling.labels}")
        photos = "as they came" if labelling.quality is None else f"WebP quality {labelling.quality}"
        table.add_row(who, photos, f"{labelling.miou:.4f}")
    return table


def classes_table(result: Result) -> Table:
    """IoU per class of every model alone."""
    table = Table("class", *(alone.name for alone in (*result.edges, result.cloud)))
    rows = [class_iou(np.sum(alone.counts, axis=0)) for alone in (*result.edges, result.cloud)]
    for index, name in enumerate(result.classes):
        values = [float(row[index]) for row in rows]
        table.add_row(name, *(f"{value:.4f}" if value == value else "-" for value in values))
    return table


def plot(result: Result, out: Path) -> None:
    """mIoU against bytes per photo, a line per router, as PNG."""
    import matplotlib  # an extra: only plots need it

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    for number, routed in enumerate(result.routed):
        points = sorted(routed.points, key=lambda point: point.bytes)
        style = {"Random": ":", "Oracle": "--"}.get(routed.name, "-")
        marker = {"frames": "o", "regions": "s", "quality": "D"}[routed.kind]
        kilobytes = [point.bytes / 1000 for point in points]
        axes.plot(
            kilobytes,
            [point.miou for point in points],
            style,
            marker=marker,
            markersize=4,
            color=f"C{number % 10}",
            label=routed.title,
        )
    axes.axhline(result.edge.miou, color="grey", linewidth=0.8)
    axes.axhline(result.cloud.miou, color="grey", linewidth=0.8)
    axes.text(0, result.edge.miou, " edge alone", va="bottom", color="grey", fontsize=8)
    axes.text(0, result.cloud.miou, " cloud alone", va="bottom", color="grey", fontsize=8)
    axes.axvline(BUDGET * result.cloud.bytes / 1000, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="kB uploaded per photo", ylabel="mIoU", title=f"{result.data}: {len(result.names)} photos")
    axes.legend(fontsize=8, ncols=2)
    figure.savefig(out, dpi=110)
    pyplot.close(figure)


def alone_from(name: str, counts: tuple[Counts, ...], size: float, times: list[float], deadline: float) -> Alone:
    """One model's answers; `size` bytes uploaded per photo, `times` in milliseconds per photo, all stages."""
    late = np.array(times)
    return Alone(
        name=name,
        counts=counts,
        bytes=size,
        latency={
            "mean": round(float(late.mean()), 2),
            "p50": round(float(np.quantile(late, 0.5)), 2),
            "p95": round(float(np.quantile(late, 0.95)), 2),
        },
        deadline_hits=float((late <= deadline).mean()),
    )
