"""What every model answers, whatever its task: a role that goes by this knows no task by name."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.artefact import Card
from umiak_workers.contract.errors import ArtefactError
from umiak_workers.contract.messages import Scores, Task
from umiak_workers.core.model import Golden, Model, Tensors
from umiak_workers.predictors import classification, detection, keypoints, onnx
from umiak_workers.predictors.classification import OnnxClassifier
from umiak_workers.predictors.detection import OnnxDetector
from umiak_workers.predictors.keypoints import OnnxKeypoints
from umiak_workers.predictors.onnx import OnnxSegmenter


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


LOADERS: Mapping[str, Callable[[Model, int], Answering]] = {
    "semantic-segmentation": OnnxSegmenter,
    "image-classification": OnnxClassifier,
    "object-detection": OnnxDetector,
    "keypoint-detection": OnnxKeypoints,
}
"""Task -> (model, CPU threads) -> a loaded model."""
_RECORDERS: Mapping[str, Callable[[Card, bytes, Tensors, NDArray[np.uint8], float], Golden]] = {
    "semantic-segmentation": onnx.record_golden,
    "image-classification": classification.record_golden,
    "object-detection": detection.record_golden,
    "keypoint-detection": keypoints.record_golden,
}


def answering(model: Model, threads: int, task: Task) -> Answering:
    """The model ready to answer on ONNX Runtime; raises ArtefactError for one of another task."""
    if model.card.task != task:
        raise ArtefactError(f"task: {model.card.name} is a {model.card.task} model, {task} is answered here")
    return loaded(model, threads)


def loaded(model: Model, threads: int) -> Answering:
    """A model of any task ready to answer; raises ArtefactError for a task that this release does not answer."""
    card = model.card
    if card.task not in LOADERS:
        raise ArtefactError(f"{card.name}: {card.task} has no graph to run, models of {', '.join(LOADERS)} have")
    return LOADERS[card.task](model, threads)


def record_golden(card: Card, graph: bytes, weights: Tensors, image: NDArray[np.uint8], tolerance: float) -> Golden:
    """What this model answers to `image` now, kept to recognise it later; see the recorder of its task."""
    if card.task not in _RECORDERS:
        raise ArtefactError(f"{card.name}: {card.task} has no graph to run, models of {', '.join(_RECORDERS)} have")
    return _RECORDERS[card.task](card, graph, weights, image, tolerance)


def check_golden(model: Model) -> None:
    """Let a model of any task answer its golden input; raises InvalidPrediction if it is off, ArtefactError."""
    loaded(model, 1).check_golden()
