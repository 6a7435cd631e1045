"""Rewriting an ONNX graph for speed where an artefact of its own is made of it, as int8 does.

The graphs that training exports stay unfolded, so that any later weights fit them by name. A model that answers only
needs no such care: normalisation is folded into convolutions, and around an int8 body the float parts become the most
of the time, so the two of our own exporter are said in a faster way. Whatever is not recognised stays as it is.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from umiak_workers.contract.artefact import Card
from umiak_workers.core.model import Tensors

HALF_PIXEL = (b"half_pixel", b"pytorch_half_pixel")


def folded(graph: bytes, names: Tensors) -> onnx.ModelProto:
    """A whole graph with its constants computed and normalisations folded into convolutions, tensors named as before.

    `names` are the weights of the graph. ONNX Runtime's hardware-independent passes do it; it takes two rounds, since
    the first finds the constants that the second folds with.
    """
    model = onnx.load_model_from_string(_optimised(_optimised(graph)))
    spoken = {tensor.name: _plain(tensor.name, names) for tensor in model.graph.initializer}
    if len(set(spoken.values())) == len(spoken):
        rename(model.graph, spoken)
    return model


def rename(graph: onnx.GraphProto, spoken: dict[str, str]) -> None:
    """Give initializers other names, in place."""
    for tensor in graph.initializer:
        tensor.name = spoken.get(tensor.name, tensor.name)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = spoken.get(name, name)


def values(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    """Initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove, in place, nodes and initializers that no output needs."""
    needed = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):
        if needed.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            needed.update(node.input)
    for tensor in list(graph.initializer):
        if tensor.name not in needed:
            graph.initializer.remove(tensor)


def without_labels(model: onnx.ModelProto, card: Card) -> bool:
    """Take our exporter's label map (resize the logits, argmax, cast) out of the graph; False where it has another."""
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    chain, name = [], card.outputs.labels or ""
    for kind in ("Cast", "ArgMax", "Resize"):
        node = made_by.get(name)
        if node is None or node.op_type != kind:
            return False
        chain.append(node)
        name = node.input[0]
    facts = {item.name: helper.get_attribute_value(item) for node in chain[1:] for item in node.attribute}
    said = [facts.get(what) for what in ("axis", "mode", "coordinate_transformation_mode")]
    if name != card.outputs.logits or said[:2] != [1, b"linear"] or said[2] not in HALF_PIXEL:
        return False
    graph.output.remove(next(output for output in graph.output if output.name == card.outputs.labels))
    drop_unused(graph)
    return True


def add_labels(model: onnx.ModelProto, card: Card) -> None:
    """Put the label map back: the same bilinear resize as two matrix products, which ONNX Runtime does much faster.

    Dense products cost logits x side; at the sizes of an edge that is less than a millisecond.
    """
    graph, logits, labels = model.graph, card.outputs.logits, card.outputs.labels or ""
    shape = next(output for output in graph.output if output.name == logits).type.tensor_type.shape
    low, narrow = (int(dimension.dim_value) for dimension in list(shape.dim)[-2:])
    high, wide = card.input.height, card.input.width
    rows = numpy_helper.from_array(bilinear(low, high), "labels.rows")
    columns = numpy_helper.from_array(np.ascontiguousarray(bilinear(narrow, wide).T), "labels.columns")
    graph.initializer.extend([rows, columns])
    graph.node.extend(
        [
            helper.make_node("MatMul", ["labels.rows", logits], ["labels.tall"]),
            helper.make_node("MatMul", ["labels.tall", "labels.columns"], ["labels.grown"]),
            helper.make_node("ArgMax", ["labels.grown"], ["labels.best"], axis=1, keepdims=0),
            helper.make_node("Cast", ["labels.best"], [labels], to=onnx.TensorProto.UINT8),
        ]
    )
    graph.output.append(helper.make_tensor_value_info(labels, onnx.TensorProto.UINT8, [1, high, wide]))


