"""From a torch module to an ONNX graph: unfolded, with initializers named like the network's state_dict.

The exported graph takes the photo as it is (1xHxWx3 uint8), normalises it, and answers `logits` at the network's own
resolution and `labels` (1xHxW uint8) at the photo's. Nothing is fused, so any later weights of the same architecture
can be bound to the same graph by name.

A network with a depth branch gets a second input `depth` (1x1xHxW float32). Such a graph runs on ONNX Runtime, but an
artefact's card speaks of one input only, so edges do not serve it yet.
"""

import warnings

import onnx
import torch
from torch import Tensor, nn

from umiak_workers.contract.errors import ArtefactError
from umiak_workers.models.blocks import grown
from umiak_workers.models.build import MEAN, STD
from umiak_workers.models.rfnet import RFNet

OPSET = 18
PREFIX = "network."


class Deployed(nn.Module):
    """A network with the photo's normalisation before it and the label map after it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, *depth: Tensor) -> tuple[Tensor, Tensor]:
        """1xHxWx3 uint8 (and 1x1xHxW float32) -> (1xCxhxw float32 logits, 1xHxW uint8 labels)."""
        logits = self.network(normalised(image), *depth)
        size = (int(image.shape[1]), int(image.shape[2]))
        return logits, grown(logits, size).argmax(dim=1).to(torch.uint8)


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
            output_names=["logits", "labels"],
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    if program is None:
        raise ArtefactError("torch.onnx.export answered no program")
    return _named_like_the_network(program.model_proto, set(network.state_dict()))


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
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    model.ClearField("metadata_props")
    return bytes(model.SerializeToString(deterministic=True))
