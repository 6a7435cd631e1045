"""A small painter's-algorithm renderer: solids in metres become colour, class, depth and lit-ness of pixels.

Colour is drawn at twice the size and reduced, so edges are smooth; class ids, depth and the "shines by itself" flag
share one integer picture, so that whatever hides a thing hides its label and its light as well.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

Point = tuple[float, float, float]
Colour = tuple[float, float, float]
Pixel = tuple[float, float, float]
"""Column and row in the picture (pixels), distance ahead of the camera (metres)."""

NEAR = 0.7
DEPTH_STEP = 0.5
LIT = 1 << 16


@dataclass(frozen=True)
class Camera:
    """A pinhole: `x`, `z` and `height` in metres, `yaw` in radians, `focal` and `horizon` (row) in pixels."""

    width: int
    picture_height: int
    x: float
    z: float
    height: float
    yaw: float
    focal: float
    horizon: float

    @cached_property
    def turn(self) -> tuple[float, float]:
        """Cosine and sine of the yaw."""
        return math.cos(self.yaw), math.sin(self.yaw)

    def project(self, point: Point) -> Pixel:
        """Where a point (right, up, ahead; metres) is seen."""
        right, up, ahead = point
        cosine, sine = self.turn
        dx, dz = right - self.x, ahead - self.z
        depth = dx * sine + dz * cosine
        scale = self.focal / max(depth, 1e-3)
        return (
            self.width / 2 + (dx * cosine - dz * sine) * scale,
            self.horizon + (self.height - up) * scale,
            depth,
        )


@dataclass(frozen=True)
class Sun:
    """Where directional light comes from (unit vector) and how much of a face's brightness it decides, 0..1."""

    direction: Point
    strength: float

    def shade(self, normal: Point) -> float:
        """Brightness factor of a face."""
        toward = sum(a * b for a, b in zip(normal, self.direction, strict=True))
        return 1.0 - self.strength * 0.5 + self.strength * 0.62 * toward


@dataclass(frozen=True)
class Frame:
    """A thing's own axes: local right and ahead turned by `yaw` around the vertical at (`x`, `z`)."""

    x: float
    z: float
    yaw: float = 0.0

    @cached_property
    def turn(self) -> tuple[float, float]:
        """Cosine and sine of the yaw."""
        return math.cos(self.yaw), math.sin(self.yaw)

    def at(self, right: float, up: float, ahead: float) -> Point:
        """A local point in the yard's metres."""
        cosine, sine = self.turn
        return (self.x + right * cosine + ahead * sine, up, self.z - right * sine + ahead * cosine)


