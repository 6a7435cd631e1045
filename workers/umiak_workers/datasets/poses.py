"""Photos with one person's joints."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.datasets.sample import Image, Indexed


@dataclass(frozen=True)
class Posed:
    """One photo: `image` HxWx3 uint8 RGB, `joints` Jx2 float32 (x, y; pixels), `visible` J bool: labelled."""

    image: Image
    joints: NDArray[np.float32]
    visible: NDArray[np.bool_]
    name: str


PoseDataset = Indexed[Posed]
"""The joints are those of `core.keypoints.JOINTS`."""
