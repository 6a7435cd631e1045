#!/usr/bin/env python3
"""Write the Grafana dashboards of the chart, their tables in the docs, and pictures of their panels.

`tools/dashboards.py` writes `charts/umiak/dashboards/*.json` and the tables of `docs/howto/dashboards.md`.
`tools/dashboards.py --picture http://127.0.0.1:9090` draws every panel from what that Prometheus knows, by the same
queries and with matplotlib (not Grafana), into `docs/dashboards/*.png`.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

from dashboard_panels import BOARDS, Board, Panel, Query
from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

ROOT = Path(__file__).resolve().parents[1]
JSON_FOLDER = ROOT / "charts" / "umiak" / "dashboards"
PAGE = ROOT / "docs" / "howto" / "dashboards.md"
PICTURES = ROOT / "docs" / "dashboards"
BEGIN, END = "<!-- panels: written by tools/dashboards.py -->", "<!-- panels end -->"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
NAMED = '__name__=~"umiak_fleet_models|umiak_learning_fresh_samples",namespace=~"$namespace"'
"""One series for each JointInference and each LifelongLearning."""
HEIGHT = 8
SHORT_HEIGHT = 4
PanelBuilder = timeseries.Panel | stat.Panel | table.Panel


def dashboard_json(board: Board) -> str:
    """One dashboard as Grafana imports it."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(f"umiak-{board.name}")
        .description(board.says)
        .tags(["umiak"])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(choice("namespace", "label_values(umiak_fleet_edges, namespace)"))
        .with_variable(choice("resource", f"label_values({{{NAMED}}}, resource)"))
    )
    number = itertools.count(1)
    for row in board.rows:
        made.with_row(dashboard.Row(row.title).id(next(number)))
        for panel in row.panels:
            made.with_panel(panel_of(panel).id(next(number)))
    return json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def choice(name: str, query: str) -> dashboard.QueryVariable:
    """A variable with every value that Prometheus knows, all of them at first."""
    return (
        dashboard.QueryVariable(name)
        .query(query)
        .datasource(SOURCE)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text="All", value="$__all"))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def panel_of(panel: Panel) -> PanelBuilder:
    """One panel with its queries."""
    makers: dict[str, Callable[[Panel], PanelBuilder]] = {"timeseries": lines, "stat": figure, "table": rows}
    made = makers[panel.kind](panel)
    made.title(panel.title).description(panel.says).datasource(SOURCE).span(panel.width)
    made.height(SHORT_HEIGHT if panel.kind == "stat" else HEIGHT)
    for letter, query in zip("ABCDEF", panel.queries, strict=False):
        made.with_target(target(panel, query).ref_id(letter))
    return made


def target(panel: Panel, query: Query) -> prometheus.Dataquery:
    """One query: over time, or only now for a table."""
    made = prometheus.Dataquery().expr(query.expr).datasource(SOURCE)
    if panel.kind == "table":
        return made.instant().format(PromQueryFormat.TABLE)
    return made.range().legend_format(query.legend)


def lines(panel: Panel) -> timeseries.Panel:
    """Values over time."""
    legend = common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
    made = (
        timeseries.Panel()
        .unit(panel.unit)
        .line_width(1)
        .fill_opacity(20 if panel.stacked else 5)
        .legend(legend.placement(LegendPlacement.BOTTOM))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if not panel.signed:
        made.min(0)
    return made.stacking(common.StackingConfig().mode(StackingMode.NORMAL)) if panel.stacked else made


def figure(panel: Panel) -> stat.Panel:
    """The newest value, large."""
    steps = [Threshold(value=None, color="green")]
    if panel.alarm is not None:
        steps.append(Threshold(value=panel.alarm, color="red"))
    return (
        stat.Panel()
        .unit(panel.unit)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    )


def rows(panel: Panel) -> table.Panel:
    """The labels of what is there now."""
    hidden = {"excludeByName": {"Time": True, "Value": True}}
    return (
        table.Panel()
        .unit(panel.unit)
        .show_header(True)
        .with_transformation(DataTransformerConfig(id_val="organize", options=hidden))
    )


def panel_tables() -> str:
    """What each panel means, as Markdown."""
    parts = [BEGIN]
    for board in BOARDS:
        parts += ["", f"### {board.title.removeprefix('Umiak: ').capitalize()}", "", board.says, ""]
        parts += [f"![Panels of this dashboard, drawn with matplotlib](../dashboards/{board.name}.png)", ""]
        parts += ["| Panel | What it shows |", "|---|---|"]
        parts += [f"| {panel.title} | {panel.says} |" for panel in board.panels]
    return "\n".join([*parts, "", END])


def page_with_tables(page: str) -> str:
    """The page with its tables of panels as they are now."""
    before, _, rest = page.partition(BEGIN)
    if not rest or END not in rest:
        raise SystemExit(f"{PAGE}: the lines {BEGIN!r} and {END!r} are not there")
    return before + panel_tables() + rest.partition(END)[2]


def write() -> None:
    """Write every generated file."""
    JSON_FOLDER.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        (JSON_FOLDER / f"{board.name}.json").write_text(dashboard_json(board))
    PAGE.write_text(page_with_tables(PAGE.read_text()))


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", metavar="URL", help="draw the panels from this Prometheus")
    parser.add_argument("--minutes", type=float, default=5, help="how far back a picture looks (default: 5)")
    parser.add_argument("--window", type=int, default=30, help="seconds of $__rate_interval in a picture (default: 30)")
    parser.add_argument("--out", type=Path, default=PICTURES, help="folder of the pictures")
    given = parser.parse_args()
    if given.picture is None:
        write()
        return
    from dashboard_picture import Look, draw

    given.out.mkdir(parents=True, exist_ok=True)
    look = Look(given.picture, given.minutes * 60, given.window, time.time())
    for board in BOARDS:
        draw(board, look, given.out / f"{board.name}.png")


if __name__ == "__main__":
    main()
