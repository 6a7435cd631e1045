"""The nouns of the router, and what it needs from the outside: an edge server, a cloud, a hub."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from umiak_workers.adapters.answer_log import Payloads
from umiak_workers.adapters.photo import Media
from umiak_workers.contract.messages import (
    Answer,
    CloudAnswerHeader,
    ExampleHeader,
    LiveSettings,
    PredictionHeader,
    Receipt,
    RouterState,
)

T = TypeVar("T")
Offload = Callable[[Callable[[], T]], Awaitable[T]]
"""Runs a function off the event loop."""


@dataclass(frozen=True)
class Frame:
    """One photo with its id. `due` is the monotonic moment by which its answer must be committed.

    `fresh`: the id was given by this router just now, so no earlier answer can exist. `patient`: nobody waits for it,
    so its deadline starts only when its turn at the edge server comes. `looked_at` is called once the edge server has
    answered it.
    """

    id: str
    digest: str
    media: Media
    photo: bytes
    captured_at: float
    due: float
    fresh: bool = False
    patient: bool = False
    looked_at: Callable[[], None] | None = None


@dataclass(frozen=True)
class Prediction:
    """The edge server's answer to a photo."""

    header: PredictionHeader
    payload: bytes


@dataclass(frozen=True)
class Parcel:
    """What goes up for a live example: its header and bytes.

    `sharp_area`: the share of the photo that they show sharp, None for the whole photo as it came. `last`: once it is
    answered the example is done with, though nothing was stored.
    """

    header: ExampleHeader
    photo: bytes
    sharp_area: float | None = None
    last: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is the photo as it came."""
        return self.sharp_area is None


@dataclass(frozen=True)
class CloudReply:
    """The cloud's answer to an example: header, region PNGs in order, bytes of the request and of the answer."""

    header: CloudAnswerHeader
    regions: tuple[bytes, ...]
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True)
class Outcome:
    """What a caller gets for a frame; `replayed` if it had been answered before."""

    answer: Answer
    payloads: Payloads
    replayed: bool = False


class EdgePort(Protocol):
    """The model server beside this router."""

    async def predict(self, photo: bytes, media: Media) -> Prediction:
        """Raises InvalidInput, InvalidPrediction or Unavailable."""
        ...


class CloudPort(Protocol):
    """The cloud worker."""

    async def ask(self, header: ExampleHeader, photo: bytes) -> CloudReply:
        """Raises Unavailable, IdentityError, Refused or MessageError."""
        ...


class HubPort(Protocol):
    """The hub, as a router knows it. Every call raises Unavailable, IdentityError, Refused or MessageError."""

    async def receipt(self, frame: str, digest: str) -> Receipt | None:
        """What the hub decided about this photo of a frame; an id may have been used by an edge that lost its state."""
        ...

    async def settings(self) -> LiveSettings:
        """Live settings."""
        ...

    async def report(self, state: RouterState) -> None:
        """Running totals; also the heartbeat."""
        ...


@dataclass
class Stages:
    """Milliseconds of each stage of one frame, from the monotonic clock that is passed in."""

    monotonic: Callable[[], float]
    begun: float
    spent: dict[str, float] = field(default_factory=dict)

    async def timed(self, stage: str, work: Awaitable[T]) -> T:
        """Await `work` and remember how long it took."""
        begun = self.monotonic()
        try:
            return await work
        finally:
            self.add(stage, self.monotonic() - begun)

    def add(self, stage: str, seconds: float) -> None:
        """Add to a stage."""
        self.spent[stage] = round(self.spent.get(stage, 0.0) + seconds * 1000, 3)

    def total(self) -> dict[str, float]:
        """The stages with `total` up to now."""
        return {**self.spent, "total": round((self.monotonic() - self.begun) * 1000, 3)}
