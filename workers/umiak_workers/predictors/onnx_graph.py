"""Taking weights out of an ONNX graph and putting them back, by name.

An artefact's graph carries no weights. Each initializer is bound to the tensor of the same name, dtype and shape in
the weights file, or the model is refused with that tensor's name; binding by file offset would accept a file with a
longer header and answer garbage.
"""

import numpy as np
import onnx
from onnx import numpy_helper

from umiak_workers.contract.artefact import WEIGHTS
from umiak_workers.contract.errors import ArtefactError
from umiak_workers.core.model import Tensors

MAX_EMBEDDED = 4096
"""Elements an initializer may carry inside the graph: constants of reshapes and resizes, never weights."""


def bind(graph: bytes, weights: Tensors, training_only: tuple[str, ...]) -> bytes:
    """The serialized graph with every external initializer filled from the tensor of its name.

    Raises ArtefactError that names the first tensor that is missing, unlike or left over.
    """
    model = parse_graph(graph)
    bound = set()
    for initializer in model.graph.initializer:
        if initializer.data_location == onnx.TensorProto.EXTERNAL:
            initializer.CopyFrom(_filled(initializer, weights))
            bound.add(initializer.name)
        elif int(np.prod(initializer.dims)) > MAX_EMBEDDED:
            raise ArtefactError(f"graph: tensor {initializer.name!r} has its values inside the graph")
    if spare := sorted(set(weights) - bound - set(training_only)):
        raise ArtefactError(f"weights: tensor {spare[0]!r} is used by no initializer and is not in card.training_only")
    if absent := sorted(set(training_only) - set(weights)):
        raise ArtefactError(f"card.training_only: there is no tensor {absent[0]!r} in the weights")
    return bytes(model.SerializeToString())


def parse_graph(graph: bytes) -> onnx.ModelProto:
    """The graph as a protobuf message; raises ArtefactError."""
    try:
        return onnx.load_model_from_string(graph)
    except Exception as error:  # protobuf's DecodeError has no stable import path across its implementations
        raise ArtefactError(f"graph: not an ONNX model ({error})") from error


def _filled(initializer: onnx.TensorProto, weights: Tensors) -> onnx.TensorProto:
    name = initializer.name
    if name not in weights:
        raise ArtefactError(f"weights: tensor {name!r} of the graph is missing")
    tensor, shape = weights[name], tuple(initializer.dims)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(initializer.data_type)
    if tensor.shape != shape or tensor.dtype != dtype:
        raise ArtefactError(
            f"weights: tensor {name!r} is {tensor.dtype}{list(tensor.shape)}, the graph wants {dtype}{list(shape)}"
        )
    return numpy_helper.from_array(np.ascontiguousarray(tensor), name)


def strip(graph: bytes, weights: Tensors) -> bytes:
    """The graph with every initializer that `weights` names emptied and marked as external.

    Raises ArtefactError that names a tensor whose dtype or shape differs, or a large one that `weights` lacks.
    """
    model = parse_graph(graph)
    for initializer in model.graph.initializer:
        if initializer.name in weights:
            _filled(initializer, weights)
            initializer.CopyFrom(_hollow(initializer))
        elif initializer.data_location == onnx.TensorProto.EXTERNAL:
            raise ArtefactError(f"weights: tensor {initializer.name!r} of the graph is missing")
        elif int(np.prod(initializer.dims)) > MAX_EMBEDDED:
            raise ArtefactError(f"weights: tensor {initializer.name!r} ({list(initializer.dims)}) is only in the graph")
    return bytes(model.SerializeToString(deterministic=True))


def spare_tensors(graph: bytes, weights: Tensors) -> tuple[str, ...]:
    """Names in `weights` that no initializer of the graph uses, sorted: a card lists them as training_only."""
    used = {initializer.name for initializer in parse_graph(graph).graph.initializer}
    return tuple(sorted(set(weights) - used))


def _hollow(initializer: onnx.TensorProto) -> onnx.TensorProto:
    hollow = onnx.TensorProto(name=initializer.name, data_type=initializer.data_type, dims=initializer.dims)
    hollow.data_location = onnx.TensorProto.EXTERNAL
    hollow.external_data.add(key="location", value=WEIGHTS)
    return hollow
