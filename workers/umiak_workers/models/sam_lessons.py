"""What a small promptable segmenter learns from: labelled photos as questions with known answers.

Every connected area of one class is a thing to be cut out, whatever its class is; a question is a box around it, moved
about as a mistaken box would be, or points in it, or both. Lesson n is the same whenever it is asked for.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor
from torch.nn import functional

from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.masks import components, inner_points
from umiak_workers.datasets.sample import Dataset, Sample
from umiak_workers.models.batches import Photometric, relit, turn
from umiak_workers.models.sam import Asked, geometry

FORMS = ("box", "box+point", "point", "points")
"""Ways to ask: a box, a box and a point, one point, three points."""
_CHANCES = (0.1, 0.5, 0.25, 0.15)
MINIMUM_AREA = 20
"""Pixels of the photo below which a thing is not asked about."""


@dataclass(frozen=True)
class Scene:
    """One labelled photo and the things in it that are large enough, N of them.

    `image` hxwx3 uint8 at the model's scale; `ids` HxW int16 at the photo's own (a thing's number, or anything else);
    `areas` N, `boxes` Nx4 (left, top, width, height), `inner` Nx2 (x, y of the roomiest pixel), in the photo's pixels.
    """

    image: NDArray[np.uint8]
    ids: NDArray[np.int16]
    areas: NDArray[np.int64]
    boxes: NDArray[np.int64]
    inner: NDArray[np.int64]


@dataclass(frozen=True)
class Lesson:
    """Questions about a photo: `image` 3xhxw float32 (0..255), `truth` BxHxW the share of each mask cell covered."""

    image: Tensor
    asked: Asked
    truth: Tensor


def prepare(sample: Sample, side: int) -> Scene:
    """A sample as a scene for a model with a square of `side` pixels; raises ConfigError where there is no label."""
    if sample.label is None:
        raise ConfigError(f"{sample.name}: has no label; a segmenter learns from labelled photos")
    height, width = geometry(side, *sample.label.shape)
    image = Pillow.fromarray(sample.image).resize((width, height), Pillow.Resampling.BILINEAR)
    found = components(sample.label)
    count = min(int((found.areas >= MINIMUM_AREA).sum()), np.iinfo(np.int16).max)
    ids = np.where(found.ids < count, found.ids, -1).astype(np.int16)
    return Scene(np.array(image), ids, found.areas[:count], found.boxes[:count], inner_points(found)[:count])


class Lessons:
    """Endless lessons from the photos of a data set that is held in memory."""

    def __init__(
        self, samples: Dataset, side: int, cell: int, questions: int, photometric: Photometric, seed: int
    ) -> None:
        prepared = (prepare(samples[index], side) for index in range(len(samples)))
        self.scenes = tuple(scene for scene in prepared if len(scene.areas))
        if not self.scenes:
            raise ConfigError("there are no labelled things to learn from")
        self._cell, self._questions, self._photometric, self._seed = cell, questions, photometric, seed

    def __len__(self) -> int:
        return len(self.scenes)

    def at(self, number: int) -> Lesson:
        """Lesson `number`; each pass over the photos has its own order."""
        chosen, rng = turn(number, len(self.scenes), 1, self._seed)
        scene = self.scenes[int(chosen[0])]
        return mirrored(self._ask(scene, rng), scene.image.shape[1]) if rng.random() < 0.5 else self._ask(scene, rng)

    def _ask(self, scene: Scene, rng: np.random.Generator) -> Lesson:
        things = drawn(scene.areas, self._questions, rng)
        asked = ask(scene, things, FORMS[int(rng.choice(len(FORMS), p=_CHANCES))], rng)
        image = torch.from_numpy(relit(scene.image, self._photometric, rng)).permute(2, 0, 1).float()
        return Lesson(image, asked, covered(scene, things, self._cell))


def drawn(areas: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which things to ask about: large ones more often, but not in proportion, and none twice."""
    weights = areas.astype(np.float64) ** 0.4
    return rng.choice(len(areas), size=min(count, len(areas)), replace=False, p=weights / weights.sum())


def ask(scene: Scene, things: NDArray[np.int64], form: str, rng: np.random.Generator) -> Asked:
    """Questions of one form about the given things, at the model's scale."""
    scale = scene.image.shape[1] / scene.ids.shape[1]
    boxes = torch.from_numpy(jittered(scene.boxes[things], rng) * scale).float() if "box" in form else None
    if form == "box":
        return Asked(None, None, boxes)
    points = torch.from_numpy(_points_in(scene, things, 3 if form == "points" else 1, rng) * scale).float()
    return Asked(points, torch.ones(points.shape[:2]), boxes)


def jittered(boxes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Nx4 (left, top, right, bottom) of Nx4 (left, top, width, height), each side moved by up to a tenth."""
    corners = boxes.astype(np.float64)
    sizes = np.tile(corners[:, 2:], (1, 2))
    corners[:, 2:] += corners[:, :2]
    return corners + rng.uniform(-0.1, 0.1, corners.shape) * sizes + rng.uniform(-1, 1, corners.shape)


def _points_in(scene: Scene, things: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """BxPx2 pixel centres inside each thing; the first is its roomiest pixel half of the time."""
    points = np.empty((len(things), count, 2))
    for row, thing in enumerate(things):
        left, top, width, height = scene.boxes[thing]
        y, x = np.nonzero(scene.ids[top : top + height, left : left + width] == thing)
        chosen = rng.integers(len(x), size=count)
        points[row] = np.stack((x[chosen] + left, y[chosen] + top), axis=1)
    roomy = rng.random(len(things)) < 0.5
    points[roomy, 0] = scene.inner[things[roomy]]
    return points + 0.5


def covered(scene: Scene, things: NDArray[np.int64], cell: int) -> Tensor:
    """BxHxW float32: the share of each mask cell (a square of `cell` model pixels) that each thing covers."""
    masks = torch.from_numpy(scene.ids[None] == things[:, None, None]).float()
    height, width = scene.image.shape[0], scene.image.shape[1]
    return functional.interpolate(masks[None], (-(-height // cell), -(-width // cell)), mode="area")[0]


def mirrored(lesson: Lesson, width: int) -> Lesson:
    """The same lesson seen in a mirror; `width` of the photo in the model's pixels."""
    points, boxes = lesson.asked.points, lesson.asked.boxes
    if points is not None:
        points = torch.stack((width - points[..., 0], points[..., 1]), dim=-1)
    if boxes is not None:
        left, top, right, bottom = boxes.unbind(dim=1)
        boxes = torch.stack((width - right, top, width - left, bottom), dim=1)
    return Lesson(lesson.image.flip(2), Asked(points, lesson.asked.inside, boxes), lesson.truth.flip(2))
