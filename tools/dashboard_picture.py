"""Draw a dashboard's panels with matplotlib from what a Prometheus knows, by the dashboard's own queries.

Not a screenshot of Grafana: the same figures, plainly drawn, for readers of the docs.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import matplotlib

matplotlib.use("Agg")

from dashboard_panels import Board, Panel, Query, plain
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

COLUMNS = 3
STEPS = 120
LONGEST_NAME = 34
COLOURS = 240
"""of the picture's palette, so that it stays small"""
TIMEOUT = 30.0
UNITS = {
    "s": "s",
    "percentunit": "share",
    "Bps": "bytes/s",
    "bytes": "bytes",
    "reqps": "1/s",
    "ops": "1/s",
    "short": "",
}


@dataclass(frozen=True)
class Look:
    """Which Prometheus, until when and how many seconds back, and the seconds of a rate's window."""

    url: str
    seconds: float
    window: int
    end: float
    """seconds since the epoch"""

    @property
    def step(self) -> float:
        """Seconds between two points."""
        return max(1.0, self.seconds / STEPS)


@dataclass(frozen=True)
class Series:
    """One line: its name and points (seconds since the epoch, value)."""

    name: str
    labels: dict[str, str]
    points: list[tuple[float, float]]


def fetch(look: Look, query: Query) -> list[Series]:
    """The query's series over time; raises httpx.HTTPError with what Prometheus said."""
    asked: dict[str, str | float] = {
        "query": plain(query.expr, look.window, int(look.seconds)),
        "start": look.end - look.seconds,
        "end": look.end,
        "step": look.step,
    }
    answer = httpx.get(f"{look.url}/api/v1/query_range", params=asked, timeout=TIMEOUT, trust_env=False)
    answer.raise_for_status()
    return [_series(query, one) for one in answer.json()["data"]["result"]]


def _series(query: Query, found: dict[str, Any]) -> Series:
    labels: dict[str, str] = found["metric"]
    name = re.sub(r"\{\{(\w+)\}\}", lambda part: labels.get(part[1], ""), query.legend)
    points = [(float(moment), float(value)) for moment, value in found["values"]]
    return Series(name, labels, [(moment, value) for moment, value in points if value == value])


def draw(board: Board, look: Look, to: Path) -> None:
    """Write one picture of all panels."""
    down = -(-len(board.panels) // COLUMNS)
    figure = Figure(figsize=(4.4 * COLUMNS, 2.6 * down), dpi=80, layout="constrained")
    figure.suptitle(f"{board.title} (drawn with matplotlib from a local run)", fontsize=13)
    cells = figure.subplots(down, COLUMNS, squeeze=False).flatten()
    for cell, panel in zip(cells, board.panels, strict=False):
        draw_panel(cell, panel, [one for query in panel.queries for one in fetch(look, query)], look)
    for cell in cells[len(board.panels) :]:
        cell.set_axis_off()
    figure.savefig(to)
    with Image.open(to) as drawn:
        drawn.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(to, optimize=True)


def draw_panel(cell: Axes, panel: Panel, found: list[Series], look: Look) -> None:
    """One panel: lines, one large figure, or a list of labels."""
    cell.set_title(panel.title, fontsize=9)
    if panel.kind == "timeseries":
        draw_lines(cell, panel, found, look.end)
        return
    cell.set_axis_off()
    found = [one for one in found if one.points and one.points[-1][0] > look.end - 2 * look.step]
    if panel.kind == "stat":
        text = "\n".join(f"{one.points[-1][1]:,.0f} {one.name}" for one in found)
        cell.text(0.5, 0.5, text, ha="center", va="center", fontsize=18)
    else:
        text = "\n".join(" ".join(value[:LONGEST_NAME] for value in one.labels.values()) for one in found)
        cell.text(0.0, 0.95, text, ha="left", va="top", fontsize=9, family="monospace")


def draw_lines(cell: Axes, panel: Panel, found: list[Series], now: float) -> None:
    """Values against minutes before `now`."""
    for one in found:
        moments = [(moment - now) / 60 for moment, _ in one.points]
        cell.plot(moments, [value for _, value in one.points], linewidth=1, label=one.name[:LONGEST_NAME])
    cell.set_xlabel("minutes", fontsize=8)
    cell.set_ylabel(UNITS.get(panel.unit, panel.unit), fontsize=8)
    cell.tick_params(labelsize=8)
    cell.grid(alpha=0.3)
    if not panel.signed:
        cell.set_ylim(bottom=0)
    if found:
        cell.legend(fontsize=7, loc="upper left", framealpha=0.6)
