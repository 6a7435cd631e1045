"""The substation yard: an endless supply of labelled photos whose light and weather are the drift to learn from.

Everything is drawn from `(seed, shot)`, so a frame is the same on every machine, and the same yard can be seen by day,
at dusk or in fog: only light and weather differ between two data sets of one seed. The generator is frozen by a test,
because trained weights and reported figures depend on its pictures.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from umiak_workers.datasets.sample import Sample, checked
from umiak_workers.datasets.yard_backdrop import backdrop
from umiak_workers.datasets.yard_canvas import Camera, Canvas
from umiak_workers.datasets.yard_light import LIGHTS, WEATHERS, Mood, grade, mood, shadows
from umiak_workers.datasets.yard_scene import SHOT, Scene, lay_out, paint_spans
from umiak_workers.datasets.yard_things import VOID, Thing, paint

__all__ = ["CLASSES", "HEIGHT", "LIGHTS", "PALETTE", "SHOT", "VOID", "WEATHERS", "WIDTH", "Yard"]

CLASSES = ("ground", "sky", "building", "equipment", "line", "person", "vehicle")
PALETTE = (
    (128, 110, 84),
    (112, 164, 216),
    (176, 92, 72),
    (228, 164, 52),
    (148, 92, 188),
    (220, 48, 72),
    (36, 148, 132),
)
WIDTH, HEIGHT = 320, 240


@dataclass(frozen=True)
class Yard:
    """A stream of `frames` photos (HEIGHTxWIDTHx3) with labels; the scene changes every `shot` frames.

    `light` is one of LIGHTS, `weather` one of WEATHERS; `shot=1` shows another yard in every frame, which is what
    training wants. Samples are named `yard-<light>-<weather>-<seed>-<index>`.
    """

    light: str
    weather: str
    seed: int
    frames: int
    shot: int = SHOT

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, index: int, /) -> Sample:
        return self.look(index).sample

    def look(self, index: int) -> "Look":
        """The sample with what is in it."""
        shot, step = divmod(checked(index, self.frames), self.shot)
        scene = _scene(self.seed, shot)
        kind = LIGHTS.index(self.light) * len(WEATHERS) + WEATHERS.index(self.weather)
        made = mood(self.light, self.weather, np.random.default_rng((self.seed, shot, kind)))
        camera = scene.camera_at(step)
        things = tuple(thing.moved(step - SHOT / 2) for thing in scene.things)
        rng = np.random.default_rng((self.seed, shot, kind, step))
        image, facts = _render(scene, made, camera, things, (step, shot), rng)
        name = f"yard-{self.light}-{self.weather}-{self.seed}-{index:05d}"
        sample = Sample(image, (facts & 255).astype(np.uint8), name)
        return Look(sample, facts, camera, things, made, step)


@dataclass(frozen=True)
class Look:
    """One frame and what it was painted from: `facts` HxW int32 says of each pixel what is seen there and how far."""

    sample: Sample
    facts: NDArray[np.int32]
    camera: Camera
    things: tuple[Thing, ...]
    mood: Mood
    step: int


@lru_cache(maxsize=8)
def _scene(seed: int, shot: int) -> Scene:
    return lay_out(np.random.default_rng((seed, shot)), WIDTH, HEIGHT)


def _render(
    scene: Scene,
    made: Mood,
    camera: Camera,
    things: tuple[Thing, ...],
    at: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """(HxWx3 uint8 photo, HxW int32 facts) of a step of a shot, `at` being the two's numbers."""
    step, shot = at
    colour, facts = backdrop(scene, camera, made.sky, shot, shadows(things, camera, made))
    big = Pillow.fromarray(colour).resize((2 * WIDTH, 2 * HEIGHT), Pillow.Resampling.NEAREST)
    canvas = Canvas(camera, made.sun, big, Pillow.fromarray(facts))
    ordered = sorted(things, key=lambda thing: -(thing.z + abs(thing.x) * 0.05))
    for thing in (item for item in ordered if item.kind == "pylon"):
        paint(canvas, thing, made.lamps, step)
    paint_spans(canvas, scene)
    for thing in (item for item in ordered if item.kind != "pylon"):
        paint(canvas, thing, made.lamps, step)
    painted, facts = canvas.pixels()
    return grade(painted, facts, made, things, camera, rng), facts
