"""int8 models: what is rewritten around them answers the same, they answer nearly so, and they are whole artefacts."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from umiak_workers.adapters.artefacts import builtin_folder, load_model, write_artefact
from umiak_workers.contract.artefact import Card, InputSpec, OutputSpec
from umiak_workers.contract.errors import ArtefactError, InvalidInput
from umiak_workers.core.model import Golden, Model
from umiak_workers.datasets.folder import read_photo
from umiak_workers.datasets.sample import Listed, Sample
from umiak_workers.predictors.onnx import OnnxGraph, OnnxSegmenter
from umiak_workers.predictors.onnx_graph import bind, parse_graph, strip
from umiak_workers.predictors.onnx_rewrite import folded, phases, without_labels
from umiak_workers.predictors.quantized import Parts, quantize, spread, without_normalisation
from umiak_workers.predictors.segmentation import fitted

STREET = Path(__file__).parents[3] / "docs" / "examples" / "street"


@pytest.fixture(scope="module")
def street() -> Model:
    return load_model(STREET / "street-edge")


@pytest.fixture(scope="module")
def photos() -> list[Any]:
    return [read_photo(path) for path in sorted((STREET / "frames" / "images").iterdir())]


@pytest.fixture(scope="module")
def small(street: Model, photos: list[Any]) -> Parts:
    """The street model in int8, calibrated on every other photo."""
    return quantize(street, photos[::2], False, "a test", lambda: None)


def agreement(first: OnnxGraph, second: OnnxGraph, photos: list[Any]) -> float:
    """Share of pixels that both label alike."""
    return float(np.mean([first.predict(photo).labels == second.predict(photo).labels for photo in photos]))


def user_model(nodes: list[onnx.NodeProto], weights: dict[str, Any], dtype: int = TensorProto.FLOAT) -> Model:
    """A model of somebody else's making: NCHW float input `x`, logits `y`, no label map."""
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("x", dtype, [1, 3, 16, 24])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 16, 24])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    card = Card(
        name="theirs",
        classes=("a", "b"),
        input=InputSpec(name="x", layout="NCHW", dtype="float32", height=16, width=24),
        outputs=OutputSpec(logits="y"),
        licence="MIT",
    )
    golden = Golden(np.full((16, 24, 3), 90, np.uint8), np.zeros((2, 16, 24), np.float32), 0.01)
    return Model(card, "sha256:" + "0" * 64, strip(whole, weights), weights, golden)


def test_int8_answers_nearly_alike_on_photos_it_was_not_calibrated_on(
    street: Model, small: Parts, photos: list[Any]
) -> None:
    base, other = OnnxSegmenter(street, threads=1), OnnxGraph(small.card, small.graph, small.weights, threads=1)
    assert agreement(base, other, photos[1::2]) > 0.97
    unlike = [float(np.abs(base.predict(photo).logits - other.predict(photo).logits).mean()) for photo in photos[1::2]]
    assert 0 < max(unlike) < 0.2


def test_the_computation_really_is_int8(small: Parts) -> None:
    nodes = parse_graph(small.graph).graph.node
    made_by = {name: node.op_type for node in nodes for name in node.output}
    convolutions = [node for node in nodes if node.op_type == "Conv" and "labels.kernel" not in node.input]
    assert len(convolutions) == 27  # three of them the appeal head's
    assert {made_by[name] for node in convolutions for name in node.input} == {"DequantizeLinear"}
    assert "BatchNormalization" not in {node.op_type for node in nodes}
    assert sum(node.op_type == "Sub" for node in nodes) == 3  # as photos enter, their own mean, and the appeal head's
    kernels = {name: tensor for name, tensor in small.weights.items() if name.endswith(".weight_quantized")}
    assert {tensor.dtype for tensor in kernels.values()} == {np.dtype(np.int8)}
    assert "encoder.stages.0.0.first.0.weight_quantized" in kernels
    steps = small.weights["encoder.stages.0.0.first.0.weight_scale"]
    assert steps.shape == (16,)
    assert len(np.unique(steps)) > 8  # each output channel has its own


