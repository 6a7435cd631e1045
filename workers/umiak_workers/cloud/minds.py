"""How a cloud worker thinks, by task: the route goes by these two protocols and knows no task by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from umiak_workers.cloud.classify import Classifier
from umiak_workers.cloud.question import Question
from umiak_workers.cloud.think import Thinker
from umiak_workers.cloud.whole import LabellerAlone
from umiak_workers.contract.config import Fusion
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.messages import Box, Region, Scores, Task
from umiak_workers.predictors.answering import Answering
from umiak_workers.predictors.promptable import Promptable


class View(Protocol):
    """What was thought of one photo."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the photo in pixels."""
        ...

    @property
    def scores(self) -> Scores:
        """The edge model's own."""
        ...

    @property
    def models(self) -> dict[str, str]:
        """Who took part: role -> digest."""
        ...

    @property
    def masks(self) -> int:
        """How many masks decided a label; 0 where the task has none."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory held, roughly."""
        ...

    def answers(self, boxes: Sequence[Box]) -> tuple[tuple[Region, ...], tuple[bytes, ...]]:
        """(regions, their payloads) for these rectangles, the whole photo where there are none."""
        ...


class Mind(Protocol):
    """The cloud's own models of one task. For one thread at a time."""

    def think_all(self, questions: Sequence[Question]) -> Sequence[Callable[[], View]]:
        """Do what is faster for several photos at once; the rest is for each alone, in their order.

        That rest answers what the cloud thinks of a photo. It raises Unavailable if edge model and labeller speak of
        different classes, and Refused 422 if the edge model cannot answer this photo.
        """
        ...


Models = tuple[Answering | None, Promptable | None]
"""labeller, SAM"""


def _classifier(models: Models, fusion: Fusion) -> Mind:
    return Classifier(_labeller(models), fusion)


def _alone(models: Models, fusion: Fusion) -> Mind:
    if fusion.labels == "both":
        raise ConfigError("fusion.labels: of boxes and joints the labeller's answer stands, both are not joined")
    return LabellerAlone(_labeller(models))


def _labeller(models: Models) -> Answering:
    labeller, sam = models
    if labeller is None or sam is not None:
        raise ConfigError("this task is answered by a labeller alone: name one, and no sam")
    return labeller


MINDS: Mapping[Task, Callable[[Models, Fusion], Mind]] = {
    "semantic-segmentation": lambda models, fusion: Thinker(*models, fusion),
    "image-classification": _classifier,
    "object-detection": _alone,
    "keypoint-detection": _alone,
}


def mind(task: Task, models: Models, fusion: Fusion) -> Mind:
    """The way to think about a task; raises ConfigError for one that this release does not answer."""
    if task not in MINDS:
        raise ConfigError(f"task: {task} is not answered by this release, {', '.join(MINDS)} are")
    return MINDS[task](models, fusion)
