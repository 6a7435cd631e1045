"""`umiak bench sam` as a person calls it, with tiny models."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[1]))

from sam_kit import make_tiny_sam

from umiak_workers.cli import bench as bench_command
from umiak_workers.contract.errors import ConfigError


@pytest.fixture(scope="module")
def options(tiny_model: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("bench")
    tiny_model(root / "edge")
    make_tiny_sam(root / "sam")
    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (root / "photos" / part).mkdir(parents=True)
    for index in range(9):
        label = np.zeros((24, 32), np.uint8)
        label[5 : 8 + index, 4:20] = 1
        image = label[..., None] * 120 + rng.integers(1, 60, (24, 32, 3))
        Image.fromarray(image.astype(np.uint8)).save(root / "photos" / "images" / f"{index}.png")
        Image.fromarray(label).save(root / "photos" / "labels" / f"{index}.png")
    uris = {"data": "photos", "edge": "edge", "sam": "sam"}
    return [part for name, folder in uris.items() for part in (f"--{name}", (root / folder).as_uri())]


def call(*arguments: str) -> str:
    result = CliRunner().invoke(bench_command.app, ["sam", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_figure_is_printed_and_written(options: list[str], tmp_path: Path) -> None:
    out = tmp_path / "sam.json"
    said = call(*options, "--labeller", "", "--grid", "2", "--grid", "3", "--quality", "0.1", "--json", str(out))
    for words in ("without masks", "grid 3x3", "points", "photos at once", "a photo seen before"):
        assert words in said
    found = json.loads(out.read_text())
    assert [row["way"] for row in found["prompting"]] == [
        "nothing",
        "areas",
        "doubt",
        "areas+doubt",
        "grid 2x2",
        "grid 3x3",
    ]
    assert {row["frames"] for row in found["prompting"]} == {9}
    assert found["prompting"][-1]["prompts"] == 9
    assert [batch["size"] for batch in found["encoding"]] == [1, 2, 4, 8]
    ((_, forms),) = found["masks"].items()
    assert set(forms) == {"point", "points", "box", "box+point"}
    assert set(found["models"]) == {"edge", "sam"}
    assert found["request"]["warm"]["sam_encode"] < found["request"]["cold"]["sam_encode"]


def test_a_grid_has_bounds_and_models_are_local(options: list[str]) -> None:
    with pytest.raises(ConfigError, match="1 to 64"):
        call(*options, "--labeller", "", "--grid", "65")
    with pytest.raises(ConfigError, match="expected a model folder, builtin:NAME or a file: URI"):
        call(*options, "--labeller", "https://models.example/a")
