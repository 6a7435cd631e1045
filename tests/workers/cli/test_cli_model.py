"""`umiak model` and `umiak train` as a person calls them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.cli import model as model_command
from umiak_workers.contract.errors import ArtefactError, ConfigError
from umiak_workers.predictors.onnx import OnnxSegmenter

WEIGHTS: dict[str, Any] = {
    "conv.weight": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1),
    "conv.bias": np.zeros(3, np.float32),
}
CARD = {
    "schema": "umiak.dev/card/v1",
    "name": "mine",
    "classes": ["red", "green", "blue"],
    "input": {
        "name": "x",
        "layout": "NCHW",
        "dtype": "float32",
        "height": 16,
        "width": 16,
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
    },
    "outputs": {"logits": "y"},
    "licence": "MIT",
}


@pytest.fixture
def mine(tmp_path: Path) -> list[str]:
    """A user's own files, and the command line that packs them."""
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["y"])],
        "mine",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 16, 16])],
        [numpy_helper.from_array(value, name) for name, value in WEIGHTS.items()],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "g.onnx").write_bytes(built.SerializeToString())
    save_file({**WEIGHTS, "steps": np.zeros(1, np.int64)}, tmp_path / "w.safetensors")
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(CARD))
    Image.new("RGB", (30, 20), (250, 10, 10)).save(tmp_path / "photo.png")
    names = {"graph": "g.onnx", "weights": "w.safetensors", "card": "card.yaml", "golden": "photo.png", "out": "packed"}
    return ["pack", *(part for key, name in names.items() for part in (f"--{key}", str(tmp_path / name)))]


def call(*arguments: str) -> str:
    """The command's output; its own errors come through."""
    result = CliRunner().invoke(model_command.app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_users_own_model_is_packed_shown_and_answers(mine: list[str], tmp_path: Path) -> None:
    assert "sha256:" in call(*mine)
    model = load_model(tmp_path / "packed")
    assert model.card.training_only == ("steps",)
    segmenter = OnnxSegmenter(model, threads=1)
    segmenter.check_golden()
    answer = segmenter.predict(np.full((40, 50, 3), (0, 0, 200), np.uint8))
    assert (answer.labels == 2).all()
    shown = call("show", str(tmp_path / "packed"))
    assert model.digest in shown
    assert "golden input answered" in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["red", "red", "blue"]}, "twice"),
        ({"classes": ["red", "green"]}, "expected 1x2"),
        ({"inputs": {}}, "inputs"),
    ],
)
def test_a_card_that_is_wrong_is_named(mine: list[str], tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "card.yaml").write_text(json.dumps({**CARD, **change}))
    with pytest.raises(Exception, match=message) as caught:
        call(*mine)
    assert type(caught.value).__name__ in ("ArtefactError", "InvalidPrediction")
    assert not (tmp_path / "packed").exists()


def test_weights_of_another_shape_and_unreadable_files_are_named(mine: list[str], tmp_path: Path) -> None:
    save_file({**WEIGHTS, "conv.bias": np.zeros(4, np.float32)}, tmp_path / "w.safetensors")
    with pytest.raises(ArtefactError, match=r"conv\.bias"):
        call(*mine)
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"w\.safetensors"):
        call(*mine)
    (tmp_path / "card.yaml").unlink()
    with pytest.raises(ConfigError, match=r"card\.yaml"):
        call(*mine)


def test_show_refuses_an_altered_model(mine: list[str], tmp_path: Path) -> None:
    call(*mine)
    with (tmp_path / "packed" / "weights.safetensors").open("ab") as file:
        file.write(b"!")
    with pytest.raises(ArtefactError, match="the manifest says"):
        call("show", str(tmp_path / "packed"))


def test_train_makes_a_model_of_a_folder_that_pack_and_edge_can_use(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from umiak_workers.cli import train

    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (tmp_path / "photos" / part).mkdir(parents=True)
    for index in range(6):
        label = np.zeros((48, 64), np.uint8)
        label[:, 20 + 4 * index :] = 1
        label[0] = 11
        image = np.where(label[..., None] == 1, 200, 60) + rng.integers(0, 20, (48, 64, 3))
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / "photos" / "images" / f"{index}.png")
        Image.fromarray(label).save(tmp_path / "photos" / "labels" / f"{index}.png")
    legend = {"classes": ["dark", "bright"], "void": 11, "licence": "CC0-1.0", "source": "made by a test"}
    (tmp_path / "legend.yaml").write_text(yaml.safe_dump(legend))
    sizes = "--height 48 --width 64 --channels 4 --decoder 8 --epochs 10 --batch 2 --learning-rate 0.01 --threads 1"
    command = ["segmentation", "--data", str(tmp_path / "photos"), "--legend", str(tmp_path / "legend.yaml")]
    command += ["--out", str(tmp_path / "made"), *sizes.split()]
    result = CliRunner().invoke(train.app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    model = load_model(tmp_path / "made")
    assert (model.card.name, model.card.void, model.card.classes) == ("made", 11, ("dark", "bright"))
    ((held_back, found),) = model.card.metrics.items()
    assert "last 20%" in held_back
    assert found > 0.7
    assert str(tmp_path) not in (tmp_path / "made" / "card.json").read_text()  # it is read on other machines
    assert model.card.data[0].licence == "CC0-1.0"
    with pytest.raises(ConfigError, match="exists already"):
        CliRunner().invoke(train.app, command, catch_exceptions=False)


def test_train_names_what_is_wrong_with_a_legend_or_a_name(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from umiak_workers.cli import legend, train

    (tmp_path / "legend.yaml").write_text("classes: [a, b]\nlicence: x\n")
    with pytest.raises(ConfigError, match="source"):
        legend.find_legend(None, str(tmp_path))
    with pytest.raises(ConfigError, match="--legend is missing"):
        legend.find_legend(None, "photos")
    with pytest.raises(ConfigError, match="yard-cloud, yard-edge"):
        CliRunner().invoke(train.app, ["builtin", "yard-moon", "--out", str(tmp_path / "x")], catch_exceptions=False)
