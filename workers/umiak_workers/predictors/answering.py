"""What every model answers, whatever its task: a role that goes by this knows no task by name."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.artefact import Card
from umiak_workers.contract.errors import ArtefactError
from umiak_workers.contract.messages import Scores, Task
from umiak_workers.core.model import Golden, Model, Tensors
from umiak_workers.predictors.classification import ClassifierGraph, OnnxClassifier
from umiak_workers.predictors.detection import OnnxBoxes, OnnxDetector
from umiak_workers.predictors.keypoints import OnnxJoints, OnnxKeypoints
from umiak_workers.predictors.onnx import BoundGraph, OnnxGraph, OnnxSegmenter
from umiak_workers.predictors.segmentation import fitted


class Said(Protocol):
    """A model's answer to one photo."""

    def scores(self) -> Scores:
        """How sure the model is of itself; raises InvalidPrediction."""
        ...

    def payload(self) -> bytes:
        """The answer as its task packs it."""
        ...

    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """The answer by the Open Inference Protocol, names and dtypes as the task's `Kind` says, without batch axis."""
        ...

    def hardness(self, by: Literal["Margin", "Appeal"] = "Margin") -> NDArray[np.float32] | None:
        """hxw, at most 1: where the photo is hard; None where task or model cannot say it."""
        ...


class Answering(Protocol):
    """A loaded model."""

    @property
    def card(self) -> Card: ...

    @property
    def digest(self) -> str: ...

    def predict(self, image: NDArray[np.uint8]) -> Said:
        """Answer one HxWx3 uint8 photo; raises InvalidInput or InvalidPrediction."""
        ...

    def check_golden(self) -> None:
        """Answer the golden input; raises InvalidPrediction unless the answer is the recorded one."""
        ...


GRAPHS: Mapping[str, type[BoundGraph]] = {
    kind.task: kind for kind in (OnnxGraph, ClassifierGraph, OnnxBoxes, OnnxJoints)
}
"""Task -> what runs a graph of it."""
LOADERS: Mapping[str, Callable[[Model, int, bool], Answering]] = {
    OnnxSegmenter.task: OnnxSegmenter,
    OnnxClassifier.task: OnnxClassifier,
    OnnxDetector.task: OnnxDetector,
    OnnxKeypoints.task: OnnxKeypoints,
}
"""Task -> (model, CPU threads, on the GPU) -> a loaded model."""


def answering(model: Model, threads: int, task: Task, gpu: bool = False) -> Answering:
    """The model ready to answer on ONNX Runtime; raises ArtefactError for one of another task."""
    if model.card.task != task:
        raise ArtefactError(f"task: {model.card.name} is a {model.card.task} model, {task} is answered here")
    return loaded(model, threads, gpu)


def loaded(model: Model, threads: int, gpu: bool = False) -> Answering:
    """A model of any task ready to answer; raises ArtefactError for a task that this release does not answer."""
    card = model.card
    if card.task not in LOADERS:
        raise ArtefactError(f"{card.name}: {card.task} has no graph to run, models of {', '.join(LOADERS)} have")
    return LOADERS[card.task](model, threads, gpu)


def record_golden(
    card: Card, graph: bytes, weights: Tensors, image: NDArray[np.uint8], tolerance: float = 0.01
) -> Golden:
    """What this model answers to `image` now, kept to recognise it later; the image is resized to the card's input."""
    if card.task not in GRAPHS:
        raise ArtefactError(f"{card.name}: {card.task} has no graph to run, models of {', '.join(GRAPHS)} have")
    small = fitted(image, card.input.width, card.input.height)
    return Golden(small, GRAPHS[card.task](card, graph, weights, threads=1).predict(small).logits, tolerance)


def check_golden(model: Model) -> None:
    """Let a model of any task answer its golden input; raises InvalidPrediction if it is off, ArtefactError."""
    loaded(model, 1).check_golden()
