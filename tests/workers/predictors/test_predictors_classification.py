"""A classifier on ONNX Runtime: what it answers, what it refuses, and that torch says the same."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.contract.artefact import Card, InputSpec, OutputSpec
from umiak_workers.contract.errors import ArtefactError, InvalidPrediction
from umiak_workers.core.tasks.classification import unpack
from umiak_workers.models.build import build, state_tensors
from umiak_workers.models.export import export_graph, normalised
from umiak_workers.predictors.answering import answering, loaded
from umiak_workers.predictors.classification import ClassifierGraph, OnnxClassifier
from umiak_workers.predictors.onnx_graph import spare_tensors, strip

PHOTO = np.random.default_rng(3).integers(1, 256, (50, 70, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, tiny_classifier: Callable[..., str]) -> Path:
    tiny_classifier(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_a_photo_of_any_size_gets_one_class(folder: Path) -> None:
    model = OnnxClassifier(load_model(folder), threads=1)
    model.check_golden()
    answer = model.predict(PHOTO)
    said = unpack(answer.payload())
    assert said.label == answer.label == model.card.classes[int(answer.logits.argmax())]
    assert answer.tensors()["probabilities"].sum() == pytest.approx(1, abs=1e-5)
    assert answer.scores().max_probability == pytest.approx(max(said.probabilities.values()), abs=1e-5)
    assert answer.hardness() is None


def test_nonsense_from_the_model_is_no_answer(folder: Path) -> None:
    with pytest.raises(InvalidPrediction, match="not finite"):
        OnnxClassifier(load_model(folder), threads=1).predict(np.zeros_like(PHOTO))


def test_a_model_goes_by_its_task(folder: Path, tmp_path: Path, tiny_model: Callable[..., str]) -> None:
    tiny_model(tmp_path / "masks")
    classes, masks = load_model(folder), load_model(tmp_path / "masks")
    assert isinstance(loaded(classes, 1), OnnxClassifier)
    assert loaded(masks, 1).predict(PHOTO).hardness() is not None
    with pytest.raises(ArtefactError, match="task: tiny is a semantic-segmentation model, image-classification is"):
        answering(masks, 1, "image-classification")
    with pytest.raises(ArtefactError, match="needs one of image-classification"):
        OnnxClassifier(masks, 1)


def test_torch_and_onnx_runtime_agree() -> None:
    torch.manual_seed(0)
    config = {"classes": 4, "width": 8, "stages": 3}
    network = build("classifier", config).eval()
    weights, exported = state_tensors(network), export_graph(network, 48, 64)
    card = Card(
        name="four",
        task="image-classification",
        classes=("a", "b", "c", "d"),
        input=InputSpec(name="image", layout="NHWC", dtype="uint8", height=48, width=64),
        outputs=OutputSpec(logits="logits"),
        licence="Apache-2.0",
        training_only=spare_tensors(exported, weights),
    )
    graph = ClassifierGraph(card, strip(exported, weights), weights, threads=1)
    for seed in range(3):
        photo = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        with torch.inference_mode():
            expected = network(normalised(torch.from_numpy(photo)[None]))[0].numpy()
        assert np.abs(graph.predict(photo).logits - expected).max() < 1e-4
