"""`umiak model int8` as a person calls it."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from umiak_workers.adapters.artefacts import builtin_folder, load_model
from umiak_workers.cli import model as model_command
from umiak_workers.contract.errors import ArtefactError, ConfigError, UmiakError
from umiak_workers.predictors.onnx import OnnxSegmenter

PHOTOS = "yard:day?seed=5&frames=4&shot=1"


def call(*arguments: str) -> str:
    """The command's output on one line; its own errors come through."""
    result = CliRunner().invoke(model_command.app, ["int8", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", result.output).split())


def test_a_line_of_its_own_is_written_and_says_where_it_comes_from(tmp_path: Path) -> None:
    base = load_model(builtin_folder("yard-edge"))
    said = call("builtin:yard-edge", "--calibrate", PHOTOS, "--out", str(tmp_path / "small"), "--frames", "3")
    model = load_model(tmp_path / "small")
    assert model.digest in said
    assert "yard-edge-int8: weights" in said
    OnnxSegmenter(model, threads=1).check_golden()
    assert base.digest in model.card.made_by
    assert "3 photos" in model.card.made_by
    assert PHOTOS in model.card.made_by


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["builtin:nobody", "--calibrate", PHOTOS], ArtefactError, "no built-in model is called 'nobody'"),
        (["https://models/one", "--calibrate", PHOTOS], ConfigError, "expected a model folder, builtin:NAME"),
        (["builtin:yard-sam", "--calibrate", PHOTOS], ArtefactError, "yard-sam: task is promptable-segmentation"),
        (["builtin:yard-edge", "--calibrate", "nowhere"], ConfigError, "--calibrate: nowhere: a data folder holds"),
        (["builtin:yard-edge", "--calibrate", "yard:noon"], ConfigError, "--calibrate: yard:noon: light is one of"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, arguments: list[str], error: type[UmiakError], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call(*arguments, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--out: .* exists already"):
        call("builtin:yard-edge", "--calibrate", PHOTOS, "--out", str(tmp_path))
