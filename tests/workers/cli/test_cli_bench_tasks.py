"""`umiak bench classification | detection | keypoints` as a person calls them: what asking is worth."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from umiak_workers.cli import bench as bench_command
from umiak_workers.cli import bench_classification, bench_detection, bench_keypoints
from umiak_workers.contract.errors import ConfigError

CLASSES = (
    "classification",
    "builtin:yard-watch-edge",
    "builtin:yard-watch-cloud",
    "yard:dusk?seed=701&frames=5&shot=1",
)
BOXES = ("detection", "builtin:yard-detector-edge", "builtin:yard-detector-cloud", "yard:dusk?seed=701&frames=4&shot=1")
JOINTS = (
    "keypoints",
    "builtin:figure-keypoints-edge",
    "builtin:figure-keypoints-cloud",
    "figures:dusk?seed=701&frames=9",
)


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """`measured(command, edge, cloud, data, *options)`: the columns of the JSON, by name."""
    for module in (bench_classification, bench_detection, bench_keypoints):
        monkeypatch.setattr(module, "console", Console(width=200))  # the heads of columns on one line each

    def call(command: str, edge: str, cloud: str, data: str, *options: str) -> dict[str, Any]:
        out = tmp_path / "out.json"
        words = [command, edge, cloud, "--data", data, "--json", str(out), *options]
        result = CliRunner().invoke(bench_command.app, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(out.read_text())["models"]
        assert all(name in result.output for name in found)
        return found

    return call


@pytest.mark.parametrize("what", [CLASSES, BOXES, JOINTS], ids=lambda what: what[0])
def test_hard_photos_get_the_clouds_answer_and_others_keep_their_own(
    measured: Callable[..., dict[str, Any]], what: tuple[str, ...]
) -> None:
    edge, cloud = (name.removeprefix("builtin:") for name in what[1:3])
    everything = measured(*what, "--miner", "CloudOnly")
    assert list(everything) == [edge, cloud, "both, fused", "of hard ones (100%) the cloud's"]
    assert everything["of hard ones (100%) the cloud's"] == everything[cloud]
    nothing = measured(*what, "--miner", "EdgeOnly")
    assert nothing["of hard ones (0%) the cloud's"] == nothing[edge] == everything[edge]
    assert everything[cloud]["values"][-1] > everything[edge]["values"][-1]  # at dusk, which the edge has not seen


def test_a_budget_asks_about_its_share(measured: Callable[..., dict[str, Any]]) -> None:
    found = measured(*CLASSES, "--miner", "ScoreMargin", "--budget", "0.5")
    asked = next(name for name in found if name.startswith("of hard ones"))
    assert 35 <= int(asked.partition("(")[2].partition("%")[0]) <= 65


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--threshold", "0.5"], "--miner: say which rule"),
        (["--miner", "ScoreMargin"], "--miner ScoreMargin: "),
        (["--miner", "IBT", "--threshold", "0.5"], "nothing_found"),
    ],
)
def test_a_rule_that_no_resource_takes_is_refused(
    measured: Callable[..., dict[str, Any]], options: list[str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        measured(*BOXES, *options)


def test_a_rule_needs_somebody_to_ask() -> None:
    words = [*BOXES[:2], "--data", BOXES[3], "--miner", "CloudOnly"]
    with pytest.raises(ConfigError, match="name one after the edge model"):
        CliRunner().invoke(bench_command.app, words, catch_exceptions=False)


def test_data_that_are_nowhere_are_refused(measured: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is neither a folder of classes nor an archive"):
        measured(*CLASSES[:3], str(tmp_path / "nowhere"))
