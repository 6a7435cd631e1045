"""Hard examples on disk until the hub's receipt is here: bounded, oldest unsent first to go, nothing lost silently.

An example is put before it is sent and removed only by a receipt, so a crash, a dead cloud or a dead hub costs a
second look, never an example. What the bounds push out is counted.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from umiak_workers.adapters.lane import Lane
from umiak_workers.contract.config import Bounds
from umiak_workers.contract.messages import ExampleHeader

TABLES = MetaData()
_EXAMPLES = Table(
    "examples",
    TABLES,
    Column("row", Integer, primary_key=True, autoincrement=True),
    Column("frame", String, nullable=False, unique=True),
    Column("header", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("captured_at", Float, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("answered", Integer, nullable=False),
    Column("photo", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
_TOTALS = Table("totals", TABLES, Column("key", String, primary_key=True), Column("value", Integer, nullable=False))
DROPPED = "dropped"
FAR = 3600.0
"""seconds; a date further away than this was set by a clock that has since been put right"""

# Statements are built once: building one takes longer than running it.
_ONE = _EXAMPLES.c.frame == bindparam("of")
_EXISTS = select(_EXAMPLES.c.row).where(_ONE)
_ADD = insert(_EXAMPLES)
_REMOVE = delete(_EXAMPLES).where(_ONE)
_SIZE = select(func.count(), func.coalesce(func.sum(_EXAMPLES.c.bytes), 0), func.min(_EXAMPLES.c.captured_at))
_BY_AGE = select(_EXAMPLES.c.frame, _EXAMPLES.c.bytes).order_by(_EXAMPLES.c.row)
_MARK = update(_EXAMPLES).where(_ONE).values(answered=1)
_LATER = update(_EXAMPLES).where(_ONE).values(next_at=bindparam("until"), tries=_EXAMPLES.c.tries + 1)
_HURRY = update(_EXAMPLES).where(_EXAMPLES.c.next_at > bindparam("at")).values(next_at=bindparam("at"))
_DUE = (
    select(_EXAMPLES.c.frame)
    .where(or_(_EXAMPLES.c.next_at <= bindparam("at"), _EXAMPLES.c.next_at > bindparam("far")))
    .order_by(_EXAMPLES.c.next_at, _EXAMPLES.c.row)
    .limit(bindparam("most"))
)
_GET = select(_EXAMPLES).where(_ONE)
_COUNT_DROPPED = insert(_TOTALS).on_conflict_do_update(index_elements=["key"], set_={"value": _TOTALS.c.value + 1})
_DROPPED = select(_TOTALS.c.value).where(_TOTALS.c.key == DROPPED)


@dataclass(frozen=True)
class Example:
    """A hard example: its upload header and photo, the rule that found it, how often its delivery failed.

    `answered`: the cloud has answered it already, only the receipt is missing.
    """

    header: ExampleHeader
    photo: bytes
    rule: str
    tries: int = 0
    answered: bool = False


@dataclass(frozen=True)
class Fill:
    """What the queue holds: items, bytes of photos, seconds since the oldest was captured, dropped so far."""

    items: int
    bytes: int
    oldest_seconds: float
    dropped: int


class ExampleQueue:
    """The queue over one lane."""

    def __init__(self, lane: Lane, bounds: Bounds) -> None:
        self._lane = lane
        self._bounds = bounds

    async def put(self, example: Example, in_hand: Collection[str]) -> bool:
        """Keep an example durably; the oldest ones that are not `in_hand` make room.

        False if it cannot be kept: too large, or everything else is in hand. One that is there already stays as it is.
        """
        return await self._lane.do(lambda connection: _put(connection, self._bounds, example, frozenset(in_hand)))

    async def remove(self, frame: str) -> None:
        """There is a receipt (or a refusal): the example has been dealt with."""
        await self._lane.do(lambda connection: _remove(connection, frame))

    async def drop(self, frame: str) -> None:
        """Give an example up without a receipt; counted."""
        await self._lane.do(lambda connection: _drop(connection, frame))

    async def mark_answered(self, frame: str) -> None:
        """The cloud has answered; what is missing is the receipt."""
        await self._lane.do(lambda connection: connection.execute(_MARK, {"of": frame}) and None)

    async def postpone(self, frame: str, until: float) -> None:
        """Try again no sooner than `until` (seconds since the epoch)."""
        await self._lane.do(lambda connection: connection.execute(_LATER, {"of": frame, "until": until}) and None)

    async def hurry(self, now: float) -> None:
        """Whoever was waited for is back: everything is due."""
        await self._lane.do(lambda connection: connection.execute(_HURRY, {"at": now}) and None)

    async def due(self, now: float, in_hand: Collection[str]) -> Example | None:
        """The example that waits longest for its next try, None if none is due."""
        return await self._lane.do(lambda connection: _due(connection, now, frozenset(in_hand)))

    async def get(self, frame: str) -> Example | None:
        """One example."""
        return await self._lane.do(lambda connection: _get(connection, frame))

    async def frames(self) -> list[str]:
        """Every frame id that is kept, oldest first."""
        query = select(_EXAMPLES.c.frame).order_by(_EXAMPLES.c.row)
        return await self._lane.do(lambda connection: list(connection.execute(query).scalars()))

    async def fill(self, now: float) -> Fill:
        """What is held."""
        return await self._lane.do(lambda connection: _fill(connection, now))


def _put(connection: Connection, bounds: Bounds, example: Example, in_hand: frozenset[str]) -> bool:
    header, size = example.header, len(example.photo)
    if connection.execute(_EXISTS, {"of": header.frame}).first():
        return True
    if size > bounds.bytes or not _make_room(connection, bounds, size, in_hand):
        return False
    row = {
        "frame": header.frame,
        "header": header.model_dump_json(exclude_none=True),
        "rule": example.rule,
        "photo": example.photo,
        "bytes": size,
        "captured_at": header.captured_at,
        "next_at": header.captured_at,
        "tries": 0,
        "answered": int(example.answered),
    }
    connection.execute(_ADD, row)
    return True


def _make_room(connection: Connection, bounds: Bounds, size: int, in_hand: frozenset[str]) -> bool:
    """Drop the oldest examples that nobody works on until `size` more bytes fit; False (and no drop) if they cannot."""
    items, held, _ = connection.execute(_SIZE).one()
    if items + 1 <= bounds.items and held + size <= bounds.bytes:
        return True
    victims = []
    for old in connection.execute(_BY_AGE).all():
        if old.frame in in_hand:
            continue
        victims.append(old.frame)
        items, held = items - 1, held - old.bytes
        if items + 1 <= bounds.items and held + size <= bounds.bytes:
            break
    else:
        return False
    for frame in victims:
        _drop(connection, frame)
    return True


def _remove(connection: Connection, frame: str) -> bool:
    return connection.execute(_REMOVE, {"of": frame}).rowcount == 1


def _drop(connection: Connection, frame: str) -> None:
    if _remove(connection, frame):
        connection.execute(_COUNT_DROPPED, {"key": DROPPED, "value": 1})


def _due(connection: Connection, now: float, in_hand: frozenset[str]) -> Example | None:
    asked = {"at": now, "far": now + FAR, "most": len(in_hand) + 1}
    frames = connection.execute(_DUE, asked).scalars().all()
    frame = next((frame for frame in frames if frame not in in_hand), None)
    return None if frame is None else _get(connection, frame)


def _get(connection: Connection, frame: str) -> Example | None:
    row = connection.execute(_GET, {"of": frame}).one_or_none()
    if row is None:
        return None
    header = ExampleHeader.model_validate_json(row.header)
    return Example(header, row.photo, row.rule, row.tries, bool(row.answered))


def _fill(connection: Connection, now: float) -> Fill:
    items, held, oldest = connection.execute(_SIZE).one()
    dropped = connection.execute(_DROPPED).scalar() or 0
    return Fill(items, held, 0.0 if oldest is None else max(0.0, now - oldest), dropped)
