"""A key point model against photos with labelled joints: which are near enough, photo by photo."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from umiak_workers.core.keypoints import hits_of
from umiak_workers.datasets.poses import PoseDataset
from umiak_workers.predictors.keypoints import KeypointOutput
from umiak_workers.predictors.segmentation import Image


class FindsJoints(Protocol):
    """The part of a key point model that scoring needs."""

    def predict(self, image: Image) -> KeypointOutput: ...


def photo_hits(model: FindsJoints, samples: PoseDataset) -> list[NDArray[np.float64] | None]:
    """Of every photo in order, as `hits_of` says."""
    photos = (samples[index] for index in range(len(samples)))
    return [hits_of(model.predict(photo.image).pose, photo.joints, photo.visible) for photo in photos]
