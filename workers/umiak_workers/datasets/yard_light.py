"""Light and weather: what turns the same painted yard into a bright noon, a blue dusk with lamps, fog or rain."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from umiak_workers.datasets.yard_backdrop import Floats, Sky, noise_tile
from umiak_workers.datasets.yard_canvas import DEPTH_STEP, LIT, Camera, Sun
from umiak_workers.datasets.yard_things import GROUND, SKY, Thing

LIGHTS = ("day", "dusk", "night")
WEATHERS = ("clear", "rain", "fog")
WARM = np.asarray((1.0, 0.78, 0.46), np.float32)


@dataclass(frozen=True)
class Mood:
    """Everything about light and weather in one shot; colours are factors or 0..255 levels per channel."""

    sky: Sky
    sun: Sun
    ambient: tuple[float, float, float]
    lamps: bool
    lamp_gain: float
    saturation: float
    noise: float
    shadow: float
    haze: float
    """Metres at which two thirds of what is seen is haze."""
    haze_colour: tuple[float, float, float]
    rain: bool


def mood(light: str, weather: str, rng: np.random.Generator) -> Mood:
    """A shot's light, jittered around its kind."""
    made = {"day": _day, "dusk": _dusk, "night": _night}[light](rng)
    return {"clear": _clear, "rain": _rain, "fog": _fog}[weather](made, rng)


def _sun(rng: np.random.Generator, strength: float) -> Sun:
    angle, height = float(rng.uniform(-2.4, 2.4)), float(rng.uniform(0.45, 1.0))
    level = math.cos(height)
    return Sun((math.sin(angle) * level, math.sin(height), -math.cos(angle) * level), strength)


def _day(rng: np.random.Generator) -> Mood:
    gain, warm = float(rng.uniform(0.9, 1.12)), float(rng.uniform(-0.03, 0.05))
    cloud = float(rng.uniform(0.25, 0.6))
    sky = Sky((86, 136, 200), (196, 214, 230), cloud, (240, 242, 244))
    ambient = (gain * (1 + warm), gain, gain * (1 - warm))
    return Mood(sky, _sun(rng, 0.75), ambient, False, 0.0, 1.0, 2.5, 0.55, 190.0, (198, 210, 222), False)


def _dusk(rng: np.random.Generator) -> Mood:
    gain = float(rng.uniform(0.34, 0.5))
    glow = float(rng.uniform(0.5, 1.0))
    sky = Sky((40, 54, 100), (120 + 96 * glow, 92 + 42 * glow, 104), float(rng.uniform(0.3, 0.6)), (82, 76, 108))
    ambient = (gain * 0.74, gain * 0.9, gain * 1.42)
    return Mood(sky, _sun(rng, 0.22), ambient, True, 1.15, 0.85, 8.0, 0.9, 120.0, (70, 74, 108), False)


def _night(rng: np.random.Generator) -> Mood:
    gain = float(rng.uniform(0.1, 0.15))
    sky = Sky((5, 7, 16), (24, 24, 36), 0.4, (18, 19, 28))
    ambient = (gain * 0.75, gain * 0.9, gain * 1.35)
    return Mood(sky, _sun(rng, 0.15), ambient, True, 1.0, 0.7, 10.0, 1.0, 110.0, (16, 18, 28), False)


def _clear(made: Mood, rng: np.random.Generator) -> Mood:
    return made


def _rain(made: Mood, rng: np.random.Generator) -> Mood:
    grey = _mix(made.sky.horizon, (132, 138, 144) if not made.lamps else made.sky.horizon, 0.75)
    sky = Sky(_mix(made.sky.zenith, grey, 0.7), grey, 0.75, _mix(grey, (60, 64, 70), 0.35))
    sun = Sun(made.sun.direction, made.sun.strength * 0.3)
    ambient = (made.ambient[0] * 0.7, made.ambient[1] * 0.72, made.ambient[2] * 0.76)
    return Mood(
        sky,
        sun,
        ambient,
        made.lamps,
        made.lamp_gain,
        0.68,
        made.noise + 2,
        0.92,
        float(rng.uniform(60, 90)),
        grey,
        True,
    )


