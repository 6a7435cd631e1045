"""What the cloud thinks of one photo where the question is its class: a larger labeller, or both models together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from umiak_workers.cloud.question import Question, one_by_one
from umiak_workers.cloud.stages import Stages
from umiak_workers.cloud.whole import same_classes, whole_photo
from umiak_workers.contract.config import Fusion
from umiak_workers.contract.errors import InvalidPrediction, Refused
from umiak_workers.contract.messages import Box, Region, Scores
from umiak_workers.core.label import together
from umiak_workers.core.scores import gate_scores, softmax
from umiak_workers.core.tasks.classification import pack
from umiak_workers.predictors.answering import Answering
from umiak_workers.predictors.classification import ClassificationOutput

log = structlog.get_logger()


@dataclass(frozen=True)
class ClassView:
    """`chances` C float32 over `classes`; `size` height and width of the photo."""

    size: tuple[int, int]
    classes: tuple[str, ...]
    chances: NDArray[np.float32]
    scores: Scores
    models: dict[str, str]
    masks: int = 0

    @property
    def nbytes(self) -> int:
        """Memory held, roughly."""
        return int(self.chances.nbytes) + 1024

    def answers(self, boxes: Sequence[Box]) -> tuple[tuple[Region, ...], tuple[bytes, ...]]:
        """One region, the whole photo; raises InvalidInput for any other."""
        return whole_photo(self.size, pack(self.classes, self.chances), float(self.chances.max()), boxes)


class Classifier:
    """The labeller and how its answer is joined with the edge model's. For one thread at a time."""

    def __init__(self, labeller: Answering, fusion: Fusion) -> None:
        self._labeller, self._fusion = labeller, fusion

    def think_all(self, questions: Sequence[Question]) -> Sequence[Callable[[], ClassView]]:
        """See Mind.think_all."""
        return one_by_one(self.think, questions)

    def think(self, name: str, image: NDArray[np.uint8], edge: Answering, stages: Stages) -> ClassView:
        """See Mind.think_all; nothing is remembered here. A labeller that cannot answer is left out."""
        same_classes(edge, self._labeller)
        models = {"edge": edge.digest}
        with stages.timed("edge"):
            logits = _edges(edge, image)
            scores = gate_scores(logits)
        with stages.timed("labeller"):
            better = self._labelled(image)
        if better is not None:
            models["labeller"] = self._labeller.digest
            logits = better if self._fusion.labels == "labeller" else together(logits, better)
        height, width = image.shape[:2]
        return ClassView((height, width), edge.card.classes, softmax(logits), scores, models)

    def _labelled(self, image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        try:
            return _logits(self._labeller, image)
        except InvalidPrediction as error:
            log.warning("the labeller is left out", reason=str(error))
            return None


def _edges(edge: Answering, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    try:
        return _logits(edge, image)
    except InvalidPrediction as error:
        raise Refused(f"edge model {edge.digest} cannot answer this photo: {error}", 422) from error


def _logits(model: Answering, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    said = model.predict(image)
    if not isinstance(said, ClassificationOutput):
        raise InvalidPrediction(f"{model.card.name} is a {model.card.task} model")
    return said.logits
