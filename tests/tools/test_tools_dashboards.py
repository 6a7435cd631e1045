"""The dashboards in the tree are the generator's, every panel speaks of figures that exist, and nothing overlaps."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import dashboards  # noqa: E402
import local_prometheus  # noqa: E402
from dashboard_panels import BOARDS, Board, plain  # noqa: E402
from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: E402
from grafana_foundation_sdk.cog.plugins import register_default_plugins  # noqa: E402
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard  # noqa: E402

from umiak_workers.contract.world import ContainerStatus, PodStatus, World  # noqa: E402

SOURCES = (ROOT / "workers" / "umiak_workers", ROOT / "operators" / "umiak_operators")
SUFFIXES = re.compile(r"_(total|bucket|sum|count|info)$")
LARGEST_PICTURE = 150_000

register_default_plugins()
each_board = pytest.mark.parametrize("board", BOARDS, ids=[board.name for board in BOARDS])


def made(board: Board) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dashboards.dashboard_json(board))
    return found


@each_board
def test_the_committed_file_is_what_the_generator_writes(board: Board) -> None:
    file = dashboards.JSON_FOLDER / f"{board.name}.json"
    assert file.read_text() == dashboards.dashboard_json(board), "run tools/dashboards.py"


def test_nothing_else_lies_beside_them_and_the_page_has_every_panel() -> None:
    assert {file.name for file in dashboards.JSON_FOLDER.iterdir()} == {f"{board.name}.json" for board in BOARDS}
    page = dashboards.PAGE.read_text()
    assert page == dashboards.page_with_tables(page), "run tools/dashboards.py"
    assert all(f"| {panel.title} | {panel.says} |" in page for board in BOARDS for panel in board.panels)


@each_board
def test_each_dashboard_has_a_picture_that_is_small(board: Board) -> None:
    picture = dashboards.PICTURES / f"{board.name}.png"
    assert 5_000 < picture.stat().st_size < LARGEST_PICTURE


@each_board
def test_panels_have_queries_and_do_not_overlap(board: Board) -> None:
    panels = made(board)["panels"]
    assert [panel["title"] for panel in panels if panel["type"] != "row"] == [one.title for one in board.panels]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert all(target["expr"] for target in panel["targets"])
            assert panel["datasource"]["uid"] == "${datasource}"


@each_board
def test_the_file_is_read_back_as_grafana_s_own_model(board: Board) -> None:
    read = GrafanaDashboard.from_json(made(board))
    assert json.loads(JSONEncoder(sort_keys=True).encode(read)) == made(board)
    assert [variable.name for variable in read.templating.list_val] == ["datasource", "namespace", "resource"]


@each_board
def test_every_figure_of_a_panel_is_one_that_we_export(board: Board) -> None:
    said = "".join(file.read_text() for folder in SOURCES for file in folder.rglob("*.py"))
    for panel in board.panels:
        for query in panel.queries:
            found = re.findall(r"umiak_\w+", query.expr)
            assert found, panel.title
            for metric in found:
                assert f'"{SUFFIXES.sub("", metric)}"' in said, f"{panel.title}: nobody exports {metric}"


@each_board
def test_plain_queries_hold_nothing_of_grafana(board: Board) -> None:
    for panel in board.panels:
        assert "$" not in "".join(plain(query.expr, 30, 300) for query in panel.queries)


def test_a_local_world_is_scraped_with_the_labels_of_a_cluster() -> None:
    boxes = (
        ContainerStatus(name="router", address="http://127.0.0.1:20001"),
        ContainerStatus(name="agent"),
        ContainerStatus(name="broker", address="mqtt://127.0.0.1:20002"),
    )
    pod = PodStatus(name="p", component="edge", edge="edge-1", owner="JointInference/yard/gate", containers=boxes)
    found = local_prometheus.config(World(at=0, pid=1, pods=(pod,)), "127.0.0.1:9400", 0.5)
    assert found["global"] == {"scrape_interval": "500ms"}
    (job,) = found["scrape_configs"]
    assert job["honor_labels"] is True
    assert job["static_configs"] == [
        {
            "targets": ["127.0.0.1:20001"],
            "labels": {
                "component": "edge",
                "namespace": "yard",
                "resource": "gate",
                "edge": "edge-1",
                "container": "router",
            },
        },
        {"targets": ["127.0.0.1:9400"], "labels": {"component": "operator"}},
    ]
