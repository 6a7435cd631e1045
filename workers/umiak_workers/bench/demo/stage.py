"""What the page and the terminal show while the story runs: one mutable picture, written by the story alone."""

import io
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from umiak_workers.bench.demo.scoring import Scored
from umiak_workers.contract.artefact import Card
from umiak_workers.core.metrics import mean_iou

WINDOW = 20
POINTS = 600


@dataclass
class EdgePicture:
    """The newest frame of one edge."""

    name: str
    answer: dict[str, Any] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    frames: int = 0
    hard: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


@dataclass
class Picture:
    """Everything on show."""

    card: Card
    phase: str = "starting"
    note: str = ""
    edges: dict[str, EdgePicture] = field(default_factory=dict)
    events: deque[str] = field(default_factory=lambda: deque(maxlen=40))
    marks: list[int] = field(default_factory=list)
    rolling: dict[str, deque[float]] = field(default_factory=dict)
    final: str = ""
    simulated: tuple[str, ...] = ()
    recent: dict[str, deque[Any]] = field(default_factory=dict)

    def tell(self, event: str) -> None:
        """Add a line to the list of what happened."""
        self.events.append(event)

    def enter(self, phase: str, note: str = "") -> None:
        """Begin the next part of the story."""
        self.phase, self.note = phase, note
        self.marks.append(len(self.rolling.get("final", ())))

    def show(self, scored: Scored, photo: bytes, masks: dict[str, NDArray[np.uint8]]) -> None:
        """Put one answered frame on show."""
        picture = self.edges.setdefault(scored.edge, EdgePicture(scored.edge))
        answer = scored.answer
        picture.answer = answer.model_dump(mode="json")
        picture.images = {"photo": photo, **{name: coloured(mask, self.card) for name, mask in masks.items()}}
        picture.frames += 1
        picture.hard += answer.rule != ""
        picture.bytes_up += scored.bytes_up
        picture.bytes_down += answer.bytes_down
        for system in ("edge", "final"):
            self._roll(system, scored)

    def _roll(self, system: str, scored: Scored) -> None:
        if system in scored.counts:
            window = self.recent.setdefault(system, deque(maxlen=WINDOW))
            window.append(scored.counts[system])
            points = self.rolling.setdefault(system, deque(maxlen=POINTS))
            points.append(round(mean_iou(np.sum(window, axis=0)), 4))

    def state(self) -> dict[str, Any]:
        """The page's JSON."""
        length = max((len(points) for points in self.rolling.values()), default=1)
        return {
            "phase": self.phase,
            "note": self.note,
            "classes": [
                {"name": name, "colour": list(colour)}
                for name, colour in zip(self.card.classes, palette(self.card), strict=True)
            ],
            "edges": [edge_state(edge) for _, edge in sorted(self.edges.items())],
            "events": list(self.events),
            "marks": [mark / max(length - 1, 1) for mark in self.marks[1:]],
            "rolling": {name: list(self.rolling.get(name, ())) for name in ("edge", "final")},
            "final": self.final,
            "simulated": list(self.simulated),
        }


def edge_state(edge: EdgePicture) -> dict[str, Any]:
    """One edge's part of the page's JSON."""
    answer = edge.answer
    return {
        "name": edge.name,
        "version": edge.frames,
        "images": dict.fromkeys(edge.images, True),
        "answered_by": answer.get("answered_by", ""),
        "reason": answer.get("reason", ""),
        "rule": answer.get("rule", ""),
        "stages": answer.get("stages_milliseconds", {}),
        "model": answer.get("model", ""),
        "frames": edge.frames,
        "hard": edge.hard,
        "bytes_up": edge.bytes_up,
        "bytes_down": edge.bytes_down,
    }


def palette(card: Card) -> tuple[tuple[int, int, int], ...]:
    """The card's colours, or evenly spread hues for a card without."""
    if card.palette:
        return card.palette
    hues = np.linspace(0, 255, len(card.classes), endpoint=False).astype(np.uint8)
    row = np.stack([hues, np.full_like(hues, 160), np.full_like(hues, 220)], axis=-1)[None]
    colours = np.asarray(Image.fromarray(row, "HSV").convert("RGB"))[0]
    return tuple((int(r), int(g), int(b)) for r, g, b in colours)


def coloured(mask: NDArray[np.uint8], card: Card) -> bytes:
    """A label map (HxW uint8) as a palette PNG; ids that are no class are black."""
    image = Image.fromarray(mask, "P")
    levels = [level for colour in palette(card) for level in colour]
    image.putpalette(levels + [0] * (768 - len(levels)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