def test_where_no_mean_is_taken_off_a_photo_its_bytes_are_read_as_they_are(photos: list[Any]) -> None:
    plain = quantize(load_model(builtin_folder("yard-edge")), photos[:2], False, "a test", lambda: None)
    assert "Sub" not in {node.op_type for node in parse_graph(plain.graph).graph.node}


def test_it_is_a_whole_artefact_that_answers_but_is_not_trained(street: Model, small: Parts, tmp_path: Path) -> None:
    digest = write_artefact(tmp_path / "int8", small.card, small.graph, small.weights, small.golden)
    model = load_model(tmp_path / "int8", digest)
    OnnxSegmenter(model, threads=1).check_golden()
    assert model.card.name == "street-edge-int8"
    assert (model.card.classes, model.card.palette, model.card.data) == (
        street.card.classes,
        street.card.palette,
        street.card.data,
    )
    assert (model.card.architecture, model.card.layer_sets, model.card.training_only) == (None, {}, ())
    assert model.card.metrics == {}  # the float model's figures are not its own
    assert sum(tensor.nbytes for tensor in model.weights.values()) < 0.4 * sum(
        tensor.nbytes for tensor in street.weights.values()
    )
    build = pytest.importorskip("umiak_workers.models.build")
    with pytest.raises(ArtefactError, match="names no architecture"):
        build.rebuild(model.card, model.weights)


def test_its_golden_input_tells_it_from_the_float_model(street: Model, small: Parts) -> None:
    float_logits = OnnxSegmenter(street, threads=1).predict(small.golden.image).logits
    assert np.abs(float_logits - small.golden.logits).max() > small.golden.tolerance


def test_the_same_photos_give_the_same_model(street: Model, small: Parts, photos: list[Any]) -> None:
    again = quantize(street, photos[::2], False, "a test", lambda: None)
    assert again.graph == small.graph
    assert all(np.array_equal(again.weights[name], tensor) for name, tensor in small.weights.items())
    other = quantize(street, photos[:1], False, "a test", lambda: None)
    assert other.graph != small.graph


def test_narrow_weights_have_seven_bits(street: Model, small: Parts, photos: list[Any]) -> None:
    narrow = quantize(street, photos[::4], True, "a test", lambda: None)
    widest = [
        max(int(np.abs(tensor).max()) for name, tensor in parts.weights.items() if name.endswith("weight_quantized"))
        for parts in (small, narrow)
    ]
    assert widest == [127, 64]


def test_every_photo_is_looked_at_once(street: Model, photos: list[Any]) -> None:
    seen: list[None] = []
    quantize(street, photos[:3], False, "a test", lambda: seen.append(None))
    assert len(seen) == 3


def test_folding_changes_nothing_but_the_normalisation(street: Model, photos: list[Any]) -> None:
    parts = without_normalisation(street)
    kinds = [node.op_type for node in parse_graph(parts.graph).graph.node]
    assert "BatchNormalization" not in kinds
    assert "Expand" not in kinds
    assert "encoder.stem.0.weight" in parts.weights
    plain = OnnxGraph(parts.card, parts.graph, parts.weights, threads=1)
    first, second = OnnxSegmenter(street, threads=1).predict(photos[0]), plain.predict(photos[0])
    assert np.abs(first.logits - second.logits).max() < 1e-3
    assert (first.labels == second.labels).mean() > 0.9999


def test_the_label_map_is_exactly_the_best_class_of_the_resized_int8_logits(small: Parts, photos: list[Any]) -> None:
    torch = pytest.importorskip("torch")
    whole = parse_graph(bind(small.graph, small.weights, ()))
    made_by = {name: node for node in whole.graph.node for name in node.output}
    name = made_by["logits"].input[0]
    whole.graph.output.append(helper.make_tensor_value_info(name, TensorProto.UINT8, [1, 11, 45, 60]))
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    for photo in photos[:4]:
        feed = {"image": fitted(photo, 240, 180)[None]}
        labels, bytes_ = session.run(["labels", name], feed)
        resized = torch.nn.functional.interpolate(torch.from_numpy(bytes_).double(), scale_factor=4, mode="bilinear")
        assert np.array_equal(labels[0], resized[0].argmax(dim=0).numpy())
    assert not {"ArgMax", "Resize"} & {node.op_type for node in list(whole.graph.node)[-12:]}