def bilinear(low: int, high: int) -> NDArray[np.float32]:
    """The highxlow matrix that resizes a line of `low` cells to `high`, pixel centres aligned."""
    at = np.clip((np.arange(high) + 0.5) * low / high - 0.5, 0, low - 1)
    below = np.minimum(np.floor(at).astype(int), max(low - 2, 0))
    above = np.minimum(below + 1, low - 1)
    matrix = np.zeros((high, low), np.float64)
    np.add.at(matrix, (np.arange(high), below), 1 - (at - below))
    np.add.at(matrix, (np.arange(high), above), at - below)
    return matrix.astype(np.float32)


def feed_bytes(model: onnx.ModelProto, photo: str) -> bool:
    """Let the first int8 convolution read the photo's own bytes; False where the graph begins in another way.

    Our exporter begins with cast, transpose, `x * scale - shift`, and quantising that gives the bytes back nearly as
    they were. So the bytes are declared to be int8 values with that scale and the zero point nearest to the shift, and
    what rounding the zero point moved goes into the convolution's bias.
    """
    graph = model.graph
    chain = _chain(graph, photo, ("Cast", "Transpose", "Mul", "Sub", "QuantizeLinear", "DequantizeLinear", "Conv"))
    known = values(graph)
    if chain is None or not {chain[2].input[1], chain[3].input[1]} <= set(known):
        return False
    scale, shift = float(known[chain[2].input[1]]), float(known[chain[3].input[1]])
    zero = round(shift / scale)
    dequantize, conv = chain[5], chain[6]
    if not 0 <= zero <= 255 or known[dequantize.input[2]].dtype != np.uint8 or len(conv.input) != 3:
        return False
    made_by = {name: node for node in graph.node for name in node.output}
    weight, bias = made_by[conv.input[1]], made_by[conv.input[2]]
    kernel = _real(known, weight)
    moved = _real(known, bias) + (zero * scale - shift) * kernel.sum(axis=(1, 2, 3))
    step = np.float32(scale) * known[weight.input[1]]
    replaced = {
        bias.input[0]: np.round(moved / step).astype(np.int32),
        bias.input[1]: step.astype(np.float32),
        dequantize.input[1]: np.full(known[dequantize.input[1]].shape, scale, np.float32),
        dequantize.input[2]: np.full(known[dequantize.input[2]].shape, zero, np.uint8),
    }
    for tensor in graph.initializer:
        if tensor.name in replaced:
            tensor.CopyFrom(numpy_helper.from_array(replaced[tensor.name], tensor.name))
    chain[1].input[0] = photo
    dequantize.input[0] = chain[1].output[0]
    drop_unused(graph)
    return True


def _real(known: dict[str, NDArray[Any]], node: onnx.NodeProto) -> NDArray[np.float64]:
    """What a DequantizeLinear of a weight (first axis by channel) or bias answers."""
    whole, steps = known[node.input[0]].astype(np.float64), known[node.input[1]].astype(np.float64)
    return whole * steps.reshape(-1, *[1] * (whole.ndim - 1))


def _chain(graph: onnx.GraphProto, start: str, kinds: tuple[str, ...]) -> list[onnx.NodeProto] | None:
    """The nodes of these kinds that follow each other from `start` as the only readers, or None."""
    found, name = [], start
    for kind in kinds:
        readers = [node for node in graph.node if name in node.input]
        if len(readers) != 1 or readers[0].op_type != kind or readers[0].input[0] != name:
            return None
        found.append(readers[0])
        name = readers[0].output[0]
    return found


def _plain(name: str, names: Tensors) -> str:
    """The longest known name that `name` ends with: passes put what they did in front of it."""
    return max((known for known in names if name.endswith(known)), key=len, default=name)


def _optimised(graph: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "graph.onnx")
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return (Path(folder) / "graph.onnx").read_bytes()
