"""A detector against photos with labelled boxes: which of its boxes are right, photo by photo."""

from typing import Protocol

from umiak_workers.core.detection import Detections
from umiak_workers.core.detection_metrics import Matches, matched
from umiak_workers.datasets.boxes import BoxDataset, Boxed
from umiak_workers.predictors.detection import DetectionOutput
from umiak_workers.predictors.segmentation import Image


class FindsBoxes(Protocol):
    """The part of a detector that scoring needs."""

    def predict(self, image: Image) -> DetectionOutput: ...


def photo_matches(detector: FindsBoxes, samples: BoxDataset) -> list[Matches]:
    """Of every photo in order; class ids of both sides must mean the same."""
    photos = (samples[index] for index in range(len(samples)))
    return [judged(detector.predict(photo.image).found, photo, len(samples.classes)) for photo in photos]


def judged(found: Detections, photo: Boxed, classes: int) -> Matches:
    """One answer against its photo's labels."""
    return matched(found, photo.boxes, photo.classes, classes)
