"""What is behind and below the things: sky with clouds, a far tree line, and ground in perspective."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from umiak_workers.datasets.yard_canvas import DEPTH_STEP, Camera
from umiak_workers.datasets.yard_scene import Scene
from umiak_workers.datasets.yard_things import GROUND, SKY

Floats = NDArray[np.float32]
TILE = 256
MATERIALS = np.asarray(
    ((146, 138, 126), (168, 166, 158), (96, 116, 66), (88, 88, 92), (206, 204, 190)), dtype=np.float32
)
"""Gravel, concrete, grass, asphalt, road marking."""


@dataclass(frozen=True)
class Sky:
    """Colours at the zenith and above the horizon, how much of it is cloud (0..1) and the clouds' colour."""

    zenith: tuple[float, float, float]
    horizon: tuple[float, float, float]
    cloud: float
    cloud_colour: tuple[float, float, float]


@cache
def noise_tile(coarsest: int) -> Floats:
    """TILExTILE float32 in 0..1 that repeats without a seam: value noise summed over octaves from `coarsest` cells."""
    rng = np.random.default_rng(coarsest)
    total = np.zeros((TILE, TILE), dtype=np.float32)
    cells, weight = coarsest, 1.0
    while cells <= TILE:
        total += weight * _smooth_cells(rng.random((cells, cells), dtype=np.float32))
        cells, weight = cells * 2, weight * 0.6
    low, high = float(total.min()), float(total.max())
    tile: Floats = (total - low) / (high - low)
    tile.setflags(write=False)
    return tile


def _smooth_cells(cells: Floats) -> Floats:
    count = cells.shape[0]
    at = np.arange(TILE, dtype=np.float32) * count / TILE
    low = at.astype(np.int32)
    t = at - low
    t = t * t * (3 - 2 * t)
    high = (low + 1) % count
    rows = cells[low] * (1 - t)[:, None] + cells[high] * t[:, None]
    smooth: Floats = rows[:, low] * (1 - t)[None, :] + rows[:, high] * t[None, :]
    return smooth


def backdrop(
    scene: Scene, camera: Camera, sky: Sky, phase: int, shadow: Floats
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """(HxWx3 uint8 colour, HxW int32 facts) before any thing is painted.

    `phase` shifts clouds and textures per shot; `shadow` HxW is 1 in the light and less where something shades it.
    """
    width, height = camera.width, camera.picture_height
    edge = int(camera.horizon)
    colour = np.empty((height, width, 3), dtype=np.float32)
    colour[:edge] = _sky(camera, sky, edge, phase)
    facts = np.full((height, width), SKY | 255 << 8, dtype=np.int32)
    ground, depth = _ground(scene, camera, edge, phase)
    colour[edge:] = ground * shadow[edge:, :, None]
    facts[edge:] = GROUND | np.minimum(depth / DEPTH_STEP, 255).astype(np.int32)[:, None] << 8
    _trees(colour, facts, camera, edge, phase)
    return np.clip(colour, 0, 255).astype(np.uint8), facts


def _sky(camera: Camera, sky: Sky, edge: int, phase: int) -> Floats:
    rows = (np.arange(edge, dtype=np.float32) + 1) / edge
    blend = (rows**1.6)[:, None, None]
    plain = np.asarray(sky.zenith, np.float32) * (1 - blend) + np.asarray(sky.horizon, np.float32) * blend
    far = 26.0 / (edge + 8 - np.arange(edge, dtype=np.float32))
    columns = np.arange(camera.width, dtype=np.float32) - camera.width / 2 + camera.yaw * camera.focal
    u = (columns[None, :] * far[:, None] * 0.9 + phase * 37).astype(np.int32) & (TILE - 1)
    v = (far * 60 + phase * 91).astype(np.int32)[:, None] & (TILE - 1)
    cover = np.clip((noise_tile(4)[v, u] - (1 - sky.cloud)) * 3.0, 0, 0.9)[:, :, None]
    mixed: Floats = plain * (1 - cover) + np.asarray(sky.cloud_colour, np.float32) * cover
    return mixed


def _ground(scene: Scene, camera: Camera, edge: int, phase: int) -> tuple[Floats, Floats]:
    """Gravel, a road with a centre line, concrete strips and grass beyond; depth per row in metres."""
    rows = np.arange(edge, camera.picture_height, dtype=np.float32) + 0.5
    depth = np.minimum(camera.focal * camera.height / np.maximum(rows - camera.horizon, 0.4), 250.0)
    columns = (np.arange(camera.width, dtype=np.float32) - camera.width / 2) / camera.focal
    cosine, sine = np.float32(math.cos(camera.yaw)), np.float32(math.sin(camera.yaw))
    ahead = depth[:, None] * (cosine - columns[None, :] * sine) + np.float32(camera.z)
    right = depth[:, None] * (sine + columns[None, :] * cosine) + np.float32(camera.x)
    fine = noise_tile(64)[_wrap(ahead * 17 + phase * 13), _wrap(right * 17)] - 0.5
    broad = noise_tile(4)[_wrap(ahead * 3), _wrap(right * 3 + phase * 29)] - 0.5
    sharp = np.exp(-depth / 14.0)[:, None]
    texture = 1 + fine * (0.75 * sharp + 0.08) + broad * 0.34
    material = np.zeros(ahead.shape, dtype=np.uint8)
    material[_wrap(right * 8 + phase) % 72 < 8] = 1
    material[ahead + broad * 24 > scene.grass_from] = 2
    offset = np.abs(right - np.float32(scene.road[0]) - ahead * np.float32(scene.road[1]))
    material[offset < scene.road[2] + 0.25] = 1
    material[offset < scene.road[2]] = 3
    material[(offset < 0.09) & (_wrap(ahead * 8) % 32 < 18)] = 4
    return MATERIALS[material] * texture[:, :, None], depth


def _wrap(values: Floats) -> NDArray[np.int32]:
    return values.astype(np.int32) & (TILE - 1)


def _trees(colour: Floats, facts: NDArray[np.int32], camera: Camera, edge: int, phase: int) -> None:
    tile = noise_tile(4)
    columns = (np.arange(camera.width) + camera.yaw * camera.focal).astype(np.int32)
    tops = tile[phase & (TILE - 1)][columns & (TILE - 1)] * 0.7 + noise_tile(64)[7][columns * 3 & (TILE - 1)] * 0.3
    height = (tops * 17 + 1).astype(np.int32)
    deepest = int(height.max())
    strip = np.arange(edge - deepest, edge)[:, None]
    wood = strip >= (edge - height)[None, :]
    leaf = tile[np.arange(deepest)[:, None] * 9 & (TILE - 1), columns[None, :] * 5 & (TILE - 1)]
    green = np.asarray((74, 92, 62), np.float32) * (0.65 + 0.7 * leaf[:, :, None])
    rows = slice(edge - deepest, edge)
    colour[rows] = np.where(wood[:, :, None], green, colour[rows])
    facts[rows] = np.where(wood, GROUND | 200 << 8, facts[rows])
