"""What an edge model costs and what int8 saves: operations, milliseconds, memory, and the accuracy paid for it.

The same frames go through every way of running a model, taking turns in random order, so that whatever else the machine
does falls on all of them alike. Budget: about a minute per model.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx

from umiak_workers.contract.errors import ArtefactError, UmiakError
from umiak_workers.core.metrics import Counts, block_bootstrap_difference, mean_iou
from umiak_workers.core.model import Model
from umiak_workers.predictors.onnx_graph import parse_graph
from umiak_workers.predictors.segmentation import Image, SegmentationOutput

BLOCK = 10
"""Frames in a block of the bootstrap."""
WARM_UP = 3
"""Rounds before the clock counts."""
NOT_PARAMETERS = ("running_mean", "running_var", "num_batches_tracked")


class Answers(Protocol):
    """Whatever answers a photo."""

    def predict(self, image: Image) -> SegmentationOutput: ...


@dataclass(frozen=True)
class Cost:
    """What a model is on paper: trained numbers, and multiply-accumulates per frame (a FLOP count is twice that)."""

    parameters: int
    macs: int


@dataclass(frozen=True)
class Row:
    """One way of running one model. `speed` = p50 of fp32 on ONNX Runtime / own p50; `megabytes` of resident memory."""

    model: str
    way: str
    p50: float
    p95: float
    speed: float
    megabytes: float | None
    miou: float | None = None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    """mIoU over fp32 on the same frames, with 95 % ends."""

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def cost(model: Model) -> Cost:
    """Parameters and multiply-accumulates; raises ArtefactError where a shape of the graph is not known."""
    return Cost(parameters(model), macs(model.graph))


def parameters(model: Model) -> int:
    """Trained numbers; what normalisation counted is none."""
    return sum(int(tensor.size) for name, tensor in model.weights.items() if not name.endswith(NOT_PARAMETERS))


def macs(graph: bytes) -> int:
    """Multiply-accumulates of every convolution and matrix product for one frame, from the shapes alone."""
    inferred = onnx.shape_inference.infer_shapes(_with_plain_axes(parse_graph(graph)), data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.value_info, *inferred.input, *inferred.output):
        if value.type.tensor_type.HasField("shape"):
            shapes[value.name] = [int(side.dim_value) for side in value.type.tensor_type.shape.dim]
    return sum(_node_macs(node, shapes) for node in inferred.node)


def _with_plain_axes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Our exporter says the axes of a mean as a constant flattened by Reshape; shape inference reads constants only."""
    constants = {name for node in model.graph.node if node.op_type == "Constant" for name in node.output}
    flattened = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "Reshape" and constants.issuperset(node.input)
    }
    for node in model.graph.node:
        if node.op_type == "ReduceMean" and len(node.input) > 1:
            node.input[1] = flattened.get(node.input[1], node.input[1])
    return model


def _node_macs(node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]]) -> int:
    """Each number of the output is a sum of so many products."""
    if node.op_type not in ("Conv", "Gemm", "MatMul"):
        return 0
    wanted = [shapes.get(name, [0]) for name in (node.output[0], *node.input[:2])]
    if any(0 in shape for shape in wanted):
        raise ArtefactError(f"graph: the shapes of {node.op_type} {node.name!r} are not known")
    out, left, right = wanted
    if node.op_type == "Conv":
        return int(np.prod(out) * np.prod(right[1:]))
    across = any(item.name == "transA" and item.i for item in node.attribute)
    return int(np.prod(out)) * left[0 if across else -1]


def take_turns(
    ways: Mapping[str, Answers],
    photos: Sequence[Image],
    seed: int,
    progress: Callable[[], None],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Milliseconds per photo of each way; every photo goes through all of them before the next one does."""
    rng, names = np.random.default_rng(seed), list(ways)
    for photo in photos[:WARM_UP]:
        for way in ways.values():
            way.predict(photo)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for photo in photos:
        for index in rng.permutation(len(names)):
            begun = clock()
            ways[names[index]].predict(photo)
            taken[names[index]].append(1000 * (clock() - begun))
        progress()
    return taken


def peak_megabytes(way: str, folders: Sequence[Path], threads: int, timeout: float) -> float | None:
    """Largest resident memory of a process that only answers with these models; None where it is not told."""
    command = [sys.executable, "-m", "umiak_workers.bench.edge_memory", way, str(threads), *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise UmiakError(f"{folders[0]}: measuring memory failed ({done.stderr.strip().splitlines()[-1:]})")
    return float(done.stdout) if done.stdout.strip() else None


def rows(
    model: str,
    taken: Mapping[str, Sequence[float]],
    memory: Mapping[str, float | None],
    counts: Mapping[str, Sequence[Counts]],
    base: str,
    seed: int,
) -> list[Row]:
    """A row for each way of running `model`; `counts` per frame of those that were scored, `base` being one of them."""
    unit = float(np.median(taken[base]))
    found = []
    for way, times in taken.items():
        p50, p95 = (float(value) for value in np.percentile(times, (50, 95)))
        scored = _scored(counts[base], counts[way], seed, way == base) if way in counts else ()
        found.append(Row(model, way, p50, p95, unit / p50, memory.get(way), *scored))
    return found


def _scored(base: Sequence[Counts], own: Sequence[Counts], seed: int, same: bool) -> tuple[float, ...]:
    """mIoU, and over the base's its gain with 95 % ends; nothing where no frame is labelled."""
    if not own:
        return ()
    miou = mean_iou(sum(own[1:], own[0]))
    if same:
        return (miou,)
    low, high = block_bootstrap_difference(base, own, min(BLOCK, len(own)), seed)
    return miou, miou - mean_iou(sum(base[1:], base[0])), low, high
