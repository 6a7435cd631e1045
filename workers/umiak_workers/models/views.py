"""Random views of a photo for lessons whose labels are points: zoomed, moved, turned, mirrored by one matrix."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from umiak_workers.contract.errors import ConfigError
from umiak_workers.models.batches import Photometric
from umiak_workers.models.checkpoint import settled

Matrix = NDArray[np.float64]
"""2x3: (x, y, 1) of the photo to (x, y) of the view."""
SIDES = 8
"""Pixels that the sides of an input are multiples of, so that maps at an eighth and at a quarter of it fit."""
SHORTEST = 32
OUTSIDE = (114, 114, 114)


@dataclass(frozen=True)
class View:
    """How far a view may go: scale evenly on a log scale, degrees either way, share of the sides moved, mirrored."""

    smallest: float = 0.75
    largest: float = 1.33
    turn: float = 0.0
    shift: float = 0.12
    mirrored: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= self.largest:
            raise ConfigError(f"scale: expected 0 < smallest <= largest, not {self.smallest:g} to {self.largest:g}")


@dataclass(frozen=True)
class ViewFit:
    """How to train on views of photos. `height` and `width` of the network's input in pixels."""

    height: int
    width: int
    epochs: int
    batch: int
    learning_rate: float
    seed: int
    minutes: float | None = None
    """Stop after this long instead of after `epochs`."""
    weight_decay: float = 1e-2
    photometric: Photometric = field(default_factory=Photometric)
    view: View = field(default_factory=View)
    warm_up: float = 0.15
    checkpoint: Path | None = None
    """A folder to save to once a minute and to resume from."""

    def __post_init__(self) -> None:
        if self.height % SIDES or self.width % SIDES or min(self.height, self.width) < SHORTEST:
            raise ConfigError(
                f"height, width: multiples of {SIDES} from {SHORTEST} pixels, not {self.height} and {self.width}"
            )
        if self.batch < 1 or self.epochs < 1:
            raise ConfigError(f"batch, epochs: at least 1, not {self.batch} and {self.epochs}")

    def identity(self, task: str) -> dict[str, object]:
        """What a checkpoint must agree on to be resumed."""
        return {"task": task, **settled(asdict(self))}


def drawn(view: View, height: int, width: int, rng: np.random.Generator) -> tuple[Matrix, bool]:
    """(matrix about the middle of the photo, whether it mirrors)."""
    scale = math.exp(rng.uniform(math.log(view.smallest), math.log(view.largest)))
    angle = math.radians(rng.uniform(-view.turn, view.turn)) if view.turn else 0.0
    moved = rng.uniform(-view.shift, view.shift, 2) * (width, height)
    mirror = bool(rng.random() < view.mirrored)
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    turn = np.asarray(((cosine, -sine), (sine, cosine))) @ np.diag((-1.0 if mirror else 1.0, 1.0))
    middle = np.asarray((width / 2, height / 2))
    return np.column_stack((turn, middle + moved - turn @ middle)), mirror


def seen(image: NDArray[np.uint8], matrix: Matrix) -> NDArray[np.uint8]:
    """The HxWx3 view of a photo, of its size; grey where it looks past the photo's edges."""
    back = np.linalg.inv(np.vstack((matrix, (0, 0, 1))))[:2]
    size = (image.shape[1], image.shape[0])
    view = Pillow.fromarray(image).transform(
        size, Pillow.Transform.AFFINE, tuple(back.reshape(-1)), Pillow.Resampling.BILINEAR, fillcolor=OUTSIDE
    )
    return np.asarray(view)


def moved(points: NDArray[np.float32], matrix: Matrix) -> NDArray[np.float32]:
    """Nx2 points of the photo in the view."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float32)


def resized(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The photo at the network's size, bilinear, as predictors do it."""
    if image.shape[:2] == (height, width):
        return np.array(image)
    return np.array(Pillow.fromarray(image).resize((width, height), Pillow.Resampling.BILINEAR))