def _fog(made: Mood, rng: np.random.Generator) -> Mood:
    level = (206, 210, 212) if not made.lamps else _mix(made.sky.horizon, (58, 62, 76), 0.6)
    sky = Sky(_mix(made.sky.zenith, level, 0.85), level, 0.3, level)
    sun = Sun(made.sun.direction, made.sun.strength * 0.25)
    return Mood(
        sky,
        sun,
        made.ambient,
        made.lamps,
        made.lamp_gain * 0.8,
        made.saturation * 0.8,
        made.noise,
        0.95,
        float(rng.uniform(17, 34)),
        level,
        False,
    )


def _mix(first: tuple[float, float, float], second: tuple[float, float, float], t: float) -> tuple[float, float, float]:
    a, b, c = (p * (1 - t) + q * t for p, q in zip(first, second, strict=True))
    return (a, b, c)


def shadows(things: tuple[Thing, ...], camera: Camera, made: Mood) -> Floats:
    """HxW float32: 1 in the light, `made.shadow` under and beside things, soft at the edges."""
    width, height = camera.width // 2, camera.picture_height // 2
    mask = Pillow.new("L", (width, height), 255)
    pen = ImageDraw.Draw(mask)
    reach = {"transformer": (2.2, 3.4), "building": (5.5, 5.0), "vehicle": (1.9, 1.4), "person": (0.3, 1.5)}
    slope = 0.8 * made.sun.strength
    for thing in things:
        wide, tall = reach.get(thing.kind, (0.9, 3.0))
        if thing.kind in ("pylon", "lamp") or thing.z < 2:
            continue
        east, north = -made.sun.direction[0] * tall * slope, -made.sun.direction[2] * tall * slope
        base = [(thing.x - wide, 0.0, thing.z - wide * 0.5), (thing.x + wide, 0.0, thing.z - wide * 0.5)]
        base += [(thing.x + wide + east, 0.0, thing.z + wide * 0.5 + north)]
        base += [(thing.x - wide + east, 0.0, thing.z + wide * 0.5 + north)]
        seen = [camera.project(point) for point in base]
        if min(pixel[2] for pixel in seen) > 1:
            pen.polygon([(x / 2, y / 2) for x, y, _ in seen], fill=int(255 * made.shadow))
    soft = mask.filter(ImageFilter.BoxBlur(1)).resize((camera.width, camera.picture_height), Pillow.Resampling.BILINEAR)
    light: Floats = np.asarray(soft, np.float32) * np.float32(1 / 255)
    return light


