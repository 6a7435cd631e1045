"""What the cloud thinks of one photo where a larger labeller's answer stands: boxes, joints."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from umiak_workers.cloud.question import Question, one_by_one
from umiak_workers.cloud.stages import Stages
from umiak_workers.contract.errors import InvalidInput, InvalidPrediction, Refused, Unavailable
from umiak_workers.contract.messages import Box, Region, Scores
from umiak_workers.predictors.answering import Answering, Said

log = structlog.get_logger()


@dataclass(frozen=True)
class WholeView:
    """An answer to a whole photo: its payload and how sure it is; `size` height and width of the photo."""

    size: tuple[int, int]
    payload: bytes
    confidence: float
    scores: Scores
    models: dict[str, str]
    masks: int = 0

    @property
    def nbytes(self) -> int:
        """Memory held, roughly."""
        return len(self.payload) + 4096

    def answers(self, boxes: Sequence[Box]) -> tuple[tuple[Region, ...], tuple[bytes, ...]]:
        """One region, the whole photo; raises InvalidInput for any other."""
        return whole_photo(self.size, self.payload, self.confidence, boxes)


def whole_photo(
    size: tuple[int, int], payload: bytes, confidence: float, boxes: Sequence[Box]
) -> tuple[tuple[Region, ...], tuple[bytes, ...]]:
    """The one region of an answer that has no parts; raises InvalidInput where `boxes` asks for one."""
    height, width = size
    whole = Box(left=0, top=0, width=width, height=height)
    if any(box != whole for box in boxes):
        raise InvalidInput("regions: an answer of this task is of the whole photo, ask without any")
    return (Region(box=whole, size=len(payload), confidence=round(confidence, 4)),), (payload,)


def same_classes(edge: Answering, labeller: Answering) -> None:
    """Raises Unavailable unless both models speak of the same classes, in the same order."""
    if edge.card.classes != labeller.card.classes:
        raise Unavailable(
            f"edge model {edge.card.name} has classes {', '.join(edge.card.classes)}; "
            f"labeller {labeller.card.name} has {', '.join(labeller.card.classes)}"
        )


class LabellerAlone:
    """The labeller, whose answer stands. For one thread at a time."""

    def __init__(self, labeller: Answering) -> None:
        self._labeller = labeller

    def think_all(self, questions: Sequence[Question]) -> Sequence[Callable[[], WholeView]]:
        """See Mind.think_all."""
        return one_by_one(self.think, questions)

    def think(self, name: str, image: NDArray[np.uint8], edge: Answering, stages: Stages) -> WholeView:
        """See Mind.think_all; nothing is remembered here. Where the labeller cannot answer the edge model's answer is
        given."""
        same_classes(edge, self._labeller)
        models = {"edge": edge.digest}
        with stages.timed("edge"):
            answer, scores = _edges(edge, image)
        sure = scores.max_probability
        with stages.timed("labeller"):
            better = self._labelled(image)
        if better is not None:
            models["labeller"] = self._labeller.digest
            answer, sure = better[0], better[1].max_probability
        height, width = image.shape[:2]
        return WholeView((height, width), answer.payload(), sure, scores, models)

    def _labelled(self, image: NDArray[np.uint8]) -> tuple[Said, Scores] | None:
        try:
            return _said(self._labeller, image)
        except InvalidPrediction as error:
            log.warning("the labeller is left out", reason=str(error))
            return None


def _edges(edge: Answering, image: NDArray[np.uint8]) -> tuple[Said, Scores]:
    try:
        return _said(edge, image)
    except InvalidPrediction as error:
        raise Refused(f"edge model {edge.digest} cannot answer this photo: {error}", 422) from error


def _said(model: Answering, image: NDArray[np.uint8]) -> tuple[Said, Scores]:
    said = model.predict(image)
    return said, said.scores()
