"""Where things stand: one seeded layout per shot, seen by a camera that drifts slowly through it.

A shot lasts `SHOT` frames unless a stream says otherwise; neighbouring frames of a shot look alike, frames of different
shots do not. That is what makes a block bootstrap over frames honest.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from umiak_workers.datasets.yard_canvas import Camera, Canvas, Colour, Point
from umiak_workers.datasets.yard_things import Thing, wire

SHOT = 10
VESTS: tuple[Colour, ...] = ((232, 120, 32), (222, 214, 48), (196, 52, 44), (52, 84, 140), (90, 98, 104))
PAINTS: tuple[Colour, ...] = (
    (206, 208, 206),
    (156, 34, 32),
    (38, 72, 128),
    (216, 170, 40),
    (70, 74, 80),
    (86, 116, 84),
)
TANKS: tuple[Colour, ...] = ((126, 140, 134), (112, 124, 132), (146, 150, 142), (96, 116, 104))
WALLS: tuple[Colour, ...] = ((182, 164, 138), (168, 104, 82), (190, 188, 182), (150, 152, 148), (200, 184, 150))
KIOSKS: tuple[Colour, ...] = ((150, 160, 150), (176, 176, 168), (98, 120, 100), (128, 132, 138))


@dataclass(frozen=True)
class Scene:
    """One shot: what stands where, where the road runs and where the camera goes."""

    things: tuple[Thing, ...]
    spans: tuple[tuple[Point, Point, float], ...]
    road: tuple[float, float, float]
    """Centre (metres right of the camera at z = 0), slope (metres right per metre ahead), half width."""
    grass_from: float
    camera: Camera
    drift: tuple[float, float]
    """Camera movement per frame: metres sideways, radians of pan."""

    def camera_at(self, frame: float) -> Camera:
        """The camera `frame` frames into the shot."""
        c, offset = self.camera, frame - SHOT / 2
        x, yaw = c.x + self.drift[0] * offset, c.yaw + self.drift[1] * offset
        return Camera(c.width, c.picture_height, x, c.z, c.height, yaw, c.focal, c.horizon)


def lay_out(rng: np.random.Generator, width: int, height: int) -> Scene:
    """A yard from random draws: bays of equipment under gantries, a building or two, a road, people and vehicles."""
    camera = Camera(
        width=width,
        picture_height=height,
        x=0.0,
        z=0.0,
        height=_between(rng, 2.4, 4.6),
        yaw=_between(rng, -0.16, 0.16),
        focal=width * _between(rng, 0.78, 1.0),
        horizon=height * _between(rng, 0.36, 0.5),
    )
    road = (_between(rng, -9, 9), _between(rng, -0.25, 0.25), _between(rng, 2.0, 3.2))
    placed: list[tuple[float, float, float]] = []
    things = _buildings(rng, placed) + _bays(rng, placed, road)
    gantries, spans = _lines(rng)
    things += gantries + _vehicles(rng, placed, road) + _people(rng, placed) + _lamps(rng)
    drift = (_between(rng, -0.06, 0.06), _between(rng, -0.006, 0.006))
    return Scene(tuple(things), tuple(spans), road, _between(rng, 26, 60), camera, drift)


def paint_spans(canvas: Canvas, scene: Scene) -> None:
    """Hang the conductors."""
    for start, end, sag in scene.spans:
        wire(canvas, start, end, sag)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    base = colours[int(rng.integers(len(colours)))]
    shift, light = rng.uniform(-8, 8, size=3), _between(rng, 0.88, 1.1)
    return (base[0] * light + float(shift[0]), base[1] * light + float(shift[1]), base[2] * light + float(shift[2]))


def _free(placed: list[tuple[float, float, float]], x: float, z: float, radius: float) -> bool:
    if any(math.hypot(x - a, z - b) < radius + r for a, b, r in placed):
        return False
    placed.append((x, z, radius))
    return True


def _buildings(rng: np.random.Generator, placed: list[tuple[float, float, float]]) -> list[Thing]:
    things = []
    for _ in range(int(rng.integers(1, 4))):
        side, z = rng.choice((-1.0, 1.0)), _between(rng, 18, 52)
        x = float(side) * _between(rng, 5, 9 + z * 0.42)
        if _free(placed, x, z, 6.5):
            size, tint = _between(rng, 0.7, 1.35), _pick(rng, WALLS)
            things.append(Thing("building", x, z, _between(rng, -0.4, 0.4), size, tint, _between(rng, 0, 1)))
    return things


def _bays(
    rng: np.random.Generator, placed: list[tuple[float, float, float]], road: tuple[float, float, float]
) -> list[Thing]:
    things = []
    kinds = ("transformer", "breaker", "disconnector", "post", "kiosk")
    radius = {"transformer": 2.9, "breaker": 2.6, "disconnector": 2.7, "post": 2.3, "kiosk": 0.9}
    for _ in range(int(rng.integers(9, 16))):
        kind = kinds[int(rng.choice(5, p=(0.24, 0.22, 0.2, 0.18, 0.16)))]
        z = _between(rng, 9, 42)
        x = _between(rng, -0.56, 0.56) * (z + 4)
        on_road = abs(x - road[0] - road[1] * z) < road[2] + radius[kind] * 0.6
        if on_road or not _free(placed, x, z, radius[kind]):
            continue
        tint = _pick(rng, KIOSKS if kind == "kiosk" else TANKS if kind != "post" else ((132, 76, 56), (148, 150, 154)))
        yaw = _between(rng, -0.35, 0.35) + (math.pi / 2 if kind == "transformer" and rng.random() < 0.3 else 0)
        things.append(Thing(kind, x, z, yaw, _between(rng, 0.85, 1.2), tint, _between(rng, 0, 1)))
    return things


def _lines(rng: np.random.Generator) -> tuple[list[Thing], list[tuple[Point, Point, float]]]:
    grey = _pick(rng, ((122, 130, 136), (140, 146, 148), (108, 112, 112)))
    centre, yaw, scale = _between(rng, -8, 8), _between(rng, -0.12, 0.12), _between(rng, 0.85, 1.25)
    rows = [_between(rng, 13, 20)]
    for _ in range(int(rng.integers(1, 3))):
        rows.append(rows[-1] + _between(rng, 10, 16))
    things = [Thing("gantry", centre, z, yaw, scale, grey, 0) for z in rows]
    spans = []
    for near, far in itertools.pairwise(rows):
        for phase in (-0.55, 0.0, 0.55):
            height = 7.5 * scale - 1.7
            reach = 7.0 * scale * phase
            spans.append(((centre + reach, height, near), (centre + reach, height, far), _between(rng, 0.3, 0.8)))
    pylons = [(centre + _between(rng, -22, 22), rows[-1] + _between(rng, 22, 40))]
    for _ in range(int(rng.integers(1, 3))):
        pylons.append((pylons[-1][0] + _between(rng, -30, 30), pylons[-1][1] + _between(rng, 12, 36)))
    size = _between(rng, 0.75, 1.05)
    things += [Thing("pylon", x, z, _between(rng, -0.5, 0.5), size, grey, 0) for x, z in pylons]
    for phase in (-1.0, 0.0, 1.0):
        start = (centre + phase * 3.85 * scale, 7.5 * scale - 0.4, rows[-1])
        spans.append((start, (pylons[0][0] + phase * 4.4, 24 * size * 0.72, pylons[0][1]), 1.6))
    for (x, z), (p, q) in itertools.pairwise(pylons):
        for side, level in ((-4.6, 0.66), (4.6, 0.66), (-3.8, 0.8), (3.8, 0.8)):
            height = 24 * size * level - 0.8
            spans.append(((x + side, height, z), (p + side, height, q), _between(rng, 1.2, 2.4)))
    return things, spans


def _vehicles(
    rng: np.random.Generator, placed: list[tuple[float, float, float]], road: tuple[float, float, float]
) -> list[Thing]:
    things = []
    for _ in range(int(rng.integers(1, 4))):
        z = _between(rng, 8, 30)
        driving = rng.random() < 0.55
        x = road[0] + road[1] * z + _between(rng, -0.8, 0.8) if driving else _between(rng, -0.5, 0.5) * (z + 2)
        if not _free(placed, x, z, 2.4):
            continue
        along = math.atan(road[1]) + (math.pi if rng.random() < 0.5 else 0.0)
        yaw = along if driving else _between(rng, -math.pi, math.pi)
        speed = _between(rng, 0.1, 0.45) if driving else 0.0
        tint, size = _pick(rng, PAINTS), _between(rng, 0.9, 1.15)
        things.append(Thing("vehicle", x, z, yaw, size, tint, _between(rng, 0, 1), speed))
    return things


def _people(rng: np.random.Generator, placed: list[tuple[float, float, float]]) -> list[Thing]:
    things = []
    for _ in range(int(rng.integers(2, 7))):
        z = _between(rng, 4.5, 17)
        x = _between(rng, -0.5, 0.5) * z
        if not _free(placed, x, z, 0.55):
            continue
        speed = _between(rng, 0.04, 0.12) if rng.random() < 0.65 else 0.0
        tint, size, yaw = _pick(rng, VESTS), _between(rng, 0.93, 1.07), _between(rng, -math.pi, math.pi)
        things.append(Thing("person", x, z, yaw, size, tint, _between(rng, 0, 1), speed))
    return things


def _lamps(rng: np.random.Generator) -> list[Thing]:
    things = []
    for _ in range(int(rng.integers(2, 6))):
        z = _between(rng, 10, 36)
        x = _between(rng, -0.55, 0.55) * (z + 3)
        things.append(Thing("lamp", x, z, 0.0, _between(rng, 0.8, 1.2), (0, 0, 0), 0.0))
    return things
