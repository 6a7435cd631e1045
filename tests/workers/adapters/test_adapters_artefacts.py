"""Artefact folders: written whole, read only when every byte is right."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from umiak_workers.adapters import artefacts
from umiak_workers.adapters.artefacts import builtin_folder, load_model, read_artefact, write_artefact
from umiak_workers.contract.artefact import FILES, MANIFEST, Card, InputSpec, OutputSpec
from umiak_workers.contract.errors import ArtefactError
from umiak_workers.core.model import Golden

CARD = Card(
    name="tiny",
    classes=("ground", "sky"),
    input=InputSpec(name="x", layout="NHWC", dtype="uint8", height=16, width=16),
    outputs=OutputSpec(logits="y"),
    licence="Apache-2.0",
)
WEIGHTS = {"b": np.arange(3, dtype=np.float32), "a": np.ones((2, 2), dtype=np.float32)}
GOLDEN = Golden(np.zeros((16, 16, 3), np.uint8), np.zeros((2, 4, 4), np.float32), 0.01)


def written(folder: Path) -> str:
    return write_artefact(folder, CARD, b"graph bytes", WEIGHTS, GOLDEN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    digest = written(tmp_path / "deep" / "tiny")
    model = load_model(tmp_path / "deep" / "tiny", digest)
    assert (model.digest, model.card, model.graph) == (digest, CARD, b"graph bytes")
    assert {name: tensor.tolist() for name, tensor in model.weights.items()} == {"a": [[1, 1], [1, 1]], "b": [0, 1, 2]}
    assert model.golden.tolerance == 0.01
    assert sorted(entry.name for entry in (tmp_path / "deep").iterdir()) == ["tiny"]


def test_the_same_model_has_the_same_digest_everywhere_and_may_be_written_again(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a"), written(tmp_path / "b")
    assert first == second == written(tmp_path / "a") == read_artefact(tmp_path / "b").digest


def test_another_model_is_never_written_over_one(folder: Path) -> None:
    with pytest.raises(ArtefactError, match="not sha256:"):
        write_artefact(folder, CARD, b"other graph", WEIGHTS, GOLDEN)
    assert load_model(folder).graph == b"graph bytes"


def test_another_digest_than_expected_is_refused(folder: Path) -> None:
    with pytest.raises(ArtefactError, match="holds sha256"):
        read_artefact(folder, "sha256:" + "0" * 64)


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_found(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ArtefactError, match=rf"{name}: its SHA-256"):
        read_artefact(folder)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ArtefactError, match=name):
        read_artefact(folder)


def test_truncated_and_extra_files_are_named(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"short")
    with pytest.raises(ArtefactError, match=r"weights\.safetensors: 5 bytes"):
        read_artefact(folder)
    (folder / "surprise.py").write_text("")
    with pytest.raises(ArtefactError, match=r"surprise\.py not in the manifest"):
        read_artefact(folder)


def test_a_symbolic_link_is_refused_even_to_the_right_bytes(folder: Path, tmp_path: Path) -> None:
    os.rename(folder / "graph.onnx", tmp_path / "elsewhere")
    (folder / "graph.onnx").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtefactError, match="symbolic link"):
        read_artefact(folder)


def test_a_pipe_is_refused_without_waiting_for_it(folder: Path) -> None:
    (folder / "card.json").unlink()
    os.mkfifo(folder / "card.json")
    with pytest.raises(ArtefactError, match="not a regular file"):
        read_artefact(folder)


def test_oversize_files_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(artefacts.LIMITS, "graph.onnx", 4)
    with pytest.raises(ArtefactError, match="at most 4 bytes"):
        read_artefact(folder)


def test_a_manifest_with_a_path_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["files"]["../card.json"] = manifest["files"].pop("card.json")
    (folder / MANIFEST).write_text(json.dumps(manifest, sort_keys=True, separators=(",", ":")))
    with pytest.raises(ArtefactError, match="exactly"):
        read_artefact(folder)


def test_a_golden_answer_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    bad = Golden(GOLDEN.image, np.full((2, 4, 4), np.nan, np.float32), 0.01)
    write_artefact(tmp_path / "bad", CARD, b"graph bytes", WEIGHTS, bad)
    with pytest.raises(ArtefactError, match="finite"):
        load_model(tmp_path / "bad")


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artefacts.os, "fsync", full)
    with pytest.raises(ArtefactError, match="No space left"):
        written(tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"manifest\.json is missing"):
        read_artefact(tmp_path)
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_artefact(tmp_path / "nowhere")


def test_builtin_models_verify_and_unknown_ones_are_listed() -> None:
    assert read_artefact(builtin_folder("yard-edge")).card.name == "yard-edge"
    with pytest.raises(ArtefactError, match="yard-edge"):
        builtin_folder("yard-nothing")
