"""`umiak train appeal`: the head is taught by what the cloud says of photos that came through the codec."""

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from umiak_workers.adapters.artefacts import builtin_folder, load_model
from umiak_workers.cli import train
from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.sample import walk
from umiak_workers.datasets.source import open_dataset
from umiak_workers.predictors.onnx import OnnxSegmenter

SHORT = "--folds 2 --edge-epochs 1 --cloud-epochs 1 --steps 3 --threads 1"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("yard")
    for part in ("images", "labels"):
        (folder / part).mkdir()
    for number, sample in enumerate(walk(open_dataset("yard:day?seed=9&frames=4&shot=1"))):
        assert sample.label is not None
        Image.fromarray(sample.image).save(folder / "images" / f"{number}.jpg", quality=90)
        Image.fromarray(sample.label).save(folder / "labels" / f"{number}.png")
    return folder


def call(data: Path, out: Path, *more: str) -> str:
    told = ["appeal", "--data", str(data), "--edge", "builtin:yard-edge", "--cloud", "builtin:yard-edge"]
    result = CliRunner().invoke(train.app, [*told, "--out", str(out), *SHORT.split(), *more], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_head_is_added_and_everything_else_stays_what_it_was(data: Path, tmp_path: Path) -> None:
    said = call(data, tmp_path / "gate", "--light", "any", "--labels", "labeller", "--codec", "JPEG", "--quality", "30")
    assert "the cloud mends" in said
    model = load_model(tmp_path / "gate")
    made = model.card.made_by
    assert all(word in made for word in ("--light any", "--labels labeller", "--codec JPEG", "--quality 30"))
    assert model.card.outputs.appeal == "appeal"
    photo = next(iter(walk(open_dataset("yard:day?seed=3&frames=1"))))
    (before, after) = (
        OnnxSegmenter(one, 1).predict(photo.image) for one in (load_model(builtin_folder("yard-edge")), model)
    )
    assert (before.labels == after.labels).all()
    assert after.appeal is not None
    assert -1 <= float(after.appeal.min()) <= float(after.appeal.max()) <= 1


def test_photos_too_few_for_the_folds_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="4 photos are too few for 3 folds"):
        call(data, tmp_path / "gate", "--folds", "3")
