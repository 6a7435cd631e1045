"""A classifier on ONNX Runtime: one class for a photo, with the probability of every class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.artefact import Card
from umiak_workers.contract.errors import InvalidPrediction
from umiak_workers.contract.messages import Scores
from umiak_workers.core.model import Golden, Model, Tensors
from umiak_workers.core.scores import gate_scores, softmax
from umiak_workers.core.tasks.classification import pack
from umiak_workers.predictors.onnx import BoundGraph
from umiak_workers.predictors.segmentation import Image, check_golden, fitted


@dataclass(frozen=True)
class ClassificationOutput:
    """`logits` C float32 over `classes`, in the card's order."""

    classes: tuple[str, ...]
    logits: NDArray[np.float32]

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """C float32 that sum to 1; raises InvalidPrediction."""
        return softmax(self.logits)

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.classes[int(self.logits.argmax())]

    def scores(self) -> Scores:
        """Of the one softmax; raises InvalidPrediction."""
        return gate_scores(self.logits)

    def payload(self) -> bytes:
        """Class and probabilities as canonical JSON."""
        return pack(self.classes, self.probabilities)

    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """C float32."""
        return {"probabilities": self.probabilities}

    def hardness(self, by: str = "Margin") -> None:
        """A class is of the whole photo."""


class ClassifierGraph(BoundGraph):
    """A classification graph."""

    def __init__(self, card: Card, graph: bytes, weights: Tensors, threads: int) -> None:
        super().__init__("image-classification", card, graph, weights, threads)

    def predict(self, image: Image) -> ClassificationOutput:
        """Answer one HxWx3 uint8 photo of any size; raises InvalidInput or InvalidPrediction."""
        logits = self.answers(image)[self.card.outputs.logits]
        count = len(self.card.classes)
        if logits.shape != (1, count) or logits.dtype != np.float32:
            raise InvalidPrediction(f"logits are {logits.shape} {logits.dtype}, expected (1, {count}) float32")
        if not np.isfinite(logits).all():
            raise InvalidPrediction("logits are not finite")
        return ClassificationOutput(self.card.classes, logits[0])


class OnnxClassifier(ClassifierGraph):
    """A model of an artefact, with its digest and golden input."""

    def __init__(self, model: Model, threads: int) -> None:
        super().__init__(model.card, model.graph, model.weights, threads)
        self.digest: str = model.digest
        self._golden = model.golden

    def check_golden(self) -> None:
        """Answer the golden input; raises InvalidPrediction if the answer is not the recorded one."""
        check_golden(self.predict(self._golden.image), self._golden)


def record_golden(card: Card, graph: bytes, weights: Tensors, image: Image, tolerance: float = 0.01) -> Golden:
    """What this model answers to `image` now, kept to recognise it later; the image is resized to the card's input."""
    small = fitted(image, card.input.width, card.input.height)
    return Golden(small, ClassifierGraph(card, graph, weights, threads=1).predict(small).logits, tolerance)
