"""`umiak bench codec` as a person calls it: smaller files lose more, and faster ones are larger."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from umiak_workers.cli import bench as bench_command
from umiak_workers.contract.errors import ConfigError

YARD = "yard:day?seed=701&frames=2&shot=1"


def call(*arguments: str) -> str:
    result = CliRunner().invoke(bench_command.app, ["codec", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_way_to_write_is_measured_on_the_same_photos(tmp_path: Path) -> None:
    out = tmp_path / "codec.json"
    said = call("--data", YARD, "--quality", "3", "--quality", "60", "--rate", "2", "--json", str(out))
    assert "in total at 2 Mbit/s" in said
    untouched, *rows = json.loads(out.read_text())["rows"]
    assert untouched["codec"] is None
    found = {(row["codec"], row["quality"]): row for row in rows}
    assert len(found) == 12
    for codec in {row["codec"] for row in rows}:
        worse, better = found[codec, 3], found[codec, 60]
        assert worse["bytes"] < better["bytes"] / 2
        assert worse["miou"]["labeller"] < better["miou"]["labeller"] < untouched["miou"]["labeller"] + 0.02
    fast, small = found["WebP, method 0", 60], found["WebP, method 4", 60]
    assert small["bytes"] < fast["bytes"]
    for row in rows:
        assert row["ms"] == pytest.approx(row["write_ms"] + row["bytes"] * 8 / 2000 + row["read_ms"], abs=0.02)
        low, high = row["lost"][1:]
        assert low <= row["lost"][0] <= high


def test_models_of_other_classes_are_not_compared(tiny_model: Callable[..., str], tmp_path: Path) -> None:
    tiny_model(tmp_path / "tiny")
    with pytest.raises(ConfigError, match="--cloud: tiny has other classes than yard-edge"):
        call("--data", YARD, "--cloud", str(tmp_path / "tiny"))
