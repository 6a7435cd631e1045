"""`umiak train segmentation --leave-one-sequence-out`, on drives of which one holds a class that no other shows."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.cli import train
from umiak_workers.cli.holdout import FIGURES, Fold, Holdout
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.metrics import block_bootstrap, mean_iou

CLASSES = ("dark", "bright", "blue")
COLOURS = np.array([[50, 50, 50], [210, 210, 210], [20, 20, 200]])
SIZES = "--height 48 --width 64 --channels 4 --decoder 8 --epochs 14 --batch 2 --learning-rate 0.01 --threads 1"


def photos(folder: Path, drives: dict[str, tuple[int, ...]], each: int = 5) -> Path:
    """Stripes of the classes that a drive shows, named DRIVE_NUMBER."""
    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for drive, shown in drives.items():
        for number in range(each):
            cuts = np.linspace(0, 64, len(shown) + 1).round().astype(int) + rng.integers(-4, 5)
            label = np.array(shown, np.uint8)[np.searchsorted(cuts[1:-1], np.arange(64))][None].repeat(48, axis=0)
            image = COLOURS[label] + rng.integers(0, 30, (48, 64, 3))
            Image.fromarray(image.astype(np.uint8)).save(folder / "images" / f"{drive}_{number:02}.png")
            Image.fromarray(label).save(folder / "labels" / f"{drive}_{number:02}.png")
    legend = {"classes": list(CLASSES), "licence": "CC0-1.0", "source": "made by a test"}
    (folder / "legend.yaml").write_text(yaml.safe_dump(legend))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp("data") / "photos", {"One": (0, 1), "two": (1, 0), "three": (0, 2, 1)})


@pytest.fixture(scope="module")
def folds(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(a finished run's folder, what it printed)."""
    out = tmp_path_factory.mktemp("done") / "folds"
    return out, call(data, out).output


def call(data: Path, out: Path, *more: str) -> Result:
    told = ["segmentation", "--data", str(data), "--out", str(out), "--leave-one-sequence-out", *SIZES.split(), *more]
    return CliRunner().invoke(train.app, told, catch_exceptions=False, env={"COLUMNS": "160"})


def figures(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / FIGURES).read_text())
    return found


def never(*_: object) -> None:
    raise AssertionError("this was to be trained no more")


def test_each_sequence_is_answered_by_what_the_others_taught(folds: tuple[Path, str]) -> None:
    out, printed = folds
    found = figures(out)
    by_name = {fold["sequence"]: fold for fold in found["sequences"]}
    assert list(by_name) == ["One", "three", "two"]
    assert [(fold["photos"], fold["learnt_from"]) for fold in by_name.values()] == [(5, 10)] * 3
    assert min(by_name["One"]["miou"], by_name["two"]["miou"]) > 0.8
    assert by_name["three"]["classes"]["blue"] == 0  # nobody showed it that class
    assert by_name["three"]["miou"] < 0.7
    assert "blue" not in by_name["One"]["classes"]
    mean = found["mean"]
    assert mean["miou"] == pytest.approx(np.mean([fold["miou"] for fold in by_name.values()]), abs=1e-5)
    assert mean["standard_deviation"] > 0.05
    assert mean["classes"]["blue"] == 0
    assert mean["classes"]["dark"] == pytest.approx(np.mean([f["classes"]["dark"] for f in by_name.values()]), abs=1e-5)
    for name, fold in by_name.items():
        assert fold["low"] <= fold["miou"] <= fold["high"]
        assert load_model(out / f"without-{name}").digest == fold["model"]
        assert f"{fold['miou']:.4f}" in printed
    card = load_model(out / "without-three").card
    assert "--leave-one-sequence-out (without three: 10 of 15 photos)" in card.made_by
    assert card.metrics == {"miou[sequence three]": pytest.approx(by_name["three"]["miou"], abs=1e-4)}


def test_folds_that_are_done_are_not_trained_again(
    data: Path, folds: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "folds"
    shutil.copytree(folds[0], out)
    found = figures(out)
    shutil.rmtree(out / "without-two")  # as if the run had been cut off before its last fold was done
    trained = []
    monkeypatch.setattr(train, "run", lambda fold, folder, _, run=train.run: trained.append(run(fold, folder, 1)))
    assert "without-One: fold 1 of 3, made already" in call(data, out).output
    assert len(trained) == 1
    assert figures(out) == found  # to the last digit: the fold was made again from nothing but its seed
    monkeypatch.setattr(train, "run", never)
    call(data, out)
    assert figures(out) == found
    with pytest.raises(ConfigError, match=r"without-One: was made by .* choose another --out"):
        call(data, out, "--seed", "2")


def test_folds_go_on_from_folds_that_left_out_the_same(tmp_path: Path) -> None:
    town, short, longer = (tmp_path / name for name in ("town", "short", "longer"))
    photos(town / "train", {"a": (0, 1), "b": (1, 0)}, each=3)
    photos(town / "val", {"c": (0, 1)}, each=3)
    brief = ("--legend", str(town / "train" / "legend.yaml"), "--epochs", "1")
    call(town, short, *brief)
    assert [fold["sequence"] for fold in figures(short)["sequences"]] == ["a", "b"]  # val/ is no part of it
    with pytest.raises(ConfigError, match="--start: say --standardise or --no-standardise"):
        call(town, longer, *brief, "--start", str(short))
    brief = (*brief, "--standardise")
    call(town, longer, *brief, "--start", str(short), "--resume", str(tmp_path / "saved"))
    assert figures(longer)["sequences"][0]["miou"] != figures(short)["sequences"][0]["miou"]
    assert load_model(longer / "without-a").card.made_by.count("(without a: 3 of 6 photos)") == 2
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["without-a", "without-b"]
    for wrong in (str(short / "without-a"), "builtin:yard-edge"):  # has seen the photos, or nobody knows
        with pytest.raises(ConfigError, match="--start: with --leave-one-sequence-out"):
            call(town, tmp_path / "no", *brief, "--start", wrong)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("drives", "said"),
    [
        ({"only": (0, 1)}, r"have 1 \(only\)"),
        ({f"p{n}": (0, 1) for n in range(33)}, r"have 33 \(p0, p10, p11, \.\.\.\)"),
    ],
)
def test_photos_of_one_sequence_or_of_too_many_are_refused(
    drives: dict[str, tuple[int, ...]], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        call(photos(tmp_path / "photos", drives, each=1), tmp_path / "folds")


def test_options_that_contradict_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--val: with --leave-one-sequence-out"):
        call(data, tmp_path / "folds", "--val", str(data))
    model = tmp_path / "folds"
    model.mkdir()
    (model / "manifest.json").write_text("{}")
    with pytest.raises(ConfigError, match="is a model"):
        call(data, model)


def test_the_interval_is_that_of_blocks_and_a_single_fold_has_no_spread() -> None:
    rng = np.random.default_rng(1)
    counts = tuple(rng.integers(1, 50, (2, 3)).astype(np.int64) for _ in range(23))
    fold = Fold("a", 10, "sha256:0", counts, seed=3)
    assert fold.interval() == block_bootstrap(counts, 10, 3)
    alone = Holdout("a test", ("x", "y"), 3, (fold,))
    assert alone.mean() == mean_iou(np.sum(counts, axis=0))
    assert alone.as_json()["mean"]["standard_deviation"] is None  # type: ignore[index]
