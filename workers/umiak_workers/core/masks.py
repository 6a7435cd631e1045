"""Where things are in a label map, and what to ask a promptable segmenter about it.

An image of the edge holds no scipy, so connected components are found with numpy alone: pixels become runs, runs that
touch become a graph, and the graph is contracted by hooking and pointer jumping.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOTHING = -1
"""Component id of a pixel that belongs to none."""
VOID = 255
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Components:
    """Connected areas of one class, largest first (ties: the one met first, row by row).

    `ids` HxW int64 (NOTHING outside), `classes` N, `areas` N (pixels), `boxes` Nx4 (left, top, width, height).
    """

    ids: Integers
    classes: Integers
    areas: Integers
    boxes: Integers

    def __len__(self) -> int:
        return len(self.areas)

    def mask(self, index: int) -> NDArray[np.bool_]:
        """HxW bool of one component."""
        inside: NDArray[np.bool_] = self.ids == index
        return inside


@dataclass(frozen=True)
class Prompt:
    """One question to a promptable segmenter: an optional box (left, top, right, bottom) and points inside the thing.

    Coordinates are pixels of the photo, x to the right, y down; a pixel's centre is at +0.5.
    """

    box: tuple[float, float, float, float] | None
    points: tuple[tuple[float, float], ...]

    def scaled(self, across: float, down: float) -> "Prompt":
        """The same question about a picture that is so many times wider and higher."""
        points = tuple((x * across, y * down) for x, y in self.points)
        if self.box is None:
            return Prompt(None, points)
        left, top, right, bottom = self.box
        return Prompt((left * across, top * down, right * across, bottom * down), points)


def components(labels: NDArray[np.integer], ignore: int = VOID) -> Components:
    """4-connected areas of equal value in an HxW map; pixels of value `ignore` belong to none."""
    starts = np.ones(labels.shape, dtype=bool)
    starts[:, 1:] = labels[:, 1:] != labels[:, :-1]
    runs = np.cumsum(starts).reshape(labels.shape) - 1
    first = np.flatnonzero(starts)
    lengths = np.diff(np.append(first, labels.size))
    values = labels.reshape(-1)[first].astype(np.int64)
    touching = labels[1:] == labels[:-1]
    roots = _contract(len(first), runs[:-1][touching], runs[1:][touching])
    wanted = values != ignore
    ids, kept, areas = _ranked(roots, wanted, lengths)
    rows, columns = np.divmod(first[wanted], max(labels.shape[1], 1))
    boxes = _boxes(ids[wanted], len(kept), rows, columns, lengths[wanted])
    return Components(ids[runs], values[kept], areas, boxes)


def _ranked(roots: Integers, wanted: NDArray[np.bool_], lengths: Integers) -> tuple[Integers, Integers, Integers]:
    """(id of each run, root of each component, area of each component), ids by falling area."""
    kept, member = np.unique(roots[wanted], return_inverse=True)
    areas = np.bincount(member, weights=lengths[wanted], minlength=len(kept)).astype(np.int64)
    order = np.lexsort((kept, -areas))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    ids = np.full(len(roots), NOTHING, dtype=np.int64)
    ids[wanted] = rank[member]
    return ids, kept[order], areas[order]


def _contract(count: int, one: Integers, other: Integers) -> Integers:
    """The least member of each connected part of a graph of `count` nodes with edges one[i]-other[i]."""
    parent = np.arange(count)
    while True:
        low = np.minimum(parent[one], parent[other])
        np.minimum.at(parent, parent[one], low)
        np.minimum.at(parent, parent[other], low)
        while not np.array_equal(parent, parent[parent]):
            parent = parent[parent]
        apart = parent[one] != parent[other]
        if not apart.any():
            return parent
        one, other = one[apart], other[apart]


def _boxes(member: Integers, count: int, rows: Integers, columns: Integers, lengths: Integers) -> Integers:
    far = np.iinfo(np.int64).max
    low = np.full((count, 2), far)
    high = np.zeros((count, 2), dtype=np.int64)
    np.minimum.at(low[:, 0], member, columns)
    np.minimum.at(low[:, 1], member, rows)
    np.maximum.at(high[:, 0], member, columns + lengths)
    np.maximum.at(high[:, 1], member, rows + 1)
    return np.concatenate((low, high - low), axis=1)


def inner_points(found: Components) -> Integers:
    """Nx2 (x, y): of each component, the pixel with most room to its four sides (the first such, row by row)."""
    room = np.minimum(_room(found.ids), _room(found.ids.T).T).reshape(-1)
    ids = found.ids.reshape(-1)
    best = np.zeros(len(found), dtype=np.int64)
    inside = ids != NOTHING
    np.maximum.at(best, ids[inside], room[inside])
    candidates = np.flatnonzero(inside)
    candidates = candidates[room[candidates] == best[ids[candidates]]]
    _, where = np.unique(ids[candidates], return_index=True)
    y, x = np.divmod(candidates[where], found.ids.shape[1])
    return np.stack((x, y), axis=1).astype(np.int64)


def _room(ids: Integers) -> Integers:
    """Per pixel: steps along its row to the nearer end of its run of equal ids, itself included."""
    width = ids.shape[1]
    columns = np.broadcast_to(np.arange(width), ids.shape)
    starts = np.ones(ids.shape, dtype=bool)
    starts[:, 1:] = ids[:, 1:] != ids[:, :-1]
    ends = np.ones(ids.shape, dtype=bool)
    ends[:, :-1] = starts[:, 1:]
    left = np.maximum.accumulate(np.where(starts, columns, 0), axis=1)
    right = np.minimum.accumulate(np.where(ends, columns, width)[:, ::-1], axis=1)[:, ::-1]
    room: Integers = np.minimum(columns - left, right - columns) + 1
    return room


def prompts_from(
    probabilities: NDArray[np.float32], limit: int, minimum_area: int, uncertain_below: float
) -> tuple[Prompt, ...]:
    """What to ask about a prediction (CxHxW, sums to one over C): the largest areas first, at most `limit`.

    Every area of one class becomes a box with a point in it; every area where the best class leads the second by less
    than `uncertain_below` becomes a point alone, because no label, so no box, is to be trusted there. Areas of less
    than `minimum_area` pixels are left out.
    """
    certain = components(np.argmax(probabilities, axis=0))
    doubt = components((lead(probabilities) >= uncertain_below).astype(np.int64), ignore=1)
    asked = [
        (int(area), prompt) for found, boxed in ((certain, True), (doubt, False)) for area, prompt in _ask(found, boxed)
    ]
    large = [item for item in asked if item[0] >= max(minimum_area, 1)]
    large.sort(key=lambda item: -item[0])
    return tuple(prompt for _, prompt in large[:limit])


def lead(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far the best of C leads the second (C x ... -> ...); the best itself where there is only one."""
    if shares.shape[0] == 1:
        only: NDArray[np.float32] = shares[0]
        return only
    top = np.partition(shares, -2, axis=0)[-2:]
    ahead: NDArray[np.float32] = top[1] - top[0]
    return ahead


def _ask(found: Components, boxed: bool) -> list[tuple[int, Prompt]]:
    asked = []
    for area, (left, top, width, height), (x, y) in zip(
        found.areas.tolist(), found.boxes.tolist(), inner_points(found).tolist(), strict=True
    ):
        box = (float(left), float(top), float(left + width), float(top + height)) if boxed else None
        asked.append((area, Prompt(box, ((x + 0.5, y + 0.5),))))
    return asked
