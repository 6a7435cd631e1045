"""`umiak train classification`: it learns what it is shown, repeats from its seed, and says what it cannot do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.cli.model import show
from umiak_workers.cli.train import app
from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.classified import read_parts
from umiak_workers.predictors.classification import OnnxClassifier

SMALL = ["--height", "16", "--width", "24", "--stages", "2", "--channels", "4", "--threads", "1", "--batch", "8"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reddish and bluish noise, 20 of each."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(5)
    for kind, channel in (("blue", 2), ("red", 0)):
        (root / kind).mkdir()
        for number in range(20):
            pixels = rng.integers(0, 160, (20, 30, 3), dtype=np.uint8)
            pixels[:, :, channel] += 90
            Image.fromarray(pixels).save(root / kind / f"{number:02}.png")
    return root


def train(*words: object) -> str:
    done = CliRunner().invoke(app, ["classification", *map(str, words), *SMALL])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_it_learns_what_it_is_shown_and_repeats(photos: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    told = train("--data", photos, "--out", tmp_path / "colours", "--epochs", "8", "--seed", "3")
    assert "every fifth" in told
    train("--data", photos, "--out", tmp_path / "again" / "colours", "--epochs", "8", "--seed", "3")
    first, second = (load_model(tmp_path / name) for name in ("colours", "again/colours"))
    assert first.digest == second.digest
    card = first.card
    assert (card.task, card.classes, card.name) == ("image-classification", ("blue", "red"), "colours")
    (accuracy,) = card.metrics.values()
    assert accuracy >= 0.9
    assert "--epochs 8" in card.made_by
    assert "--seed 3" in card.made_by
    model, samples = OnnxClassifier(first, 1), read_parts(photos)[""]
    model.check_golden()
    right = [model.predict(samples[index].image).label == samples.classes[samples[index].kind] for index in range(40)]
    assert np.mean(right) >= 0.9
    untrained = tmp_path / "untrained"
    train("--data", photos, "--out", untrained, "--epochs", "1", "--learning-rate", "1e-9")
    (chance,) = load_model(untrained).card.metrics.values()
    assert chance < accuracy


def test_a_run_goes_on_from_where_it_was_saved(photos: Path, tmp_path: Path) -> None:
    saved = ("--data", photos, "--resume", tmp_path / "saved", "--epochs")
    assert "8 steps, 2.0 epochs" in train("--out", tmp_path / "half" / "colours", *saved, "2")
    assert "16 steps, 4.0 epochs" in train("--out", tmp_path / "whole" / "colours", *saved, "4")
    assert "16 steps, 4.0 epochs" in train("--out", tmp_path / "again" / "colours", *saved, "4")
    whole, again = (load_model(tmp_path / name / "colours") for name in ("whole", "again"))
    assert whole.digest == again.digest != load_model(tmp_path / "half" / "colours").digest
    with pytest.raises(ConfigError, match="a run with other settings"):
        train("--out", tmp_path / "other", *saved, "4", "--seed", "9")


def test_its_model_can_be_shown(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--data", photos, "--out", tmp_path / "colours", "--epochs", "1", "--val", photos)
    show(str(tmp_path / "colours"))
    assert "image-classification" in capsys.readouterr().out


def test_windows_of_a_yard_are_learnt_from(tmp_path: Path) -> None:
    train("--data", "yard:day?seed=1&frames=2&shot=1", "--out", tmp_path / "watch", "--epochs", "1")
    card = load_model(tmp_path / "watch").card
    assert card.classes == ("nobody", "person", "vehicle", "both")
    assert card.licence == "Apache-2.0"


def test_what_cannot_be_done_is_said(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigError, match="never overwritten"):
        train("--data", photos, "--out", tmp_path / "there")
    other = tmp_path / "other"
    for kind in ("cat", "dog"):
        (other / kind).mkdir(parents=True)
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(other / kind / "1.png")
    with pytest.raises(ConfigError, match="has classes cat, dog"):
        train("--data", photos, "--val", other, "--out", tmp_path / "new")
    with pytest.raises(ConfigError, match="too few to hold any back"):
        train("--data", other, "--out", tmp_path / "new")
