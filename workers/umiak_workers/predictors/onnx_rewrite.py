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
    """Take our exporter's label map (resize the logits, argmax, cast) out of the graph, for `add_labels` to put back.

    False, and nothing done, where the graph has another.
    """
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
    if not _times(graph, card) or max(entry.version for entry in model.opset_import if entry.domain == "") < 18:
        return False
    graph.output.remove(next(output for output in graph.output if output.name == card.outputs.labels))
    drop_unused(graph)
    return True


def add_labels(model: onnx.ModelProto, card: Card) -> None:
    """Put the label map back, in whole numbers: exactly the best class of the resized int8 logits, much faster.

    Doubling, or 4 or 8 times, mixes neighbours by multiples of 1/2x, so one small convolution gives every phase of the
    finer map as a whole number. Times a power of two and with the class in the low bits, the largest number names its
    class, and one maximum does what a resize and an argmax over the fine map would; float32 holds all of it exactly.
    """
    graph, labels = model.graph, card.outputs.labels or ""
    quantized = _quantized_logits(graph, card)
    times, count = _times(graph, card), len(card.classes)
    room = 1 << (count - 1).bit_length()
    kernel = np.tile(phases(times) * room, (count, 1, 1))[:, None]
    codes = np.repeat(room - 1 - np.arange(count), times * times)
    constants: dict[str, NDArray[Any]] = {
        "labels.kernel": kernel.astype(np.float32),
        "labels.codes": codes.astype(np.float32),
        "labels.mask": np.asarray([room - 1], np.int32),
        "labels.pads": np.asarray([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "labels.size": np.asarray([1, card.input.height, card.input.width], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Cast", [], {"to": onnx.TensorProto.FLOAT}),
        ("Pad", ["labels.pads"], {"mode": "edge"}),
        ("Conv", ["labels.kernel", "labels.codes"], {"group": count}),
        ("Max", [], {}),
        ("Cast", [], {"to": onnx.TensorProto.INT32}),
        ("BitwiseNot", [], {}),
        ("BitwiseAnd", ["labels.mask"], {}),
        ("Cast", [], {"to": onnx.TensorProto.UINT8}),
        ("DepthToSpace", [], {"blocksize": times}),
        ("Reshape", ["labels.size"], {}),
    ]
    name = quantized
    for number, (kind, more, facts) in enumerate(steps, start=1):
        answer = labels if number == len(steps) else f"labels.{number}"
        inputs = [name, *more]
        if kind == "Max":  # of the classes apart, which is faster than a reduction over all of them
            inputs = [f"labels.class.{each}" for each in range(count)]
            graph.node.append(helper.make_node("Split", [name], inputs, axis=1, num_outputs=count))
        graph.node.append(helper.make_node(kind, inputs, [answer], **facts))
        name = answer
    shape = [1, card.input.height, card.input.width]
    graph.output.append(helper.make_tensor_value_info(labels, onnx.TensorProto.UINT8, shape))


def phases(times: int) -> NDArray[np.int64]:
    """(times^2)x3x3 whole numbers: how much of each neighbour a finer cell has, in shares of 4 times^2.

    Bilinear with aligned pixel centres; the cell in row i and column j of its coarse one is number i x times + j.
    """
    at = (2 * np.arange(times) + 1 - times)[:, None]  # from the coarse centre, in shares of 2 times
    line = np.concatenate([np.maximum(-at, 0), 2 * times - np.abs(at), np.maximum(at, 0)], axis=1)
    grid: NDArray[np.int64] = np.einsum("ia,jb->ijab", line, line).reshape(times * times, 3, 3)
    return grid


def _times(graph: onnx.GraphProto, card: Card) -> int:
    """How many label cells a side of a logit has; 0 where it is none that whole numbers can do."""
    shape = next(output for output in graph.output if output.name == card.outputs.logits).type.tensor_type.shape
    low, narrow = (int(dimension.dim_value) for dimension in list(shape.dim)[-2:])
    fits = [n for n in (2, 4, 8) if (low * n, narrow * n) == (card.input.height, card.input.width)]
    return fits[0] if fits else 0


def _quantized_logits(graph: onnx.GraphProto, card: Card) -> str:
    node = next(node for node in graph.node if card.outputs.logits in node.output)
    return str(node.input[0])


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
