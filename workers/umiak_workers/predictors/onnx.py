"""Models on ONNX Runtime, without torch: what an edge runs. Any graph by its card, and the segmenter."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from umiak_workers.contract.artefact import Card
from umiak_workers.contract.errors import ArtefactError, InvalidPrediction
from umiak_workers.contract.messages import Task
from umiak_workers.core.model import Model, Tensors
from umiak_workers.predictors.onnx_graph import bind
from umiak_workers.predictors.segmentation import (
    Image,
    Scored,
    SegmentationOutput,
    check_golden,
    checked_appeal,
    checked_logits,
    fed,
    fitted,
    grown_labels,
    labels_of,
)

_CPU = "CPUExecutionProvider"
_GPU = ("CUDAExecutionProvider", {"use_tf32": "0"})
"""Without TF32, whose products keep ten bits: a golden answer would be off by more than it may."""
_RUNTIME_ERRORS = (
    native.EPFail,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoSuchFile,
    native.NotImplemented,
    native.RuntimeException,
)


class BoundGraph(ABC):
    """A graph bound to its weights and ready on `threads` CPU threads or the GPU; each task has a class of its own.

    `gpu` is for where `gpu_missing` says nothing.

    Raises ArtefactError if graph, weights and card disagree, or for a model of another task.
    """

    task: ClassVar[Task]

    def __init__(self, card: Card, graph: bytes, weights: Tensors, threads: int, gpu: bool = False) -> None:
        if card.task != self.task:
            raise ArtefactError(f"{card.name} is a {card.task} model, this needs one of {self.task}")
        self.card = card
        self._session = _session(bind(graph, weights, card.training_only), threads, gpu)
        _fits(self._session, card)
        self._wanted = [name for name in _named(card) if name]

    @abstractmethod
    def predict(self, image: Image) -> Scored:
        """Answer one HxWx3 uint8 photo of any size, as the task does; raises InvalidInput or InvalidPrediction."""

    def answers(self, image: Image) -> dict[str, NDArray[Any]]:
        """The graph's outputs by name for one HxWx3 uint8 photo of any size; raises InvalidInput, InvalidPrediction."""
        spec = self.card.input
        batch = fed(fitted(image, spec.width, spec.height), spec)
        try:
            found = self._session.run(self._wanted, {spec.name: batch})
        except _RUNTIME_ERRORS as error:
            raise InvalidPrediction(f"{self.card.name}: {error}") from error
        return dict(zip(self._wanted, found, strict=True))


class OnnxGraph(BoundGraph):
    """A segmentation graph."""

    task = "semantic-segmentation"

    def predict(self, image: Image) -> SegmentationOutput:
        """Answer one HxWx3 uint8 photo of any size; raises InvalidInput or InvalidPrediction."""
        answers = self.answers(image)
        outputs, (height, width) = self.card.outputs, image.shape[:2]
        logits = checked_logits(answers[outputs.logits], len(self.card.classes))
        appeal = None if outputs.appeal is None else checked_appeal(answers[outputs.appeal], logits.shape[1:])
        if outputs.labels is None:
            return SegmentationOutput(labels_of(logits, height, width), logits, appeal)
        labels = self._checked_labels(answers[outputs.labels])
        return SegmentationOutput(grown_labels(labels, height, width), logits, appeal)

    def _checked_labels(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        shape = (1, self.card.input.height, self.card.input.width)
        if labels.shape != shape or labels.dtype != np.uint8:
            raise InvalidPrediction(f"labels are {labels.shape} {labels.dtype}, expected {shape} uint8")
        if labels.max() >= len(self.card.classes):
            raise InvalidPrediction(f"labels hold class {labels.max()}, there are {len(self.card.classes)}")
        found: NDArray[np.uint8] = labels[0]
        return found


class FromArtefact(BoundGraph):
    """A graph of an artefact, with its digest and golden input; stands before the class of its task."""

    def __init__(self, model: Model, threads: int, gpu: bool = False) -> None:
        super().__init__(model.card, model.graph, model.weights, threads, gpu)
        self.digest: str = model.digest
        self._golden = model.golden

    def check_golden(self) -> None:
        """Answer the golden input; raises InvalidPrediction if the answer is not the recorded one."""
        check_golden(self.predict(self._golden.image), self._golden)


class OnnxSegmenter(FromArtefact, OnnxGraph):
    """A segmentation model."""


def _named(card: Card) -> tuple[str | None, ...]:
    return card.outputs.logits, card.outputs.labels, card.outputs.appeal


def gpu_missing() -> str:
    """Why ONNX Runtime cannot use a GPU here; empty where it can, which a graph of one node has shown."""
    offered = onnxruntime.get_available_providers()
    if _GPU[0] not in offered:
        return f"this ONNX Runtime has no {_GPU[0]}, only {', '.join(offered)}"
    value = onnx.helper.make_tensor_value_info("value", onnx.TensorProto.FLOAT, [1])
    same = onnx.helper.make_tensor_value_info("same", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["value"], ["same"])
    graph = onnx.helper.make_graph([node], "identity", [value], [same])
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 17)])
    try:
        _session(model.SerializeToString(), 1, gpu=True)
    except ArtefactError as error:
        return f"{error}; is there a GPU, and are the CUDA libraries that ONNX Runtime was built for?"
    return ""


def _session(graph: bytes, threads: int, gpu: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [_GPU, _CPU] if gpu else [_CPU]
    try:
        made = onnxruntime.InferenceSession(graph, options, providers=providers, enable_fallback=0)
    except _RUNTIME_ERRORS as error:
        raise ArtefactError(f"graph: ONNX Runtime refuses it ({error})") from error
    if gpu and _GPU[0] not in made.get_providers():
        raise ArtefactError(f"graph: ONNX Runtime would run it without its {_GPU[0]}")
    return made


def _fits(session: onnxruntime.InferenceSession, card: Card) -> None:
    spec, inputs = card.input, session.get_inputs()
    if [entry.name for entry in inputs] != [spec.name]:
        raise ArtefactError(f"graph: inputs {[entry.name for entry in inputs]}, the card says {[spec.name]}")
    kind = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}[spec.dtype]
    sizes = [1, spec.height, spec.width, 3] if spec.layout == "NHWC" else [1, 3, spec.height, spec.width]
    fixed = [size if isinstance(size, int) else wanted for size, wanted in zip(inputs[0].shape, sizes, strict=False)]
    if inputs[0].type != kind or len(inputs[0].shape) != 4 or fixed != sizes:
        raise ArtefactError(f"graph: input is {inputs[0].type}{inputs[0].shape}, the card says {kind}{sizes}")
    outputs = {entry.name for entry in session.get_outputs()}
    for name in _named(card):
        if name and name not in outputs:
            raise ArtefactError(f"graph: there is no output {name!r}, only {sorted(outputs)}")
