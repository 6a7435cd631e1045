"""A classifier against photos with one class each: which it finds, photo by photo."""

from typing import Protocol

from umiak_workers.core.classification_metrics import Judged
from umiak_workers.core.scores import Logits
from umiak_workers.datasets.classified import Classified, ClassSample
from umiak_workers.predictors.classification import ClassificationOutput
from umiak_workers.predictors.segmentation import Image


class FindsClasses(Protocol):
    """The part of a classifier that scoring needs."""

    def predict(self, image: Image) -> ClassificationOutput: ...


def photo_classes(model: FindsClasses, samples: Classified) -> list[Judged]:
    """Of every photo in order; class ids of both sides must mean the same."""
    photos = (samples[index] for index in range(len(samples)))
    return [judged(model.predict(photo.image).logits, photo) for photo in photos]


def judged(logits: Logits, photo: ClassSample) -> Judged:
    """One answer (C float32) against its photo's class."""
    return photo.kind, int(logits.argmax()) == photo.kind
