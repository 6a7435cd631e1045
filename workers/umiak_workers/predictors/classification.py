"""A classifier on ONNX Runtime: one class for a photo, with the probability of every class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.errors import InvalidPrediction
from umiak_workers.contract.messages import Scores
from umiak_workers.core.scores import gate_scores, softmax
from umiak_workers.core.tasks.classification import pack
from umiak_workers.predictors.onnx import BoundGraph, FromArtefact
from umiak_workers.predictors.segmentation import Image


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

    task = "image-classification"

    def predict(self, image: Image) -> ClassificationOutput:
        """Answer one HxWx3 uint8 photo of any size; raises InvalidInput or InvalidPrediction."""
        logits = self.answers(image)[self.card.outputs.logits]
        count = len(self.card.classes)
        if logits.shape != (1, count) or logits.dtype != np.float32:
            raise InvalidPrediction(f"logits are {logits.shape} {logits.dtype}, expected (1, {count}) float32")
        if not np.isfinite(logits).all():
            raise InvalidPrediction("logits are not finite")
        return ClassificationOutput(self.card.classes, logits[0])


class OnnxClassifier(FromArtefact, ClassifierGraph):
    """A classification model."""