def grade(
    colour: Floats,
    facts: NDArray[np.int32],
    made: Mood,
    things: tuple[Thing, ...],
    camera: Camera,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """HxWx3 uint8: the painted colours (float32 0..255) under this light and weather; overwrites `colour`."""
    kind = facts & 255
    sky, lit = kind == SKY, (facts & LIT) != 0
    if made.saturation != 1.0:
        grey = (colour[:, :, 0] + colour[:, :, 1] + colour[:, :, 2])[:, :, None] / 3
        colour += (grey - colour) * np.float32(1 - made.saturation)
    haze = np.exp(np.arange(256, dtype=np.float32) * np.float32(-DEPTH_STEP / made.haze))[facts >> 8 & 255]
    haze[sky] = 1.0
    if made.lamps:
        haze[lit] = np.sqrt(haze[lit])
    grain = noise_tile(64)[: colour.shape[0], _columns(colour.shape[1])] * np.float32(0.14) + np.float32(0.93)
    gain = haze * grain
    pools = _pools(things, camera) * np.float32(made.lamp_gain) if made.lamps else None
    plain = sky | lit
    veil = 1 - haze
    for channel in range(3):
        light = (
            np.float32(made.ambient[channel])
            if pools is None
            else pools * WARM[channel] + np.float32(made.ambient[channel])
        )
        plane = colour[:, :, channel]
        plane *= gain * np.where(plain, np.float32(1), light)
        plane += veil * np.float32(made.haze_colour[channel])
    if made.lamps:
        colour += _bloom(colour, lit)
    if made.rain:
        _wet(colour, kind, camera, rng)
    return _sensor(colour, made.noise, rng)


def _columns(width: int) -> NDArray[np.int64]:
    columns: NDArray[np.int64] = np.arange(width, dtype=np.int64) % noise_tile(64).shape[1]
    return columns


def _pools(things: tuple[Thing, ...], camera: Camera) -> Floats:
    """HxW float32 0..1: how much lamp and head-light falls on each pixel."""
    width, height = camera.width // 4, camera.picture_height // 4
    mask = Pillow.new("L", (width, height), 0)
    pen = ImageDraw.Draw(mask)
    for thing in sorted(things, key=lambda item: -item.z):
        if thing.kind == "lamp":
            _pool(pen, camera, (thing.x + 1, 0.0, thing.z), 5.0 * thing.size, 120)
            _pool(pen, camera, (thing.x + 1, 0.0, thing.z), 2.8 * thing.size, 205)
        if thing.kind == "vehicle":
            nose, side = 2.5, 0.8
            ahead, right = math.sin(thing.yaw), math.cos(thing.yaw)
            beam = []
            for far, wide in ((nose, -side), (nose, side), (nose + 8, 3.0), (nose + 8, -3.0)):
                beam.append(
                    camera.project((thing.x + ahead * far + right * wide, 0.1, thing.z + right * far - ahead * wide))
                )
            if min(pixel[2] for pixel in beam) > 1:
                pen.polygon([(x / 4, y / 4) for x, y, _ in beam], fill=185)
    soft = mask.filter(ImageFilter.GaussianBlur(2)).resize(
        (camera.width, camera.picture_height), Pillow.Resampling.BILINEAR
    )
    pools: Floats = np.asarray(soft, np.float32) * np.float32(1 / 255)
    return pools


def _pool(
    pen: ImageDraw.ImageDraw, camera: Camera, centre: tuple[float, float, float], radius: float, level: int
) -> None:
    x, y, depth = camera.project(centre)
    if depth > 3:
        wide = radius * camera.focal / depth
        tall = wide * min(0.8, camera.height / depth + 0.08)
        pen.ellipse(((x - wide) / 4, (y - tall) / 4, (x + wide) / 4, (y + tall) / 4), fill=level)


def _bloom(colour: Floats, lit: NDArray[np.bool_]) -> Floats:
    shining = np.zeros(colour.shape, dtype=np.uint8)
    shining[lit] = np.minimum(colour[lit], 255).astype(np.uint8)
    small = Pillow.fromarray(shining).reduce(4)
    near = np.asarray(small.filter(ImageFilter.GaussianBlur(1)), np.uint8)
    wide = np.asarray(small.filter(ImageFilter.GaussianBlur(5)), np.uint8)
    both = np.minimum(near.astype(np.float32) * 0.7 + wide * 2.0, 255).astype(np.uint8)
    size = (colour.shape[1], colour.shape[0])
    glow: Floats = np.asarray(Pillow.fromarray(both).resize(size, Pillow.Resampling.BILINEAR), np.float32)
    return glow


def _wet(colour: Floats, kind: NDArray[np.int32], camera: Camera, rng: np.random.Generator) -> None:
    """Mirror the scene in puddles and draw streaks of rain, in place."""
    edge = int(camera.horizon)
    rows = colour.shape[0] - edge
    mirror = colour[np.maximum(edge - 1 - np.arange(rows), 0)]
    puddle = np.clip(noise_tile(4)[:rows, _columns(colour.shape[1])] * np.float32(1.9) - np.float32(0.85), 0, 0.5)
    puddle = np.where(kind[edge:] == GROUND, puddle + np.float32(0.08), np.float32(0))[:, :, None]
    colour[edge:] = colour[edge:] * (1 - puddle) + mirror * puddle
    streaks = Pillow.new("L", (colour.shape[1], colour.shape[0]), 0)
    pen = ImageDraw.Draw(streaks)
    for x, y, length in rng.uniform((0, -20, 6), (colour.shape[1], colour.shape[0], 20), size=(130, 3)).tolist():
        pen.line((x, y, x - length * 0.14, y + length), fill=int(26 + length * 1.6))
    colour += np.asarray(streaks, np.float32)[:, :, None] * 0.6


def _sensor(colour: Floats, sigma: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Shot and read noise, then 8 bits."""
    grain = rng.standard_normal(colour.shape[:2], dtype=np.float32) * sigma
    tint = np.roll(grain, 61, axis=1)
    colour[:, :, 0] += grain
    colour[:, :, 1] += 0.8 * grain + 0.2 * tint
    colour[:, :, 2] += 0.5 * grain + 0.8 * tint
    return np.clip(colour, 0, 255).astype(np.uint8)
