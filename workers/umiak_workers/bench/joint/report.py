"""What `umiak bench joint` found: one result, what follows from it, and its JSON."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from umiak_workers.bench.joint.cloud import Labelling
from umiak_workers.bench.joint.curve import Point, area_fraction, gain_kept
from umiak_workers.bench.joint.link import Uploads
from umiak_workers.bench.joint.masked import Masked
from umiak_workers.bench.joint.resources import Resources
from umiak_workers.bench.joint.routers import Kind
from umiak_workers.bench.joint.spending import Spending
from umiak_workers.core.metrics import Counts, block_bootstrap, block_bootstrap_difference, class_iou, mean_iou
from umiak_workers.core.metrics import pixel_accuracy as accuracy
from umiak_workers.datasets.sample import sequence_of

BUDGET = 0.3
"""Share of cloud-only's bytes at which routers are compared."""
TIGHT = (0.1, 0.05)
"""Smaller shares that the table shows too."""
BLOCK = 10


@dataclass(frozen=True)
class Labels:
    """What confusion counts say, photo by photo: in the words of every row that has labels."""

    classes: tuple[str, ...]
    names: list[str]

    def as_json(self, counts: tuple[Counts, ...]) -> dict[str, object]:
        """IoU per class (of those that occur) and mIoU per sequence."""
        per_class = zip(self.classes, class_iou(np.sum(counts, axis=0)).tolist(), strict=True)
        return {
            "classes": {name: round(value, 6) for name, value in per_class if value == value},
            "sequences": {name: round(value, 6) for name, value in _sequences(counts, self.names)},
        }


@dataclass(frozen=True)
class Alone:
    """One model that answers every photo by itself; `bytes` uploaded per photo."""

    name: str
    counts: tuple[Counts, ...]
    bytes: float
    spending: Spending
    resources: Resources

    @property
    def miou(self) -> float:
        """Over all photos."""
        return mean_iou(np.sum(self.counts, axis=0))

    @property
    def pixel_accuracy(self) -> float:
        """Over all photos."""
        return accuracy(np.sum(self.counts, axis=0))

    def ends(self, seed: int) -> tuple[float, float]:
        """95 % of the mIoU."""
        return block_bootstrap(self.counts, min(BLOCK, len(self.counts)), seed)

    def as_json(self, labels: Labels, seed: int) -> dict[str, object]:
        """mIoU with its interval, per class and per sequence, and what it costs."""
        low, high = self.ends(seed)
        return {
            "name": self.name,
            "miou": round(self.miou, 6),
            "low": round(low, 6),
            "high": round(high, 6),
            "pixel_accuracy": round(self.pixel_accuracy, 6),
            **labels.as_json(self.counts),
            "bytes": round(self.bytes, 1),
            **self.spending.as_json(),
            **self.resources.as_json(),
        }


@dataclass(frozen=True)
class Routed:
    """One router's curve."""

    name: str
    kind: Kind
    points: tuple[Point, ...]
    gate_milliseconds: float
    """Of CPU, per photo: on a busy machine the clock would say more of the others."""

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
    masked: tuple[Masked, ...]
    uploads: tuple[Uploads, ...]
    """What really went over an emulated link; empty where the link is computed alone."""
    link: str
    """What it is, in words: emulated or computed, and for which photos."""
    settings: dict[str, object]
    seed: int

    @property
    def edge(self) -> Alone:
        """The edge model whose photos are routed."""
        return self.edges[0]

    @property
    def way(self) -> str:
        """What latencies are measured or reckoned over."""
        return "emulated" if self.uploads else "computed"

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

    def at_budget(self, routed: Routed) -> Point:
        """The point of its curve whose bytes are nearest to BUDGET of cloud-only's."""
        return min(routed.points, key=lambda point: abs(point.bytes - BUDGET * self.cloud.bytes))

    def _nothing(self) -> Point:
        """Nothing uploaded."""
        edge = self.edge
        return Point(0.0, 0.0, edge.miou, edge.miou, edge.miou, edge.pixel_accuracy, edge.spending)

    def as_json(self) -> dict[str, object]:
        """The file that `--json` writes."""
        labels = Labels(self.classes, self.names)
        return {
            "data": self.data,
            "frames": len(self.names),
            "settings": self.settings,
            "edge_only": self.edge.as_json(labels, self.seed),
            "edges": [edge.as_json(labels, self.seed) for edge in self.edges],
            "cloud_only": self.cloud.as_json(labels, self.seed),
            "gains": [
                dict(zip(("edge", "gain", "low", "high"), (edge.name, *_rounded(self.gain(edge))), strict=True))
                for edge in self.edges
            ],
            "link": {"said": self.link, "uploads": [kind.as_json() for kind in self.uploads]},
            "miners": [self._routed_json(routed, labels) for routed in self.routed],
            "fusion": [row.as_json() for row in self.labellings] + [row.as_json() for row in self.masked],
        }

    def _routed_json(self, routed: Routed, labels: Labels) -> dict[str, object]:
        spending = self.at_budget(routed).spending
        return {
            "name": routed.name,
            "chooses": routed.kind,
            "curve": [_point_json(point, labels) for point in routed.points],
            "oracle_area_fraction": _number(self.area(routed)),
            "gain_kept": _number(self.kept(routed)),
            "gain_kept_at": {f"{share:g}": _number(self.kept(routed, share)) for share in TIGHT},
            "gate_ms": round(routed.gate_milliseconds, 4),
            **spending.as_json(),
        }


def _point_json(point: Point, labels: Labels) -> dict[str, object]:
    figures = ("upload_fraction", "bytes", "miou", "low", "high", "pixel_accuracy")
    return {
        **{name: round(getattr(point, name), 6) for name in figures},
        **labels.as_json(point.counts),
        **point.spending.as_json(),
    }


def _number(value: float) -> float | None:
    """Four digits; None where there is no number, which JSON does not know."""
    return round(value, 4) if value == value else None


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(value, 6) for value in values)


def _sequences(counts: tuple[Counts, ...], names: list[str]) -> Iterator[tuple[str, float]]:
    keys = [sequence_of(name) for name in names]
    for key in dict.fromkeys(keys):
        mine = [count for count, other in zip(counts, keys, strict=True) if other == key]
        yield key, mean_iou(np.sum(mine, axis=0))
