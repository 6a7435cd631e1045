"""From a torch module to an ONNX graph: unfolded, with initializers named like the network's state_dict.

The exported graph takes the photo as it is (1xHxWx3 uint8), normalises it, and answers `logits` at the network's own
resolution and `labels` (1xHxW uint8) at the photo's; a classifier's answers 1xC `logits` alone, networks for
boxes and joints 1xCxhxw `logits` alone. Nothing is fused, so any later weights of the same architecture can be bound to
the same graph by name.

A network with a depth branch gets a second input `depth` (1x1xHxW float32). Such a graph runs on ONNX Runtime, but an
artefact's card speaks of one input only, so edges do not serve it yet.
"""

import warnings

import onnx
import torch
from torch import Tensor, nn

from umiak_workers.contract.errors import ArtefactError
from umiak_workers.models.appeal import AppealNet
from umiak_workers.models.blocks import grown
from umiak_workers.models.boxnet import BoxNet
from umiak_workers.models.build import MEAN, STD
from umiak_workers.models.classifier import Classifier
from umiak_workers.models.jointnet import JointNet
from umiak_workers.models.rfnet import RFNet

OPSET = 18
PREFIX = "network."
NO_LABELS = (Classifier, BoxNet, JointNet)
"""Networks that answer something else than a class for every pixel."""


class Deployed(nn.Module):
    """A network with the photo's normalisation before it and the label map after it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, *depth: Tensor) -> tuple[Tensor, ...]:
        """1xHxWx3 uint8 (and 1x1xHxW float32) -> (1xCxhxw float32 logits, 1xHxW uint8 labels).

        A network with an appeal head adds 1xhxw float32: the gain to expect from asking the cloud.
        """
        logits = self.network(normalised(image), *depth)
        if isinstance(self.network, NO_LABELS):
            return (logits,)
        size = (int(image.shape[1]), int(image.shape[2]))
        labels = grown(logits, size).argmax(dim=1).to(torch.uint8)
        if isinstance(self.network, AppealNet):
            return logits, labels, self.network.expected_gain(logits)
        return logits, labels


def normalised(image: Tensor) -> Tensor:
    """NxHxWx3 uint8 -> Nx3xHxW float32 as the networks want it."""
    scaled = image.to(torch.float32).permute(0, 3, 1, 2) * (1 / (255 * STD[0]))
    return scaled - MEAN[0] / STD[0]


def takes_depth(network: nn.Module) -> bool:
    """Whether it answers photo and depth map together."""
    return isinstance(network, RFNet) and network.depth is not None


def export_graph(network: nn.Module, height: int, width: int) -> bytes:
    """The ONNX graph of a network for photos of height x width; raises ArtefactError if a weight lost its name."""
    deployed = Deployed(network).eval()
    inputs = {"image": torch.zeros((1, height, width, 3), dtype=torch.uint8)}
    if takes_depth(network):
        inputs["depth"] = torch.zeros((1, 1, height, width))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            deployed,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=_outputs(network),
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    if program is None:
        raise ArtefactError("torch.onnx.export answered no program")
    return _named_like_the_network(program.model_proto, set(network.state_dict()))


def _outputs(network: nn.Module) -> list[str]:
    if isinstance(network, NO_LABELS):
        return ["logits"]
    return ["logits", "labels", *(["appeal"] if isinstance(network, AppealNet) else [])]


def _named_like_the_network(model: onnx.ModelProto, names: set[str]) -> bytes:
    """Drop the wrapper's prefix from every initializer; raises ArtefactError where a name is not of the network."""
    renamed = {}
    for initializer in model.graph.initializer:
        plain = initializer.name.removeprefix(PREFIX)
        if initializer.name.startswith(PREFIX) and plain not in names:
            raise ArtefactError(f"the exporter made tensor {plain!r}, which is not of the network")
        renamed[initializer.name] = plain
        initializer.name = plain
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    _drop_zero_biases(model.graph)
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    model.ClearField("metadata_props")
    return bytes(model.SerializeToString(deterministic=True))


def _drop_zero_biases(graph: onnx.GraphProto) -> None:
    """Take the bias off every convolution whose bias is zeros computed on the way.

    The exporter says "no bias" like that, and ONNX Runtime then does not fold the normalisation into the convolution
    when it loads the graph, which nearly doubles the time of a small network.
    """
    made_by = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) == 3 and _is_zeros(node.input[2], made_by):
            del node.input[2]
    needed = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):
        if needed.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            needed.update(node.input)


def _is_zeros(name: str, made_by: dict[str, onnx.NodeProto]) -> bool:
    """Whether it is the constant 0, cast and expanded."""
    node = made_by.get(name)
    if node is not None and node.op_type in ("Expand", "CastLike", "Cast"):
        return _is_zeros(node.input[0], made_by)
    if node is None or node.op_type != "Constant" or node.attribute[0].name != "value":
        return False
    return not onnx.numpy_helper.to_array(node.attribute[0].t).any()
