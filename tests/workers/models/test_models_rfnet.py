"""RFNet with and without its depth branch: the published shape, and the same answers from torch and ONNX Runtime."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from umiak_workers.adapters.artefacts import builtin_folder, load_model
from umiak_workers.contract.errors import ArtefactError
from umiak_workers.datasets.folder import read_photo
from umiak_workers.models.blocks import Complement
from umiak_workers.models.build import build, rebuild, state_tensors
from umiak_workers.models.export import export_graph, normalised
from umiak_workers.models.rfnet import RFNet, published, standardised
from umiak_workers.predictors.onnx import OnnxSegmenter
from umiak_workers.predictors.onnx_graph import bind, parse_graph, spare_tensors, strip
from umiak_workers.predictors.segmentation import fitted

STREET = Path(__file__).parents[3] / "docs" / "examples" / "street"
SMALL: dict[str, Any] = {"classes": 3, "width": 4, "decoder": 8, "blocks": 1}
NARROW = json.loads('{"depth": true, "pyramid": {"middle": 8, "level": 4, "grids": [2, 1]}}')
MOST = 1e-3
"""Largest difference of a logit between torch and ONNX Runtime."""


def numbers(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def lived_in(network: nn.Module, *inputs: torch.Tensor) -> nn.Module:
    """The network with normalisation statistics as if it had been trained on such inputs."""
    with torch.no_grad():
        for _ in range(20):
            network(*inputs)
    return network.eval()


def at_full_width() -> RFNet:
    """The published network without its numbers, which take seconds to draw."""
    with torch.device("meta"):
        return RFNet(published(19))


@cache
def with_depth() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A small RGB-D network, two photos NxHxWx3 uint8 and their depth maps."""
    torch.manual_seed(4)
    photos = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    depth = torch.linspace(0, 3, 96).expand(2, 1, 64, 96) + torch.rand(2, 1, 64, 96)
    return lived_in(build("rfnet", {**SMALL, **NARROW}), normalised(photos), depth), photos, depth


def test_at_the_published_widths_it_has_the_published_number_of_parameters() -> None:
    # Sun et al. 2020 with the widths of the authors' published code, 19 classes, counted layer by layer: two ResNet-18
    # encoders 22,346,752; eight 1x1 convolutions of channel attention 698,240; pyramid (128, three levels of 42)
    # 116,476; three up-sampling steps of 128 channels 501,376; head 22,144.
    # Ours normalises after the convolutions there, not before, hence other numbers of normalisation parameters: 0.1 %.
    assert numbers(at_full_width()) == pytest.approx(23_684_988, rel=1e-3)
    assert round(numbers(at_full_width()) / 1e6, 1) == 23.7


def test_at_the_published_widths_it_has_the_published_shape() -> None:
    network = at_full_width()
    assert network.depth is not None
    assert [joint.photo.weigh.weight.shape[0] for joint in network.depth.joints] == [64, 128, 256, 512]
    assert [len(stage) for stage in network.depth.encoder.stages] == [2, 2, 2, 2]
    assert network.depth.encoder.stem[0].weight.shape == (64, 1, 7, 7)
    assert network.pyramid.enter[0].weight.shape == (128, 512, 1, 1)
    assert [level[0].weight.shape[0] for level in network.pyramid.levels] == [42, 42, 42]
    assert network.pyramid.leave[0].weight.shape == (128, 128 + 3 * 42, 1, 1)
    assert [step.lateral[0].weight.shape[1] for step in network.steps] == [256, 128, 64]
    assert {step.blend[0].weight.shape for step in network.steps} == {(128, 128, 3, 3)}


def test_channel_attention_weighs_both_branches_and_sums_them() -> None:
    joint = Complement(2)
    for part in (joint.photo, joint.depth):
        nn.init.zeros_(part.weigh.weight)
        nn.init.zeros_(part.weigh.bias)
    nn.init.constant_(joint.photo.weigh.bias, 100.0)  # sigmoid = 1; depth keeps sigmoid(0) = 1/2
    photo, depth = torch.full((1, 2, 3, 3), 5.0), torch.full((1, 2, 3, 3), 8.0)
    assert torch.equal(joint(photo, depth), torch.full((1, 2, 3, 3), 5.0 + 8.0 / 2))
    joint.depth.weigh.weight.data[0, 1] = -100.0  # channel 0 of depth is silenced by the mean of channel 1
    assert joint(photo, depth)[0, :, 0, 0].tolist() == pytest.approx([5.0, 9.0])


def test_depth_changes_the_answer_and_belongs_to_the_network_that_wants_it() -> None:
    network, photos, depth = with_depth()
    with torch.inference_mode():
        first, second = network(normalised(photos), depth), network(normalised(photos), depth.flip(-1))
    assert first.shape == (2, 3, 16, 24)
    assert float((first - second).abs().max()) > 1e-2
    with pytest.raises(ArtefactError, match="needs a depth map"):
        network(normalised(photos))
    with pytest.raises(ArtefactError, match="has no depth branch"):
        build("rfnet", SMALL)(normalised(photos), depth)


def test_a_gradient_reaches_every_parameter_of_both_branches() -> None:
    _, photos, depth = with_depth()
    network = build("rfnet", {**SMALL, **NARROW})
    network(normalised(photos), depth).square().mean().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [({"depth": 1}, "depth"), ({"pyramid": {"middle": 8, "level": 4, "grids": []}}, "pyramid.grids")],
)
def test_a_wrong_config_is_refused_by_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ArtefactError, match=field):
        build("rfnet", {**SMALL, **change})


