"""Figures: an endless supply of photos of one posed person, made of capsules, before a substation yard.

Everything is drawn from `(seed, index)`. Joints are those of `core.keypoints.JOINTS`, left and right being the
person's own: one seen from behind has no face and its left side on the left. A joint outside the photo is not labelled.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from umiak_workers.core.keypoints import JOINTS
from umiak_workers.datasets.poses import Posed
from umiak_workers.datasets.sample import Image, checked
from umiak_workers.datasets.yard import Yard

SIDE = 192
BACKGROUNDS = 24
"""Yard frames that the backgrounds are cut from."""
Point = tuple[float, float]
Colour = tuple[int, int, int]
CLOTHES: tuple[Colour, ...] = (
    (232, 120, 32),
    (222, 214, 48),
    (196, 52, 44),
    (52, 84, 140),
    (90, 98, 104),
    (240, 240, 236),
    (40, 110, 70),
    (30, 32, 40),
    (120, 84, 60),
    (150, 80, 150),
)
SKINS: tuple[Colour, ...] = ((224, 178, 150), (196, 150, 122), (150, 108, 82), (104, 72, 54))


@dataclass(frozen=True)
class Figures:
    """`frames` photos (SIDExSIDEx3), one figure each, under a light of the yard."""

    light: str
    seed: int
    frames: int

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, index: int, /) -> Posed:
        rng = np.random.default_rng((self.seed, checked(index, self.frames), 7))
        joints, back = posed(rng)
        image = painted(self._background(rng), joints, back, rng)
        inside = np.asarray(((joints >= 0) & (joints < SIDE)).all(axis=1), np.bool_)
        return Posed(image, joints, inside, f"figure-{self.light}-{self.seed}-{index:05d}")

    @cached_property
    def _yards(self) -> tuple[Image, ...]:
        yard = Yard(self.light, "clear", self.seed, BACKGROUNDS, 1)
        return tuple(yard[index].image for index in range(BACKGROUNDS))

    def _background(self, rng: np.random.Generator) -> Image:
        """A SIDExSIDE piece of a yard, mirrored at times."""
        whole = self._yards[int(rng.integers(BACKGROUNDS))]
        top, left = (int(rng.integers(whole.shape[axis] - SIDE + 1)) for axis in (0, 1))
        piece = whole[top : top + SIDE, left : left + SIDE]
        return np.array(piece[:, ::-1] if rng.random() < 0.5 else piece)


def posed(rng: np.random.Generator) -> tuple[NDArray[np.float32], bool]:
    """(14x2 joints in pixels, whether the person shows its back): a chain of limbs with angles drawn at random.

    Limb lengths are shares of the height, after Drillis and Contini's body segments (Winter, "Biomechanics and Motor
    Control of Human Movement", figure 4.1); angles are from straight down, radians.
    """
    tall, back = float(rng.uniform(0.55, 0.95)) * SIDE, bool(rng.random() < 0.3)
    lean = float(rng.normal(0, 0.22)) + (float(rng.uniform(-1.2, 1.2)) if rng.random() < 0.15 else 0.0)
    turn = float(rng.uniform(0.35, 1.0))  # how much of the shoulders' width is seen
    side = 1.0 if back else -1.0  # where the person's right is seen
    found: dict[str, Point] = {}
    pelvis = (0.0, 0.0)
    neck = _along(pelvis, math.pi + lean, 0.29 * tall)
    found["neck"] = neck
    found["head_top"] = _along(neck, math.pi + lean + float(rng.normal(0, 0.2)), 0.17 * tall)
    for name, sign in (("r", side), ("l", -side)):
        shoulder = _across(_along(neck, lean, 0.035 * tall), lean, sign * turn * 0.12 * tall)
        hip = _across(pelvis, lean, sign * turn * 0.07 * tall)
        found[f"{name}_shoulder"], found[f"{name}_hip"] = shoulder, hip
        upper = float(rng.normal(0, 0.35)) if rng.random() < 0.5 else float(rng.uniform(-2.9, 2.9))
        bend = float(rng.uniform(0, 2.0)) * (1 if rng.random() < 0.5 else -1)
        elbow = _along(shoulder, lean + sign * 0.15 + upper, 0.175 * tall * float(rng.uniform(0.75, 1)))
        found[f"{name}_elbow"] = elbow
        found[f"{name}_wrist"] = _along(elbow, lean + upper + bend, 0.155 * tall * float(rng.uniform(0.75, 1)))
        thigh = float(rng.normal(0, 0.3)) if rng.random() < 0.7 else float(rng.uniform(-1.4, 1.4))
        knee = _along(hip, 0.5 * lean + sign * 0.06 + thigh, 0.24 * tall * float(rng.uniform(0.8, 1)))
        shin = thigh * float(rng.uniform(-0.3, 0.8)) + float(rng.normal(0, 0.2))
        found[f"{name}_knee"] = knee
        found[f"{name}_ankle"] = _along(knee, shin, 0.24 * tall * float(rng.uniform(0.8, 1)))
    joints = np.asarray([found[name] for name in JOINTS], np.float32)
    middle = (joints.min(axis=0) + joints.max(axis=0)) / 2
    place = SIDE / 2 + rng.uniform(-0.09, 0.09, 2) * SIDE
    return np.asarray(joints - middle + place, np.float32), back


def painted(background: Image, joints: NDArray[np.float32], back: bool, rng: np.random.Generator) -> Image:
    """The figure before a background, SIDExSIDEx3 uint8: drawn at twice the size, softened, with sensor noise."""
    picture = Pillow.fromarray(background).resize((2 * SIDE, 2 * SIDE), Pillow.Resampling.BILINEAR)
    _Tailor(ImageDraw.Draw(picture), {name: (2 * float(x), 2 * float(y)) for name, (x, y) in _named(joints)}, rng).draw(
        back
    )
    small = picture.reduce(2).filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.6))))
    light = float(rng.uniform(0.75, 1.15))
    noisy = np.asarray(small, np.float32) * light + rng.normal(0, rng.uniform(1, 5), (SIDE, SIDE, 1))
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


class _Tailor:
    """One figure's clothes, and how its parts lie over each other."""

    def __init__(self, pen: ImageDraw.ImageDraw, at: dict[str, Point], rng: np.random.Generator) -> None:
        self._pen, self._at, self._rng = pen, at, rng
        self._shirt, self._trousers = _tint(CLOTHES, rng), _tint(CLOTHES, rng)
        self._skin, self._hair = _tint(SKINS, rng), _tint(((60, 44, 34), (28, 24, 22), (170, 130, 80)), rng)
        self._sleeves, self._shorts = rng.random() < 0.5, rng.random() < 0.35
        self._helmet = _tint(((232, 232, 228), (226, 176, 40), (200, 60, 50)), rng) if rng.random() < 0.5 else None
        self._unit = math.dist(at["neck"], at["head_top"]) / 0.17

    def draw(self, back: bool) -> None:
        """Far arm, legs, trunk, head, near arm."""
        first, second = ("r", "l") if self._rng.random() < 0.5 else ("l", "r")
        hidden = self._rng.random() < 0.3  # an arm behind the trunk
        if hidden:
            self._arm(first, 0.8)
        self._leg(first, 0.85)
        self._leg(second, 1.0)
        self._trunk()
        self._head(back)
        if not hidden:
            self._arm(first, 0.92)
        self._arm(second, 1.0)

    def _limb(self, start: str, end: str, width: float, colour: Colour) -> None:
        a, b, wide = self._at[start], self._at[end], max(2.0, width * self._unit)
        self._pen.line((*a, *b), fill=colour, width=round(wide))
        for x, y in (a, b):
            self._pen.ellipse((x - wide / 2, y - wide / 2, x + wide / 2, y + wide / 2), fill=colour)

    def _arm(self, side: str, light: float) -> None:
        lower = self._shirt if self._sleeves else self._skin
        self._limb(f"{side}_elbow", f"{side}_wrist", 0.05, _lit(lower, light))
        self._limb(f"{side}_shoulder", f"{side}_elbow", 0.065, _lit(self._shirt, light * 0.95))
        x, y = self._at[f"{side}_wrist"]
        hand = 0.03 * self._unit
        self._pen.ellipse((x - hand, y - hand, x + hand, y + hand), fill=_lit(self._skin, light))

    def _leg(self, side: str, light: float) -> None:
        lower = self._skin if self._shorts else self._trousers
        self._limb(f"{side}_knee", f"{side}_ankle", 0.065, _lit(lower, light))
        self._limb(f"{side}_hip", f"{side}_knee", 0.09, _lit(self._trousers, light))
        x, y = self._at[f"{side}_ankle"]
        foot = 0.04 * self._unit
        self._pen.ellipse((x - foot, y - foot * 0.7, x + foot, y + foot), fill=(34, 32, 34))

    def _trunk(self) -> None:
        corners = ("r_shoulder", "l_shoulder", "l_hip", "r_hip")
        self._pen.polygon([self._at[name] for name in corners], fill=self._shirt)
        for start, end in (("r_shoulder", "l_shoulder"), ("r_shoulder", "r_hip"), ("l_shoulder", "l_hip")):
            self._limb(start, end, 0.07, self._shirt)
        self._limb("r_hip", "l_hip", 0.09, self._trousers)

    def _head(self, back: bool) -> None:
        (x, y), (u, v) = self._at["neck"], self._at["head_top"]
        self._pen.line((x, y, (x + u) / 2, (y + v) / 2), fill=_lit(self._skin, 0.85), width=round(0.05 * self._unit))
        middle, radius = ((x + 3 * u) / 4 * 0.92 + x * 0.08, (y + 3 * v) / 4 * 0.92 + y * 0.08), 0.062 * self._unit
        ring = (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius)
        self._pen.ellipse(ring, fill=self._hair if back else self._skin)
        cap = self._helmet or self._hair
        tilt = math.degrees(math.atan2(v - y, u - x))
        self._pen.chord((ring[0] - 1, ring[1] - 1, ring[2] + 1, ring[3] + 1), tilt - 85, tilt + 85, fill=cap)
        if not back:
            for sign in (-0.4, 0.4):
                eye = _across(middle, math.radians(tilt) + math.pi / 2, sign * radius)
                self._pen.ellipse((eye[0] - 1.5, eye[1] - 1.5, eye[0] + 1.5, eye[1] + 1.5), fill=(30, 26, 26))


def _named(joints: NDArray[np.float32]) -> list[tuple[str, NDArray[np.float32]]]:
    return list(zip(JOINTS, joints, strict=True))


def _along(start: Point, angle: float, length: float) -> Point:
    """The point `length` away, 0 being straight down and positive angles to the right."""
    return start[0] + math.sin(angle) * length, start[1] + math.cos(angle) * length


def _across(start: Point, angle: float, length: float) -> Point:
    """The point `length` away to the right of a body that leans by this angle."""
    return start[0] + math.cos(angle) * length, start[1] - math.sin(angle) * length


def _tint(colours: tuple[Colour, ...], rng: np.random.Generator) -> Colour:
    red, green, blue = (int(level) for level in colours[int(rng.integers(len(colours)))] + rng.integers(-14, 15, 3))
    return _lit((red, green, blue), 1.0)


def _lit(colour: Colour, light: float) -> Colour:
    red, green, blue = (max(0, min(255, int(level * light))) for level in colour)
    return red, green, blue