@pytest.mark.parametrize("times", [2, 4, 8])
def test_the_shares_of_a_finer_cell_are_those_of_onnx(times: int) -> None:
    facts: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    graph = helper.make_graph(
        [helper.make_node("Resize", ["x", "", "", "size"], ["y"], **facts)],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 3 * times, 3 * times])],
        [numpy_helper.from_array(np.asarray([1, 1, 3 * times, 3 * times], np.int64), "size")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    coarse = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    fine = session.run(["y"], {"x": coarse[None, None]})[0][0, 0]
    middle = fine[times : 2 * times, times : 2 * times].ravel()
    assert (phases(times) * coarse).sum(axis=(1, 2)) / (4 * times**2) == pytest.approx(middle, abs=1e-5)
    assert set(phases(times).sum(axis=(1, 2)).tolist()) == {4 * times**2}


def test_a_label_map_of_another_kind_stays_as_it_is(street: Model, photos: list[Any]) -> None:
    """Logits that are no 2nd, 4th or 8th of the photo: whole numbers would not be exact."""
    card = street.card.model_copy(update={"input": street.card.input.model_copy(update={"height": 176})})
    whole = folded(bind(street.graph, street.weights, street.card.training_only), street.weights)
    before = whole.SerializeToString(deterministic=True)
    assert not without_labels(whole, card)
    assert not without_labels(whole, street.card.model_copy(update={"outputs": OutputSpec(logits="logits")}))
    assert whole.SerializeToString(deterministic=True) == before


def test_a_users_own_float_graph_becomes_int8_as_well() -> None:
    kernel = np.random.default_rng(1).normal(size=(2, 3, 3, 3)).astype(np.float32)
    model = user_model(
        [helper.make_node("Conv", ["x", "k", "b"], ["y"], pads=[1, 1, 1, 1])],
        {"k": kernel, "b": np.ones(2, np.float32)},
    )
    rng = np.random.default_rng(2)
    photos = [rng.integers(0, 256, (40, 30, 3), dtype=np.uint8) for _ in range(4)]
    parts = quantize(model, photos, False, "a test", lambda: None)
    assert parts.weights["k_quantized"].dtype == np.int8
    base, other = (
        OnnxGraph(model.card, model.graph, model.weights, 1),
        OnnxGraph(parts.card, parts.graph, parts.weights, 1),
    )
    assert np.abs(base.predict(photos[0]).logits - other.predict(photos[0]).logits).max() < 0.1


def test_what_cannot_become_int8_is_refused_by_name(street: Model, small: Parts, photos: list[Any]) -> None:
    def wrong(model: Model, pictures: list[Any]) -> None:
        quantize(model, pictures, False, "a test", lambda: None)

    with pytest.raises(ArtefactError, match="int8 already"):
        wrong(Model(small.card, street.digest, small.graph, small.weights, small.golden), photos[:1])
    with pytest.raises(ArtefactError, match="at least one photo"):
        wrong(street, [])
    with pytest.raises(InvalidInput, match="HxWx3 uint8"):
        wrong(street, [np.zeros((4, 4), np.uint8)])
    promptable = street.card.model_copy(update={"task": "promptable-segmentation"})
    with pytest.raises(ArtefactError, match="task is promptable-segmentation"):
        wrong(Model(promptable, street.digest, b"", {}, street.golden), photos[:1])
    nothing = user_model([helper.make_node("Slice", ["x", "from", "to", "axis"], ["y"])], _slice())
    with pytest.raises(ArtefactError, match="nothing that int8 helps"):
        wrong(nothing, photos[:1])


def test_photos_are_spread_over_a_film() -> None:
    film = Listed([Sample(np.full((1, 1, 3), number, np.uint8), None, str(number)) for number in range(11)])
    assert [int(photo[0, 0, 0]) for photo in spread(film, 3)] == [0, 5, 10]
    assert len(spread(film, 99)) == 11


def _slice() -> dict[str, Any]:
    return {"from": np.asarray([0], np.int64), "to": np.asarray([2], np.int64), "axis": np.asarray([1], np.int64)}
