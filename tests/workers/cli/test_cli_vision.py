"""`umiak train` and `umiak bench` of boxes and joints, from a folder of photos to a table; what cannot be is named."""

import json
from pathlib import Path

import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.cli.bench import app as bench
from umiak_workers.cli.model import app as model
from umiak_workers.cli.train import app as train
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.keypoints import JOINTS

BOX = (
    "<annotation><object><name>bar</name><bndbox><xmin>{}</xmin><ymin>8</ymin><xmax>{}</xmax><ymax>24</ymax></bndbox>"
    "</object></annotation>"
)
SMALL = ["--height", "32", "--width", "32", "--channels", "4", "--epochs", "1", "--threads", "1", "--seed", "2"]


def run(app: object, *words: str) -> str:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(words), catch_exceptions=False)  # type: ignore[arg-type]
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos") / "bars"
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for number in range(10):
        photo = Pillow.new("RGB", (32, 32), (30, 30, 30))
        photo.paste((220, 220, 40), (number, 8, number + 12, 24))
        photo.save(root / "images" / f"bar-{number}.png")
        (root / "labels" / f"bar-{number}.xml").write_text(BOX.format(number, number + 12))
    return root


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos") / "people"
    (root / "images").mkdir(parents=True)
    lines = ["file,width,height," + ",".join(f"{name}_{part}" for name in JOINTS for part in ("x", "y", "vis"))]
    for number in range(10):
        Pillow.new("RGB", (32, 32), (20 * number, 90, 90)).save(root / "images" / f"p{number}.png")
        lines.append(f"p{number}.png,32,32," + ",".join(f"{2 * at + 1},{2 * at + 2},1" for at in range(len(JOINTS))))
    (root / "joints.csv").write_text("\n".join(lines) + "\n")
    return root


def test_a_detector_from_a_folder_to_a_table(bars: Path, tmp_path: Path) -> None:
    out, figures = tmp_path / "bars-edge", tmp_path / "boxes.json"
    said = run(train, "detection", "--data", str(bars), "--out", str(out), *SMALL, "--decoder", "8", "--stages", "2")
    assert "8 photos" in said
    card = load_model(out).card
    assert (card.task, card.classes) == ("object-detection", ("bar",))
    assert list(card.metrics) == [f"ap50[{bars.parent.name}/bars]"]
    assert f"--data {bars.parent.name}/bars --out bars-edge" in card.made_by
    assert "golden input answered" in run(model, "show", str(out))

    other = tmp_path / "bars-cloud"
    shape = ["--decoder", "8", "--stages", "2", "--start", str(out)]
    assert "tensors begun with" in run(train, "detection", "--data", str(bars), "--out", str(other), *SMALL, *shape)
    said = run(bench, "detection", str(out), str(other), "--data", str(bars), "--part", "all", "--json", str(figures))
    assert "10 photos" in said
    facts = json.loads(figures.read_text())
    assert facts["photos"] == 10
    assert facts["boxes"] == [10]
    assert list(facts["models"]) == ["bars-edge", "bars-cloud", "both, fused"]
    with pytest.raises(ConfigError, match="exists already"):
        run(train, "detection", "--data", str(bars), "--out", str(out))
    with pytest.raises(ConfigError, match="multiples of 8 from 32 pixels, not 50 and 256"):
        run(train, "detection", "--data", str(bars), "--out", str(tmp_path / "odd"), "--height", "50")
    with pytest.raises(ConfigError, match="the model's card: name"):
        run(train, "detection", "--data", str(bars), "--out", str(tmp_path / "my_bars"))
    with pytest.raises(ConfigError, match="the model speaks of bar"):
        run(bench, "detection", str(out), "--data", "yard:day?frames=1&shot=1")


def test_a_key_point_model_from_a_folder_to_a_table(people: Path, tmp_path: Path) -> None:
    cloud, edge, figures = tmp_path / "people-cloud", tmp_path / "people-edge", tmp_path / "joints.json"
    shape = [*SMALL, "--head", "8", "--data", str(people)]
    run(train, "keypoints", "--out", str(cloud), "--stages", "4", *shape)
    said = run(train, "keypoints", "--out", str(edge), "--start", str(cloud), *shape)
    assert "tensors begun with" in said
    assert load_model(edge).card.classes == JOINTS
    assert "--start people-cloud" in load_model(edge).card.made_by
    assert "golden input answered" in run(model, "show", str(edge))
    said = run(bench, "keypoints", str(edge), str(cloud), "--data", str(people), "--json", str(figures))
    assert "2 photos, 0 without a labelled torso" in said.replace("\n", " ")
    facts = json.loads(figures.read_text())
    assert facts["joints"][-1] == "all"
    assert len(facts["models"]["both, fused"]["values"]) == len(JOINTS) + 1
    with pytest.raises(ConfigError, match="3 models"):
        run(bench, "keypoints", *[str(edge)] * 3, "--data", str(people))