@dataclass
class Canvas:
    """What has been painted so far; paint far things first."""

    camera: Camera
    sun: Sun
    colour: Pillow.Image
    facts: Pillow.Image
    _colour_pen: ImageDraw.ImageDraw = field(init=False, repr=False)
    _facts_pen: ImageDraw.ImageDraw = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._colour_pen = ImageDraw.Draw(self.colour)
        self._facts_pen = ImageDraw.Draw(self.facts)

    def face(self, points: list[Point], colour: Colour, kind: int, lit: bool = False) -> None:
        """A flat polygon in space."""
        seen = [self.camera.project(point) for point in points]
        if min(pixel[2] for pixel in seen) > NEAR:
            self.polygon(seen, colour, kind, lit)

    def polygon(self, seen: list[Pixel], colour: Colour, kind: int, lit: bool = False) -> None:
        """A polygon that is already projected."""
        self._colour_pen.polygon([(2 * x, 2 * y) for x, y, _ in seen], fill=_rgb(colour))
        depth = sum(pixel[2] for pixel in seen) / len(seen)
        self._facts_pen.polygon([(x, y) for x, y, _ in seen], fill=_fact(kind, depth, lit))

    def silhouette(self, points: list[Point], kind: int) -> None:
        """Label an area without painting it, as annotators do with lattice work."""
        seen = [self.camera.project(point) for point in points]
        if min(pixel[2] for pixel in seen) > NEAR:
            depth = sum(pixel[2] for pixel in seen) / len(seen)
            self._facts_pen.polygon([(x, y) for x, y, _ in seen], fill=_fact(kind, depth, False))

    def strut(self, start: Point, end: Point, thickness: float, colour: Colour, kind: int | None) -> None:
        """A straight bar `thickness` metres thick; `kind` None paints it and leaves the label below."""
        first, last = self.camera.project(start), self.camera.project(end)
        if min(first[2], last[2]) <= NEAR:
            return
        depth = (first[2] + last[2]) / 2
        width = thickness * self.camera.focal / depth
        line = [(2 * first[0], 2 * first[1]), (2 * last[0], 2 * last[1])]
        self._colour_pen.line(line, fill=_rgb(colour), width=max(1, round(2 * width)))
        if kind is not None:
            pixels = [(first[0], first[1]), (last[0], last[1])]
            self._facts_pen.line(pixels, fill=_fact(kind, depth, False), width=max(1, round(width)))

    def curve(self, points: list[Point], thickness: float, colour: Colour, kind: int) -> None:
        """A wire through `points`, at least one pixel wide in the picture and two in the label map."""
        seen = [pixel for pixel in map(self.camera.project, points) if pixel[2] > NEAR]
        if len(seen) < 2:
            return
        depth = sum(pixel[2] for pixel in seen) / len(seen)
        width = thickness * self.camera.focal / depth
        self._colour_pen.line([(2 * x, 2 * y) for x, y, _ in seen], fill=_rgb(colour), width=max(2, round(2 * width)))
        self._facts_pen.line([(x, y) for x, y, _ in seen], fill=_fact(kind, depth, False), width=max(2, round(width)))

    def box(self, frame: Frame, base: float, size: Point, colour: Colour, kind: int, lit: bool = False) -> None:
        """An upright box centred on `frame`, `size` = (width, height, depth) metres, standing at height `base`."""
        half_w, half_d, top = size[0] / 2, size[2] / 2, base + size[1]
        corners = ((-half_w, -half_d), (half_w, -half_d), (half_w, half_d), (-half_w, half_d))
        for index, (start, end) in enumerate(zip(corners, corners[1:] + corners[:1], strict=True)):
            normal = _turned((0, 1, 0, -1)[index], (-1, 0, 1, 0)[index], frame.yaw)
            middle = frame.at((start[0] + end[0]) / 2, base, (start[1] + end[1]) / 2)
            if normal[0] * (self.camera.x - middle[0]) + normal[2] * (self.camera.z - middle[2]) <= 0:
                continue
            wall = [frame.at(start[0], base, start[1]), frame.at(end[0], base, end[1])]
            wall += [frame.at(end[0], top, end[1]), frame.at(start[0], top, start[1])]
            self.face(wall, shaded(colour, self.sun.shade(normal)), kind, lit)
        level = top if self.camera.height > top else base if self.camera.height < base else None
        if level is not None:
            light = self.sun.shade((0, 1, 0)) if level == top else 0.55
            self.face([frame.at(x, level, z) for x, z in corners], shaded(colour, light), kind, lit)

    def column(self, foot: Point, radius: float, height: float, colour: Colour, kind: int, taper: float = 1.0) -> None:
        """An upright cylinder or cone, shaded in strips from the side the sun is on."""
        low, high = self.camera.project(foot), self.camera.project((foot[0], foot[1] + height, foot[2]))
        if low[2] <= NEAR:
            return
        wide = radius * self.camera.focal / low[2]
        slim = wide * taper
        strips = 4 if wide > 3 else 2 if wide > 1 else 1
        side = 1.0 if self.sun.direction[0] >= 0 else -1.0
        for strip in range(strips):
            left, right = 2 * strip / strips - 1, 2 * (strip + 1) / strips - 1
            light = 0.92 + 0.3 * side * (left + right) / 2 * self.sun.strength - 0.12 * abs(left + right)
            quad = [(low[0] + left * wide, low[1], low[2]), (low[0] + right * wide, low[1], low[2])]
            quad += [(high[0] + right * slim, high[1], low[2]), (high[0] + left * slim, high[1], low[2])]
            self.polygon(quad, shaded(colour, light), kind)

    def disc(self, centre: Point, radius: float, colour: Colour, kind: int, lit: bool = False) -> None:
        """A ball, seen as a filled circle."""
        x, y, depth = self.camera.project(centre)
        if depth > NEAR:
            size = max(radius * self.camera.focal / depth, 0.4)
            box = (2 * (x - size), 2 * (y - size), 2 * (x + size), 2 * (y + size))
            self._colour_pen.ellipse(box, fill=_rgb(colour))
            self._facts_pen.ellipse((x - size, y - size, x + size, y + size), fill=_fact(kind, depth, lit))

    def pixels(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """(HxWx3 float32 0..255 colour before light and weather, HxW int32 facts)."""
        colour = np.asarray(self.colour.reduce(2), dtype=np.float32)
        return colour, np.asarray(self.facts, dtype=np.int32)


def shaded(colour: Colour, light: float) -> Colour:
    """A colour under more or less light."""
    return (colour[0] * light, colour[1] * light, colour[2] * light)


def _turned(right: float, ahead: float, yaw: float) -> Point:
    cosine, sine = math.cos(yaw), math.sin(yaw)
    return (right * cosine + ahead * sine, 0.0, -right * sine + ahead * cosine)


def _rgb(colour: Colour) -> tuple[int, int, int]:
    return (min(255, int(colour[0])), min(255, int(colour[1])), min(255, int(colour[2])))


def _fact(kind: int, depth: float, lit: bool) -> int:
    return kind | min(255, int(depth / DEPTH_STEP)) << 8 | (LIT if lit else 0)
