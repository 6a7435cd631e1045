"""Every task that is answered, by name: the only place where a role finds out what an answer is made of."""

from collections.abc import Mapping

from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.messages import Task
from umiak_workers.core.tasks.classification import CLASSIFICATION
from umiak_workers.core.tasks.detection import DETECTION
from umiak_workers.core.tasks.keypoints import KEYPOINTS
from umiak_workers.core.tasks.kind import Kind
from umiak_workers.core.tasks.segmentation import SEGMENTATION

KINDS: Mapping[Task, Kind] = {kind.task: kind for kind in (SEGMENTATION, CLASSIFICATION, DETECTION, KEYPOINTS)}


def kind_of(task: Task) -> Kind:
    """How answers of a task are handled; raises MessageError for one that this release does not answer."""
    if task not in KINDS:
        raise MessageError(f"task: {task} is not answered by this release, {', '.join(KINDS)} are")
    return KINDS[task]
