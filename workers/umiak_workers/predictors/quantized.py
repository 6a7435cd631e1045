"""A float model made an int8 one, by looking at photos: static quantisation of ONNX Runtime.

Weights are int8 per output channel, activations uint8 per tensor over the range that the photos showed: clipping rare
values (percentiles) did not help when measured, and ONNX Runtime's entropy method answers that very range. Such a model
is a line of its own: it answers, but it is not trained any further, so its card names no architecture. The label map at
the end is exactly that of its int8 logits.
"""

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from umiak_workers.contract.artefact import Card
from umiak_workers.contract.errors import ArtefactError, UmiakError
from umiak_workers.core.model import Golden, Model, Tensors
from umiak_workers.datasets.sample import Dataset
from umiak_workers.predictors.answering import record_golden
from umiak_workers.predictors.onnx_graph import bind, parse_graph, strip
from umiak_workers.predictors.onnx_rewrite import add_labels, feed_bytes, folded, values, without_labels
from umiak_workers.predictors.segmentation import Image, fed, fitted

LINEAR = ("QuantizeLinear", "DequantizeLinear")
KINDS = ("Conv", "Gemm", "MatMul", "Add", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Resize")
"""What is done in int8; everything else stays float."""
STEPS = 2
"""A golden logit may differ by so many steps of the logits' scale: other processors round a few numbers otherwise."""


@dataclass(frozen=True)
class Parts:
    """What an artefact is written from."""

    card: Card
    graph: bytes
    weights: Tensors
    golden: Golden


def without_normalisation(model: Model) -> Parts:
    """The float model with normalisation folded into convolutions: what int8 starts from, and its honest peer."""
    _runnable(model)
    whole = folded(bind(model.graph, model.weights, model.card.training_only), model.weights)
    return _parts(whole, _answering(model.card, model.card.name), model, model.golden.tolerance)


def quantize(model: Model, photos: Sequence[Image], narrow: bool, made_by: str, progress: Callable[[], None]) -> Parts:
    """The int8 model of a float one, calibrated on HxWx3 uint8 photos of any size; `progress` is called for each.

    `narrow` gives weights 7 bits, for x86 CPUs without VNNI, where sums of products may saturate with 8. Raises
    ArtefactError for a model without a float graph, InvalidInput for what is no photo.
    """
    _runnable(model)
    if not photos:
        raise ArtefactError(f"{model.card.name}: calibration needs at least one photo")
    body = folded(bind(model.graph, model.weights, model.card.training_only), model.weights)
    if any(node.op_type in LINEAR for node in body.graph.node):
        raise ArtefactError(f"{model.card.name}: its graph is int8 already")
    ours = without_labels(body, model.card)
    spec = model.card.input
    feeds = ({spec.name: fed(fitted(photo, spec.width, spec.height), spec)} for photo in photos)
    whole = _quantized(body, _Photos(feeds, progress), narrow, model.card.name)
    feed_bytes(whole, spec.name)
    if ours:
        add_labels(whole, model.card)
    card = _answering(model.card, f"{model.card.name}-int8").model_copy(update={"made_by": made_by})
    return _parts(whole, card, model, max(model.golden.tolerance, STEPS * _logits_step(whole, card)))


def spread(samples: Dataset, frames: int) -> list[Image]:
    """So many photos, evenly spread over a data set that may be a film; all of them where it has fewer."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(frames, len(samples))).round().astype(int))
    return [samples[int(index)].image for index in chosen]


def _runnable(model: Model) -> None:
    if model.card.task != "semantic-segmentation":
        raise ArtefactError(f"{model.card.name}: task is {model.card.task}, int8 takes semantic-segmentation")


def _answering(card: Card, name: str) -> Card:
    """The card of a model that answers and cannot be trained; figures of the float model are not its own."""
    nothing: dict[str, Any] = {"architecture": None, "base_data": None, "training_only": (), "layer_sets": {}}
    return card.model_copy(update={**nothing, "name": name, "metrics": {}})


def _parts(whole: onnx.ModelProto, card: Card, model: Model, tolerance: float) -> Parts:
    """Graph and weights apart; single numbers (an activation's step) and shapes are constants and stay in the graph."""
    weights = {name: value for name, value in values(whole.graph).items() if value.ndim and value.dtype != np.int64}
    del whole.metadata_props[:]
    del whole.graph.value_info[:]
    graph = strip(whole.SerializeToString(), weights)
    return Parts(card, graph, weights, record_golden(card, graph, weights, model.golden.image, tolerance))


def _quantized(body: onnx.ModelProto, photos: CalibrationDataReader, narrow: bool, name: str) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder, _quietly():
        path = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                body,
                path,
                photos,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(KINDS),
                per_channel=True,
                reduce_range=narrow,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except UmiakError:
            raise
        except Exception as error:  # whatever a graph of a user's own makes the quantiser stumble over
            raise ArtefactError(f"{name}: ONNX Runtime cannot make this graph int8 ({error})") from error
        whole = parse_graph(path.read_bytes())
    if not any(node.op_type == "QuantizeLinear" for node in whole.graph.node):
        raise ArtefactError(f"{name}: the graph has nothing that int8 helps, such as {', '.join(KINDS[:3])}")
    return whole


def _logits_step(whole: onnx.ModelProto, card: Card) -> float:
    """The scale of int8 logits; 0 where they are float."""
    for node in whole.graph.node:
        if card.outputs.logits in node.output and node.op_type == "DequantizeLinear":
            return float(values(whole.graph)[node.input[1]].max())
    return 0.0


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The quantiser prints what it does and warns of what was done above: neither is for a person."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


class _Photos(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Any, progress: Callable[[], None]) -> None:
        self._feeds, self._progress = feeds, progress

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        feed: dict[str, NDArray[Any]] | None = next(self._feeds, None)
        if feed is not None:
            self._progress()
        return feed
