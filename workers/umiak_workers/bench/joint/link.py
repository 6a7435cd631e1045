"""The way to the cloud and back: computed for every photo, and for a sample of them really gone over an emulation."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from umiak_workers.bench.joint.spending import Quantiles, quantiles

Carry = Callable[[bytes, bytes], float]
"""(upload, answer) -> milliseconds until the answer is back."""
SECONDS = 240.0
"""Of the emulated link's time in one run, at most about."""


@dataclass(frozen=True)
class Link:
    """Bits per second and round-trip seconds."""

    rate: float
    round_trip: float

    def milliseconds(self, up: int, down: int) -> float:
        """Until the answer of `down` bytes to an upload of `up` bytes is back, without the cloud's own time."""
        return 1000 * ((up + down) * 8 / self.rate + self.round_trip)


@dataclass(frozen=True)
class Sent:
    """One upload: what kind of file, its bytes and its answer's, and milliseconds on the way."""

    kind: str
    up: int
    down: int
    computed: float
    emulated: float | None


@dataclass(frozen=True)
class Uploads:
    """All uploads of one kind that went over the emulated link, with both times of the same uploads."""

    name: str
    uploads: int
    up: float
    down: float
    computed: Quantiles
    emulated: Quantiles

    def as_json(self) -> dict[str, object]:
        """Plain values; bytes are means."""
        return {
            "upload": self.name,
            "uploads": self.uploads,
            "bytes_up": round(self.up, 1),
            "bytes_down": round(self.down, 1),
            "computed_ms": self.computed,
            "emulated_ms": self.emulated,
        }


class Sending:
    """Uploads of one run. Photos named in `sample` go over the emulated link, each different file of them once."""

    def __init__(self, link: Link, carry: Carry | None = None, sample: Collection[str] = ()) -> None:
        self.link = link
        self._carry, self._sample = carry, frozenset(sample if carry else ())
        self._done: dict[tuple[str, str], Sent] = {}

    def send(self, name: str, kind: str, upload: bytes, answer: bytes) -> Sent:
        """One upload of the photo `name`; raises Unavailable where the emulated link fails."""
        computed = self.link.milliseconds(len(upload), len(answer))
        if self._carry is None or name not in self._sample:
            return Sent(kind, len(upload), len(answer), computed, None)
        key = (name, hashlib.sha256(upload).hexdigest())
        if key not in self._done:
            self._done[key] = Sent(kind, len(upload), len(answer), computed, self._carry(upload, answer))
        return self._done[key]

    def unsent(self, name: str) -> float | None:
        """What a photo waits for the emulated link that is not sent: nothing, if it is of the sample."""
        return 0.0 if name in self._sample else None

    def kinds(self) -> tuple[Uploads, ...]:
        """What went over the emulated link, by kind."""
        done = list(self._done.values())
        return tuple(
            _kind(name, [sent for sent in done if sent.kind == name]) for name in dict.fromkeys(map(_of, done))
        )


def evenly(names: Sequence[str], most: int) -> tuple[str, ...]:
    """At most so many, spread evenly from first to last."""
    if most >= len(names):
        return tuple(names)
    step = (len(names) - 1) / max(most - 1, 1)
    return tuple(names[round(index * step)] for index in range(most))


def affordable(most: int, milliseconds: float) -> int:
    """How many of `most` photos can be carried within SECONDS if one takes so long, at least one of them."""
    return min(most, max(1, int(1000 * SECONDS / milliseconds)))


def _of(sent: Sent) -> str:
    return sent.kind


def _kind(name: str, sent: Sequence[Sent]) -> Uploads:
    return Uploads(
        name=name,
        uploads=len(sent),
        up=sum(one.up for one in sent) / len(sent),
        down=sum(one.down for one in sent) / len(sent),
        computed=quantiles(one.computed for one in sent),
        emulated=quantiles(one.emulated for one in sent if one.emulated is not None),
    )
