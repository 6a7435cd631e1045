"""`umiak model import-sam` as a person calls it, on a file of the official layout."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from umiak_workers.adapters.artefacts import load_model  # noqa: E402
from umiak_workers.cli import model as model_command  # noqa: E402
from umiak_workers.contract.errors import ArtefactError, ConfigError  # noqa: E402
from umiak_workers.core.masks import Prompt  # noqa: E402
from umiak_workers.models.sam_parts import sam_model_registry  # noqa: E402
from umiak_workers.predictors.sam import load_sam  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "sam_vit_b_01ec64.pth"
    torch.manual_seed(3)
    torch.save(reduced().state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def small_vit_b(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sam_model_registry, "vit_b", lambda checkpoint=None: reduced())


def reduced() -> Any:
    """The published layout with a narrow image encoder of two layers, by the package's own builder."""
    builder: Any = sys.modules["segment_anything.build_sam"]
    return builder._build_sam(32, 2, 2, [1])


def call(*arguments: str) -> str:
    result = CliRunner().invoke(model_command.app, ["import-sam", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_checkpoint_becomes_a_model_that_a_cloud_worker_can_load(checkpoint: Path, tmp_path: Path) -> None:
    said = call(str(checkpoint), "--type", "vit_b", "--out", str(tmp_path / "vit-b"))
    model = load_model(tmp_path / "vit-b")
    assert model.digest in said.replace("\n", "")
    card = model.card
    assert (card.name, card.task, card.classes) == ("vit-b", "promptable-segmentation", ())
    assert card.architecture is not None
    assert card.architecture.config == {"variant": "vit_b"}
    assert "as stated by" in card.licence
    assert card.data[0].name == "SA-1B"
    assert hashlib.sha256(checkpoint.read_bytes()).hexdigest() in card.made_by
    assert str(checkpoint.parent) not in card.made_by
    segmenter = load_sam(model)  # its golden input is answered
    photo = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    answer = segmenter.decode(segmenter.encode(photo), (Prompt(None, ((20.0, 10.0),)),), 30, 40)
    assert answer.masks.shape == (1, 30, 40)


def test_licence_golden_and_validation_are_the_users(checkpoint: Path, tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / "mine" / part).mkdir(parents=True)
    label = np.zeros((24, 32), np.uint8)
    label[6:18, 4:20] = 1
    Image.fromarray(label).save(tmp_path / "mine" / "labels" / "a.png")
    photo = tmp_path / "mine" / "images" / "a.png"
    Image.fromarray(np.stack([label * 200] * 3, axis=2)).save(photo)
    named = ("--licence", "MIT", "--golden", str(photo), "--val", str(tmp_path / "mine"))
    said = call(str(checkpoint), "--type", "vit_b", "--out", str(tmp_path / "vit-b"), *named)
    assert "points" in said
    model = load_model(tmp_path / "vit-b")
    assert model.card.licence == "MIT"
    assert model.golden.image.shape == (24, 32, 3)
    assert {name.partition("[")[2].partition("]")[0] for name in model.card.metrics} == {
        "point",
        "points",
        "box",
        "box+point",
    }
    assert "/mine]" in next(iter(model.card.metrics))


def test_what_is_wrong_is_said_before_anything_is_written(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "vit-b"
    with pytest.raises(ArtefactError, match="no published size"):
        call(str(checkpoint), "--type", "vit_t", "--out", str(out))
    with pytest.raises(ConfigError, match=r"Vit_B: name"):
        call(str(checkpoint), "--type", "vit_b", "--out", str(tmp_path / "Vit_B"))
    with pytest.raises(ConfigError, match="No such file"):
        call(str(tmp_path / "absent.pth"), "--type", "vit_b", "--out", str(out))
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ArtefactError, match=r"image_encoder\.pos_embed 1x64x64x32 is missing"):
        call(str(tmp_path / "other.pth"), "--type", "vit_b", "--out", str(out))
    assert not out.exists()
    out.mkdir()
    with pytest.raises(ConfigError, match="exists already"):
        call(str(checkpoint), "--type", "vit_b", "--out", str(out))