def test_networks_of_photos_alone_are_what_they_were() -> None:
    """Names, shapes and random beginnings, which published weights and repeatable recipes depend on."""
    torch.manual_seed(1)
    state = build("rfnet", SMALL).state_dict()
    assert hashlib.sha256(repr(list(state)).encode()).hexdigest()[:16] == "b5d629a8c9390188"
    torch.manual_seed(1)
    deep = build("rfnet", {**SMALL, "depth": True}).state_dict()
    assert all(torch.equal(deep[name], tensor) for name, tensor in state.items())
    for folder in (STREET / "street-edge", STREET / "street-cloud", builtin_folder("yard-edge")):
        model = load_model(folder)
        rebuilt = state_tensors(rebuild(model.card, model.weights))
        assert set(rebuilt) == set(model.weights)
        assert all(np.array_equal(rebuilt[name].reshape(-1), model.weights[name].reshape(-1)) for name in rebuilt)
    assert load_model(STREET / "street-edge").digest.startswith("sha256:0b4f9cd439f03")


def test_torch_and_onnx_runtime_agree_at_the_edges_size() -> None:
    model = load_model(STREET / "street-edge")
    network, segmenter = rebuild(model.card, model.weights), OnnxSegmenter(model, threads=1)
    photos = sorted((STREET / "frames" / "images").iterdir())
    assert len(photos) >= 6
    for path in photos:
        photo = np.array(fitted(read_photo(path), 240, 180))
        with torch.inference_mode():
            expected = network(normalised(torch.from_numpy(photo)[None]))[0].numpy()
        assert np.abs(segmenter.predict(photo).logits - expected).max() <= MOST


@cache
def exported_with_depth() -> bytes:
    return export_graph(with_depth()[0], 64, 96)


def test_an_exported_graph_is_one_that_onnx_runtime_folds(tmp_path: Path) -> None:
    exported = exported_with_depth()
    nodes = parse_graph(exported).graph.node
    computed = {name for node in nodes for name in node.output}
    assert [node.name for node in nodes if node.op_type == "Conv" and not computed.isdisjoint(node.input[1:])] == []
    assert sum(node.op_type == "BatchNormalization" for node in nodes) == 34
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "folded.onnx")
    onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    folded = parse_graph((tmp_path / "folded.onnx").read_bytes()).graph.node
    assert "BatchNormalization" not in {node.op_type for node in folded}


def test_torch_and_onnx_runtime_agree_with_depth() -> None:
    network, photos, depth = with_depth()
    weights = state_tensors(network)
    exported = exported_with_depth()
    hollow = strip(exported, weights)
    assert all(name.endswith("num_batches_tracked") for name in spare_tensors(exported, weights))
    session = onnxruntime.InferenceSession(
        bind(hollow, weights, spare_tensors(exported, weights)), providers=["CPUExecutionProvider"]
    )
    assert {entry.name: entry.shape for entry in session.get_inputs()} == {
        "image": [1, 64, 96, 3],
        "depth": [1, 1, 64, 96],
    }
    for row in range(2):
        feeds = {"image": photos[row : row + 1].numpy(), "depth": depth[row : row + 1].numpy()}
        logits, labels = session.run(["logits", "labels"], feeds)
        with torch.inference_mode():
            expected = network(normalised(photos[row : row + 1]), depth[row : row + 1]).numpy()
        assert np.abs(logits - expected).max() <= MOST
        assert labels.shape == (1, 64, 96)


def test_a_standardised_photo_is_the_same_at_every_exposure() -> None:
    photos = torch.rand(2, 3, 24, 32)
    found = standardised(photos)
    assert torch.allclose(found.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(found.std(dim=(1, 2, 3)), torch.ones(2), atol=1e-2)
    assert torch.allclose(standardised(0.6 * photos - 0.2), found, atol=5e-3)
    assert not torch.allclose(standardised(photos[:, [2, 1, 0]]), found, atol=0.1), "colours still count"
    assert standardised(torch.full((1, 3, 8, 8), 0.7)).abs().max() < 1e-3


def test_a_network_that_standardises_answers_alike_in_torch_and_onnx_runtime_and_whatever_the_light() -> None:
    torch.manual_seed(4)
    rng = np.random.default_rng(2)
    photo = rng.integers(40, 200, (64, 96, 3), dtype=np.uint8)
    darker = (photo * 0.6).round().astype(np.uint8)
    tensors = [torch.from_numpy(image)[None] for image in (photo, darker)]
    network = lived_in(build("rfnet", {**SMALL, "standardise": True}), normalised(torch.cat(tensors)))
    plain = build("rfnet", SMALL).eval()
    plain.load_state_dict(network.state_dict())
    session = onnxruntime.InferenceSession(export_graph(network, 64, 96))
    answers = []
    for image, tensor in zip((photo, darker), tensors, strict=True):
        with torch.no_grad():
            answers.append(network(normalised(tensor)))
        (logits,) = session.run(["logits"], {"image": image[None]})
        assert np.abs(logits - answers[-1].numpy()).max() <= MOST
    with torch.no_grad():
        unlike = (plain(normalised(tensors[0])) - plain(normalised(tensors[1]))).abs().mean()
    assert (answers[0] - answers[1]).abs().mean() < 0.1 * unlike
