"""The ONNX segmenter: binding by name, resizing, refusing; against torch and against a graph from elsewhere."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from umiak_workers.adapters.artefacts import builtin_folder, load_model
from umiak_workers.contract.artefact import Architecture, Card, InputSpec, OutputSpec
from umiak_workers.contract.errors import ArtefactError, InvalidInput, InvalidPrediction
from umiak_workers.core.model import Golden, Model
from umiak_workers.predictors.answering import record_golden
from umiak_workers.predictors.onnx import OnnxGraph, OnnxSegmenter, gpu_missing
from umiak_workers.predictors.onnx_graph import bind, parse_graph, spare_tensors, strip

WEIGHTS: dict[str, Any] = {
    # class 0 likes red, class 1 likes blue
    "head.weight": np.asarray([[1, 0, 0], [0, 0, 1]], np.float32).reshape(2, 3, 1, 1),
    "head.bias": np.zeros(2, np.float32),
}
CARD = Card(
    name="two-colours",
    classes=("red", "blue"),
    input=InputSpec(
        name="photo", layout="NCHW", dtype="float32", height=16, width=24, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    ),
    outputs=OutputSpec(logits="scores"),
    licence="Apache-2.0",
)


def whole_graph(weights: dict[str, Any] = WEIGHTS, extra: tuple[onnx.TensorProto, ...] = ()) -> bytes:
    """A graph as a user would bring it: weights inside, float NCHW input, logits at a quarter, no labels."""
    nodes = [
        helper.make_node("Conv", ["photo", "head.weight", "head.bias"], ["wide"]),
        helper.make_node("AveragePool", ["wide"], ["scores"], kernel_shape=[4, 4], strides=[4, 4]),
    ]
    graph = helper.make_graph(
        nodes,
        "two-colours",
        [helper.make_tensor_value_info("photo", TensorProto.FLOAT, ["n", 3, 16, 24])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2, 4, 6])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()] + list(extra),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def half_red_half_blue(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 0] = 255
    image[:, width // 2 :, 2] = 255
    return image


def segmenter(**changes: Any) -> OnnxGraph:
    facts = {"card": CARD, "graph": strip(whole_graph(), WEIGHTS), "weights": WEIGHTS, "threads": 1, **changes}
    return OnnxGraph(**facts)


def test_a_users_float_graph_answers_at_the_photos_resolution() -> None:
    answer = segmenter().predict(half_red_half_blue(60, 80))
    assert answer.labels.shape == (60, 80)
    assert answer.labels.dtype == np.uint8
    assert (answer.labels[:, :30] == 0).all()
    assert (answer.labels[:, 50:] == 1).all()
    assert answer.logits.shape == (2, 4, 6)
    # (255/255 - 0.5) / 0.5 = 1 for its colour, -1 for the other
    assert answer.logits[:, 0, 0].tolist() == [1.0, -1.0]


def test_strip_leaves_no_weight_and_bind_puts_back_the_same_ones() -> None:
    hollow = strip(whole_graph(), WEIGHTS)
    assert not any(tensor.raw_data or tensor.float_data for tensor in parse_graph(hollow).graph.initializer)
    bound = parse_graph(bind(hollow, WEIGHTS, ())).graph.initializer
    assert {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in bound} == {
        name: value.tolist() for name, value in WEIGHTS.items()
    }


def test_other_weights_of_the_same_names_fit_the_same_graph() -> None:
    swapped = {**WEIGHTS, "head.weight": WEIGHTS["head.weight"][::-1].copy()}
    answer = segmenter(weights=swapped).predict(half_red_half_blue(16, 24))
    assert answer.labels[0, 0] == 1


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"head.bias": WEIGHTS["head.bias"]}, "'head.weight' of the graph is missing"),
        (
            {**WEIGHTS, "head.bias": np.zeros(3, np.float32)},
            r"'head.bias' is float32\[3\], the graph wants float32\[2\]",
        ),
        ({**WEIGHTS, "head.bias": np.zeros(2, np.float64)}, "'head.bias' is float64"),
        ({**WEIGHTS, "ghost": np.zeros(2, np.float32)}, "'ghost' is used by no initializer"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(weights: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtefactError, match=message):
        segmenter(weights=weights)


def test_training_only_tensors_may_be_left_over_but_must_exist() -> None:
    weights = {**WEIGHTS, "counter": np.zeros((), np.int64)}
    assert spare_tensors(whole_graph(), weights) == ("counter",)
    card = CARD.model_copy(update={"training_only": ("counter",)})
    assert segmenter(card=card, weights=weights).predict(half_red_half_blue(16, 24)).labels[0, 0] == 0
    with pytest.raises(ArtefactError, match="no tensor 'counter'"):
        segmenter(card=card)


def test_large_values_hidden_in_the_graph_are_refused() -> None:
    hidden = numpy_helper.from_array(np.zeros(5000, np.float32), "hidden")
    with pytest.raises(ArtefactError, match="'hidden'"):
        strip(whole_graph(extra=(hidden,)), WEIGHTS)
    with pytest.raises(ArtefactError, match="'hidden' has its values inside"):
        bind(whole_graph(extra=(hidden,)), {}, ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": CARD.input.model_copy(update={"name": "image"})}, r"inputs \['photo'\]"),
        ({"input": CARD.input.model_copy(update={"height": 32})}, "input is"),
        ({"input": CARD.input.model_copy(update={"layout": "NHWC"})}, "input is"),
        ({"outputs": OutputSpec(logits="scores", labels="mask")}, "no output 'mask'"),
    ],
)
def test_a_card_that_does_not_fit_the_graph_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtefactError, match=message):
        segmenter(card=CARD.model_copy(update=change))


def test_classes_that_do_not_fit_are_an_invalid_prediction() -> None:
    card = CARD.model_copy(update={"classes": ("red", "blue", "green")})
    with pytest.raises(InvalidPrediction, match="expected 1x3"):
        segmenter(card=card).predict(half_red_half_blue(16, 24))


def test_garbage_is_not_a_graph() -> None:
    with pytest.raises(ArtefactError, match="not an ONNX model"):
        segmenter(graph=b"\xff\xffnot a graph")


def test_weights_that_are_not_finite_are_an_invalid_prediction() -> None:
    poisoned = {**WEIGHTS, "head.bias": np.asarray([0, np.nan], np.float32)}
    with pytest.raises(InvalidPrediction, match="not finite"):
        segmenter(weights=poisoned).predict(half_red_half_blue(16, 24))


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)]
)
def test_what_is_no_photo_is_refused(image: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="HxWx3 uint8"):
        segmenter().predict(image)


def test_golden_input_tells_models_apart() -> None:
    graph = strip(whole_graph(), WEIGHTS)
    golden = record_golden(CARD, graph, WEIGHTS, half_red_half_blue(60, 80))
    assert golden.image.shape == (16, 24, 3)
    model = Model(CARD, "sha256:" + "0" * 64, graph, WEIGHTS, golden)
    OnnxSegmenter(model, threads=1).check_golden()
    moved = {**WEIGHTS, "head.bias": np.asarray([0.02, 0], np.float32)}
    with pytest.raises(InvalidPrediction, match=r"off by 0\.02"):
        OnnxSegmenter(replace(model, weights=moved), threads=1).check_golden()
    other = Golden(golden.image, golden.logits[:, :2], golden.tolerance)
    with pytest.raises(InvalidPrediction, match="recorded were"):
        OnnxSegmenter(replace(model, golden=other), threads=1).check_golden()


def test_torch_and_onnx_answer_alike_and_the_graph_takes_new_weights() -> None:
    torch = pytest.importorskip("torch")
    from umiak_workers.models.build import build, state_tensors
    from umiak_workers.models.export import export_graph
    from umiak_workers.predictors.torch_segmenter import TorchSegmenter

    torch.manual_seed(3)
    config: dict[str, Any] = {"classes": 3, "width": 4, "decoder": 8, "blocks": 1}
    network = build("rfnet", config).eval()
    weights = state_tensors(network)
    exported = export_graph(network, 64, 96)
    card = Card(
        name="rf",
        classes=("a", "b", "c"),
        input=InputSpec(name="image", layout="NHWC", dtype="uint8", height=64, width=96),
        outputs=OutputSpec(logits="logits", labels="labels"),
        architecture=Architecture(name="rfnet", config=config),
        training_only=spare_tensors(exported, weights),
        licence="Apache-2.0",
    )
    assert all(name.endswith("num_batches_tracked") for name in card.training_only)
    graph = strip(exported, weights)
    retrained = {
        name: value * np.float32(1.02) if value.dtype == np.float32 else value for name, value in weights.items()
    }
    photo = np.random.default_rng(1).integers(0, 256, (100, 130, 3), dtype=np.uint8)
    for tensors in (weights, retrained):
        golden = record_golden(card, graph, tensors, photo)
        model = Model(card, "sha256:" + "1" * 64, graph, tensors, golden)
        ours, theirs = OnnxSegmenter(model, threads=1), TorchSegmenter(model, "cpu")
        theirs.check_golden()
        first, second = ours.predict(photo), theirs.predict(photo)
        assert np.abs(first.logits - second.logits).max() < 1e-3
        assert first.labels.shape == (100, 130)
        assert (first.labels == second.labels).mean() > 0.999
        assert first.logits.shape == (3, 16, 24)


class Elsewhere:
    """Stands for a session that ONNX Runtime made on the CPU although the GPU was asked for."""

    def __init__(self, *_: object, **said: Any) -> None:
        assert said["enable_fallback"] == 0

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


def test_a_gpu_that_onnx_runtime_quietly_does_without_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", Elsewhere)
    assert "without its CUDAExecutionProvider" in gpu_missing()
    with pytest.raises(ArtefactError, match="without its CUDAExecutionProvider"):
        OnnxSegmenter(load_model(builtin_folder("yard-edge")), 1, gpu=True)
