"""The things that stand, hang, walk and drive in a substation yard, each painted from solids in metres."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from umiak_workers.datasets.yard_canvas import Canvas, Colour, Frame, Point, shaded

GROUND, SKY, BUILDING, EQUIPMENT, LINE, PERSON, VEHICLE = range(7)
VOID = 255

STEEL: Colour = (150, 156, 160)
DARK: Colour = (52, 54, 58)
WIRE: Colour = (58, 60, 66)
GLASS: Colour = (70, 88, 104)
LAMP: Colour = (255, 226, 160)


@dataclass(frozen=True)
class Thing:
    """One thing of a scene: what it is, where it stands, and the draws that make it differ from its like.

    `size` scales it, `tint` is its main colour, `variant` 0..1 picks among shapes, `speed` is metres per frame along
    its own heading `yaw`.
    """

    kind: str
    x: float
    z: float
    yaw: float
    size: float
    tint: Colour
    variant: float
    speed: float = 0.0

    def moved(self, frames: float) -> "Thing":
        """The same thing that many frames later."""
        step = self.speed * frames
        x, z = self.x + math.sin(self.yaw) * step, self.z + math.cos(self.yaw) * step
        return Thing(self.kind, x, z, self.yaw, self.size, self.tint, self.variant, self.speed)


def paint(canvas: Canvas, thing: Thing, lamps_on: bool, stride: float) -> None:
    """Paint one thing; `lamps_on` lights windows, lamps and head-lights, `stride` is the walking phase in frames."""
    frame = Frame(thing.x, thing.z, thing.yaw)
    if thing.kind == "building":
        _building(canvas, thing, frame, lamps_on)
    elif thing.kind == "vehicle":
        _vehicle(canvas, thing, frame, lamps_on)
    elif thing.kind == "lamp":
        _lamp(canvas, thing, lamps_on)
    elif thing.kind == "person":
        _person(canvas, thing, stride)
    else:
        _INERT[thing.kind](canvas, thing, frame)


def insulator(canvas: Canvas, foot: Point, height: float, radius: float, colour: Colour) -> None:
    """A ribbed porcelain column; as many sheds as the picture can show."""
    canvas.column(foot, radius * 0.62, height, colour, EQUIPMENT)
    x, y, depth = canvas.camera.project(foot)
    tall = height * canvas.camera.focal / max(depth, 1.0)
    sheds = max(2, min(9, int(tall / 4)))
    wide = radius * canvas.camera.focal / max(depth, 1.0)
    for shed in range(sheds):
        level = y - tall * (shed + 0.5) / sheds
        thick = max(0.5, tall / sheds * 0.27)
        quad = [(x - wide, level - thick, depth), (x + wide, level - thick, depth)]
        quad += [(x + wide, level + thick, depth), (x - wide, level + thick, depth)]
        canvas.polygon(quad, shaded(colour, 0.78 if shed % 2 else 1.12), EQUIPMENT)


def wire(canvas: Canvas, start: Point, end: Point, sag: float) -> None:
    """A conductor: a parabola that hangs `sag` metres at its middle."""
    points = []
    for step in range(13):
        t = step / 12
        a, b, c = (p + (q - p) * t for p, q in zip(start, end, strict=True))
        points.append((a, b - 4 * sag * t * (1 - t), c))
    canvas.curve(points, 0.09, WIRE, LINE)


def _transformer(canvas: Canvas, thing: Thing, frame: Frame) -> None:
    s, tint = thing.size, thing.tint
    width, height, depth = 3.6 * s, 2.7 * s, 2.2 * s
    canvas.box(frame, 0, (width * 1.25, 0.35, depth * 1.4), (150, 146, 138), EQUIPMENT)
    canvas.box(frame, 0.35, (width, height, depth), tint, EQUIPMENT)
    fins = 7
    for fin in range(fins):
        right = (fin - (fins - 1) / 2) * width * 0.9 / fins
        at = frame.at(right, 0, -depth * 0.62)
        slab = Frame(at[0], at[2], thing.yaw)
        canvas.box(
            slab, 0.35 + height * 0.15, (width * 0.05, height * 0.68, depth * 0.26), shaded(tint, 0.84), EQUIPMENT
        )
    tank = frame.at(-width * 0.1, 0, depth * 0.1)
    canvas.box(Frame(tank[0], tank[2], thing.yaw), height + 0.9 * s, (width * 0.8, 0.7 * s, 0.7 * s), tint, EQUIPMENT)
    porcelain: Colour = (128, 72, 50) if thing.variant < 0.6 else (150, 154, 160)
    for phase in (-1, 0, 1):
        foot = frame.at(phase * width * 0.33, height + 0.35, -depth * 0.25)
        insulator(canvas, foot, 1.5 * s, 0.2 * s, porcelain)
        canvas.column((foot[0], foot[1] + 1.5 * s, foot[2]), 0.05 * s, 0.45 * s, STEEL, EQUIPMENT)


def _breaker(canvas: Canvas, thing: Thing, frame: Frame) -> None:
    s = thing.size
    porcelain: Colour = (134, 78, 54) if thing.variant < 0.5 else (146, 150, 158)
    canvas.box(frame, 0.5, (1.0 * s, 1.2 * s, 0.6), thing.tint, EQUIPMENT)
    for phase in (-1, 0, 1):
        foot = frame.at(phase * 2.0 * s, 0, 0)
        canvas.column(foot, 0.17 * s, 1.7 * s, STEEL, EQUIPMENT)
        insulator(canvas, (foot[0], 1.7 * s, foot[2]), 1.5 * s, 0.24 * s, porcelain)
        canvas.box(Frame(foot[0], foot[2], thing.yaw), 3.2 * s, (0.45 * s, 0.3 * s, 0.4 * s), STEEL, EQUIPMENT)
        insulator(canvas, (foot[0], 3.5 * s, foot[2]), 1.2 * s, 0.2 * s, porcelain)
    canvas.strut(
        frame.at(-2.2 * s, 1.65 * s, 0), frame.at(2.2 * s, 1.65 * s, 0), 0.22 * s, shaded(STEEL, 0.8), EQUIPMENT
    )


def _disconnector(canvas: Canvas, thing: Thing, frame: Frame) -> None:
    s = thing.size
    porcelain: Colour = (126, 70, 48) if thing.variant < 0.5 else (156, 158, 162)
    for end in (-2.2, 2.2):
        canvas.column(frame.at(end * s, 0, 0), 0.2 * s, 2.4 * s, shaded(STEEL, 0.9), EQUIPMENT)
    canvas.box(frame, 2.4 * s, (5.2 * s, 0.26 * s, 0.6 * s), STEEL, EQUIPMENT)
    for phase in (-1, 0, 1):
        tops = []
        for side in (-0.5, 0.5):
            foot = frame.at((phase * 1.8 + side) * s, 2.66 * s, 0)
            insulator(canvas, foot, 1.1 * s, 0.17 * s, porcelain)
            tops.append((foot[0], foot[1] + 1.15 * s, foot[2]))
        canvas.strut(tops[0], tops[1], 0.14 * s, (184, 130, 84), EQUIPMENT)


def _post(canvas: Canvas, thing: Thing, frame: Frame) -> None:
    s = thing.size
    for phase in (-1, 0, 1):
        foot = frame.at(phase * 1.7 * s, 0, 0)
        canvas.column(foot, 0.2 * s, 2.0 * s, STEEL, EQUIPMENT)
        insulator(canvas, (foot[0], 2.0 * s, foot[2]), 1.6 * s, 0.25 * s, thing.tint)
        if thing.variant < 0.5:
            canvas.column((foot[0], 3.6 * s, foot[2]), 0.38 * s, 0.6 * s, (158, 162, 166), EQUIPMENT, 0.8)
        else:
            canvas.disc((foot[0], 3.8 * s, foot[2]), 0.3 * s, (170, 172, 176), EQUIPMENT)


def _kiosk(canvas: Canvas, thing: Thing, frame: Frame) -> None:
    s = thing.size
    canvas.box(frame, 0.0, (1.3 * s, 1.9 * s, 0.9 * s), thing.tint, EQUIPMENT)
    canvas.box(frame, 1.9 * s, (1.45 * s, 0.12 * s, 1.05 * s), shaded(thing.tint, 0.8), EQUIPMENT)
    door = [frame.at(-0.5 * s, 0.2 * s, -0.46 * s), frame.at(0.5 * s, 0.2 * s, -0.46 * s)]
    door += [frame.at(0.5 * s, 1.7 * s, -0.46 * s), frame.at(-0.5 * s, 1.7 * s, -0.46 * s)]
    if abs(thing.yaw) < 1.2:
        canvas.face(door, shaded(thing.tint, 0.9), EQUIPMENT)
        canvas.strut(
            frame.at(0, 0.2 * s, -0.47 * s), frame.at(0, 1.7 * s, -0.47 * s), 0.05, shaded(thing.tint, 0.6), EQUIPMENT
        )


def _gantry(canvas: Canvas, thing: Thing, frame: Frame) -> None:
    span, height = 7.0 * thing.size, 7.5 * thing.size
    for side in (-1, 1):
        _lattice(canvas, frame.at(side * span, 0, 0), height * 1.12, 0.42, 0.3, thing.tint)
    low, high = height - 0.35, height + 0.35
    beam = [frame.at(-span, low, 0), frame.at(span, low, 0), frame.at(span, high, 0), frame.at(-span, high, 0)]
    canvas.silhouette(beam, LINE)
    for level in (low, high):
        canvas.strut(frame.at(-span, level, 0), frame.at(span, level, 0), 0.18, thing.tint, LINE)
    for step in range(10):
        a, b = -span + span * step / 5, -span + span * (step + 1) / 5
        ends = (low, high) if step % 2 else (high, low)
        canvas.strut(frame.at(a, ends[0], 0), frame.at(b, ends[1], 0), 0.12, shaded(thing.tint, 0.85), None)
    for phase in (-0.55, 0.0, 0.55):
        top = frame.at(phase * span, low, 0)
        insulator(canvas, (top[0], low - 1.3, top[2]), 1.3, 0.16, (120, 76, 58))


def _lattice(canvas: Canvas, foot: Point, height: float, wide: float, slim: float, tint: Colour) -> None:
    x, y, z = foot
    canvas.silhouette([(x - wide, y, z), (x + wide, y, z), (x + slim, y + height, z), (x - slim, y + height, z)], LINE)
    for side in (-1.0, 1.0):
        light = 1.08 if side * canvas.sun.direction[0] > 0 else 0.82
        canvas.strut((x + side * wide, y, z), (x + side * slim, y + height, z), 0.19, shaded(tint, light), LINE)
    braces = max(3, int(height / 1.5))
    for step in range(braces):
        a, b = step / braces, (step + 1) / braces
        left, right = wide + (slim - wide) * a, wide + (slim - wide) * b
        side = 1.0 if step % 2 else -1.0
        ends = (x - side * left, y + height * a, z), (x + side * right, y + height * b, z)
        canvas.strut(ends[0], ends[1], 0.13, shaded(tint, 0.9), None)


def _pylon(canvas: Canvas, thing: Thing, frame: Frame) -> None:
    height = 24.0 * thing.size
    _lattice(canvas, (thing.x, 0, thing.z), height, 2.2, 0.5, thing.tint)
    for level, reach in ((0.66, 5.0), (0.8, 4.2), (0.93, 3.2)):
        y = height * level
        for side in (-1, 1):
            tip, root = frame.at(side * reach, y, 0), frame.at(0, y + 1.3, 0)
            canvas.silhouette([tip, root, frame.at(0, y - 0.2, 0)], LINE)
            canvas.strut(tip, root, 0.24, thing.tint, LINE)
            canvas.strut(tip, frame.at(0, y, 0), 0.24, shaded(thing.tint, 0.85), LINE)


def _building(canvas: Canvas, thing: Thing, frame: Frame, lamps_on: bool) -> None:
    width, depth = 11.0 * thing.size, 7.0
    height = 3.4 + 3.0 * thing.variant
    canvas.box(frame, 0, (width, height, depth), thing.tint, BUILDING)
    canvas.box(frame, 0, (width * 1.005, 0.5, depth * 1.005), shaded(thing.tint, 0.62), BUILDING)
    canvas.box(frame, height, (width * 1.04, 0.35, depth * 1.06), (110, 104, 100), BUILDING)
    rows = 2 if height > 5.2 else 1
    for row in range(rows):
        for column in range(5):
            _window(canvas, thing, frame, (column - 2) * width * 0.185, 1.5 + 2.5 * row, -depth / 2 - 0.03, lamps_on)
    side = -1.0 if thing.x > canvas.camera.x else 1.0
    for column in range(2):
        middle = (column - 0.5) * 2.6
        pane = [frame.at(side * width * 0.503, 1.5, middle - 0.6), frame.at(side * width * 0.503, 1.5, middle + 0.6)]
        pane += [frame.at(side * width * 0.503, 2.6, middle + 0.6), frame.at(side * width * 0.503, 2.6, middle - 0.6)]
        if abs(thing.x - canvas.camera.x) > width * 0.55:
            canvas.face(pane, GLASS, BUILDING)


def _window(canvas: Canvas, thing: Thing, frame: Frame, right: float, up: float, ahead: float, on: bool) -> None:
    door = abs(right) < 0.1 and up < 2
    low, tall, wide = (0.05, 2.2, 0.65) if door else (up, 1.15, 0.75)
    pane = [frame.at(right - wide, low, ahead), frame.at(right + wide, low, ahead)]
    pane += [frame.at(right + wide, low + tall, ahead), frame.at(right - wide, low + tall, ahead)]
    lit = on and not door and math.sin(91.7 * right + 37.1 * up + 11 * thing.variant) > 0.1
    colour = (98, 74, 58) if door else LAMP if lit else GLASS
    canvas.face(pane, colour, BUILDING, lit)


def _lamp(canvas: Canvas, thing: Thing, lamps_on: bool) -> None:
    height = 6.0 * thing.size
    canvas.column((thing.x, 0, thing.z), 0.09, height, (92, 96, 100), VOID, 0.7)
    canvas.strut((thing.x, height, thing.z), (thing.x + 0.9, height + 0.2, thing.z), 0.12, (92, 96, 100), VOID)
    colour = LAMP if lamps_on else (206, 208, 204)
    canvas.disc((thing.x + 1.0, height + 0.1, thing.z), 0.24, colour, VOID, lamps_on)


def _person(canvas: Canvas, thing: Thing, stride: float) -> None:
    tall = 1.76 * thing.size
    swing = 0.24 * math.sin(stride * 1.3 + 9 * thing.variant) if thing.speed else 0.07
    trousers: Colour = (46, 52, 78) if thing.variant < 0.5 else (70, 64, 54)
    skin: Colour = (196, 150, 122) if thing.variant < 0.65 else (120, 84, 62)
    across = Frame(thing.x, thing.z, 0.0)
    for side in (-1, 1):
        hip, foot = across.at(side * 0.09, tall * 0.5, 0), across.at(side * (0.1 + swing), 0.02, 0)
        canvas.strut(hip, foot, 0.19, shaded(trousers, 1.0 if side > 0 else 0.8), PERSON)
    for side in (-1, 1):
        shoulder, hand = across.at(side * 0.22, tall * 0.8, 0), across.at(side * (0.27 + swing * 0.6), tall * 0.47, 0)
        canvas.strut(shoulder, hand, 0.13, shaded(thing.tint, 0.8), PERSON)
    torso = [across.at(-0.2, tall * 0.47, 0), across.at(0.2, tall * 0.47, 0)]
    torso += [across.at(0.26, tall * 0.83, 0), across.at(-0.26, tall * 0.83, 0)]
    canvas.face(torso, thing.tint, PERSON)
    canvas.strut(across.at(-0.21, tall * 0.6, -0.01), across.at(0.21, tall * 0.6, -0.01), 0.07, (216, 218, 206), PERSON)
    canvas.disc(across.at(0, tall * 0.91, 0), 0.125, skin, PERSON)
    helmet = (232, 232, 228) if thing.variant < 0.4 else (226, 176, 40)
    cap = [across.at(-0.15, tall * 0.925, -0.02), across.at(0.15, tall * 0.925, -0.02)]
    cap += [across.at(0.09, tall * 1.005, -0.02), across.at(-0.09, tall * 1.005, -0.02)]
    canvas.face(cap, helmet, PERSON)


def _vehicle(canvas: Canvas, thing: Thing, frame: Frame, lamps_on: bool) -> None:
    long, wide = 4.6 * thing.size, 1.85
    van, truck = thing.variant < 0.4, thing.variant > 0.75
    body = 1.0 if not van else 1.35
    across = math.cos(thing.yaw) * (canvas.camera.x - thing.x) - math.sin(thing.yaw) * (canvas.camera.z - thing.z)
    near = wide * (0.5 if across > 0 else -0.5)
    for end in (-0.31, 0.31):
        _wheel(canvas, frame, -near, end * long)
    canvas.box(frame, 0.38, (wide, body, long), thing.tint, VEHICLE)
    for end in (-0.31, 0.31):
        _wheel(canvas, frame, near, end * long)
    cabin_length, cabin_at = (0.92, -0.02) if van else (0.3, 0.3) if truck else (0.52, -0.04)
    at = frame.at(0, 0, cabin_at * long)
    cabin = Frame(at[0], at[2], thing.yaw)
    top = 0.38 + body
    canvas.box(cabin, top, (wide * 0.94, 0.58, cabin_length * long), GLASS, VEHICLE)
    canvas.box(cabin, top + 0.52, (wide * 0.92, 0.14, cabin_length * long * 0.94), thing.tint, VEHICLE)
    if truck:
        load = frame.at(0, 0, -0.2 * long)
        canvas.box(Frame(load[0], load[2], thing.yaw), top, (wide, 1.0, 0.56 * long), (176, 172, 160), VEHICLE)
    facing = math.cos(thing.yaw) * (canvas.camera.z - thing.z) + math.sin(thing.yaw) * (canvas.camera.x - thing.x)
    nose = long * 0.505 if facing > 0 else -long * 0.505
    colour: Colour = ((255, 250, 228) if facing > 0 else (255, 60, 40)) if lamps_on else (224, 224, 214)
    for side in (-1, 1):
        canvas.disc(frame.at(side * wide * 0.36, 0.85, nose), 0.15, colour, VEHICLE, lamps_on)


def _wheel(canvas: Canvas, frame: Frame, right: float, ahead: float) -> None:
    for radius, colour in ((0.38, (30, 30, 32)), (0.19, (140, 142, 146))):
        rim = []
        for step in range(10):
            angle = step * math.tau / 10
            rim.append(frame.at(right * 1.03, 0.38 + radius * math.sin(angle), ahead + radius * math.cos(angle)))
        canvas.face(rim, colour, VEHICLE)


_INERT: dict[str, Callable[[Canvas, Thing, Frame], None]] = {
    "transformer": _transformer,
    "breaker": _breaker,
    "disconnector": _disconnector,
    "post": _post,
    "kiosk": _kiosk,
    "gantry": _gantry,
    "pylon": _pylon,
}
