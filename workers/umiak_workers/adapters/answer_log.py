"""The answer log of a router: what was said of each frame, once and for all.

`(frame, revision)` is unique, so a frame has exactly one revision 0 however often it is offered and wherever the
process is killed (I9). The log is bounded by items and bytes; a frame id older than the log's tail is known to be old
and is never answered again. Running totals and the numbers given to photos of a folder live in the same database, so
that they change in the same transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    delete,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from umiak_workers.adapters.lane import Lane
from umiak_workers.contract.config import Bounds
from umiak_workers.contract.messages import Answer

TABLES = MetaData()
_ANSWERS = Table(
    "answers",
    TABLES,
    Column("row", Integer, primary_key=True, autoincrement=True),
    Column("frame", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("answer", String, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("final", LargeBinary, nullable=False),
    Column("edge", LargeBinary),
    Column("cloud", LargeBinary),
    UniqueConstraint("frame", "revision"),
    sqlite_autoincrement=True,
)
_SOURCES = Table(
    "sources",
    TABLES,
    Column("source", String, primary_key=True),
    Column("next", Integer, nullable=False),
    Column("trimmed", Integer, nullable=False),
)
_INTAKE = Table(
    "intake",
    TABLES,
    Column("source", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("identity", String, nullable=False),
    Column("sequence", Integer, nullable=False),
)
_TOTALS = Table("totals", TABLES, Column("key", String, primary_key=True), Column("value", Integer, nullable=False))
_ITEMS, _BYTES = "log_items", "log_bytes"
REASON = "reason:"
"""Prefix of the totals that count answers by reason."""
_SLACK = 50
"""A full log is trimmed by one part in this many at once, so that not every frame pays for it."""

# Statements are built once: building one takes longer than running it.
_ADD_ANSWER = insert(_ANSWERS).on_conflict_do_nothing()
_NEW_SOURCE = insert(_SOURCES)
_USE_NUMBER = _NEW_SOURCE.on_conflict_do_update(
    index_elements=["source"],
    set_={"next": _NEW_SOURCE.excluded.next},
    where=_NEW_SOURCE.excluded.next > _SOURCES.c.next,
)
_NEW_TOTAL = insert(_TOTALS)
_ADD_TOTAL = _NEW_TOTAL.on_conflict_do_update(
    index_elements=["key"], set_={"value": _TOTALS.c.value + _NEW_TOTAL.excluded.value}
)
_ALL_TOTALS = select(_TOTALS)
_HELD = select(_TOTALS).where(_TOTALS.c.key.in_((_ITEMS, _BYTES)))
_OLDEST = select(_ANSWERS.c.row, _ANSWERS.c.frame, _ANSWERS.c.bytes).order_by(_ANSWERS.c.row).limit(bindparam("most"))
_FORGET = delete(_ANSWERS).where(_ANSWERS.c.row == bindparam("old"))
_TRIMMED_TO = (
    update(_SOURCES)
    .where(_SOURCES.c.source == bindparam("of"), _SOURCES.c.trimmed < bindparam("to"))
    .values(trimmed=bindparam("to"))
)
_FIND = select(_ANSWERS).where(_ANSWERS.c.frame == bindparam("of"), _ANSWERS.c.revision == bindparam("number"))
_EXISTS = select(_ANSWERS.c.row).where(_ANSWERS.c.frame == bindparam("of"), _ANSWERS.c.revision == 0)
_TRIMMED = select(_SOURCES.c.trimmed).where(_SOURCES.c.source == bindparam("of"))
_NEXT = select(_SOURCES.c.next).where(_SOURCES.c.source == bindparam("of"))
_PAGE = (
    select(_ANSWERS.c.row, _ANSWERS.c.answer)
    .where(_ANSWERS.c.row > bindparam("after"))
    .order_by(_ANSWERS.c.row)
    .limit(bindparam("most"))
)
_ARRIVED = select(_INTAKE).where(_INTAKE.c.source == bindparam("of"))
_NEW_ARRIVAL = insert(_INTAKE)
_ARRIVE = _NEW_ARRIVAL.on_conflict_do_update(
    index_elements=["source", "name"],
    set_={"identity": _NEW_ARRIVAL.excluded.identity, "sequence": _NEW_ARRIVAL.excluded.sequence},
)
_LEAVE = delete(_INTAKE).where(_INTAKE.c.source == bindparam("of"), _INTAKE.c.name == bindparam("gone"))


@dataclass(frozen=True)
class Payloads:
    """What was answered, as the task packs it; `edge` is None where the final payload is the edge's own, `cloud` where
    none was used."""

    final: bytes
    edge: bytes | None = None
    cloud: bytes | None = None

    @property
    def size(self) -> int:
        """bytes"""
        return len(self.final) + len(self.edge or b"") + len(self.cloud or b"")


@dataclass(frozen=True)
class Entry:
    """One row: the answer, the digest of the photo it answers, what was answered."""

    row: int
    answer: Answer
    digest: str
    payloads: Payloads


@dataclass(frozen=True)
class Arrival:
    """A photo of a folder: its name and what tells it from a later file of the same name."""

    name: str
    identity: str


def split_frame(frame: str) -> tuple[str, int]:
    """(source, sequence) of `<edge>/<source>/<sequence>`."""
    _, source, sequence = frame.split("/")
    return source, int(sequence)


class AnswerLog:
    """The log over one lane."""

    def __init__(self, lane: Lane, bounds: Bounds) -> None:
        self._lane = lane
        self._bounds = bounds

    async def commit(self, answer: Answer, digest: str, payloads: Payloads) -> bool:
        """Write an answer durably; False if the frame already has one of this revision (nothing changes then)."""
        return await self._lane.do(lambda connection: _commit(connection, self._bounds, answer, digest, payloads))

    async def find(self, frame: str, revision: int) -> Entry | None:
        """One answer, None if there is none (or no longer)."""
        return await self._lane.do(lambda connection: _find(connection, frame, revision))

    async def unanswered(self, frames: Sequence[str]) -> list[str]:
        """Those of `frames` that have no final answer and are not older than the log."""
        return await self._lane.do(lambda connection: [frame for frame in frames if _open(connection, frame)])

    async def forgotten(self, frame: str) -> bool:
        """Whether this id is older than what the log still holds of its source."""
        return await self._lane.do(lambda connection: _forgotten(connection, frame))

    async def page(self, after: int, limit: int) -> list[tuple[int, Answer]]:
        """(row, answer) with row > after, oldest first, at most `limit`."""
        asked = {"after": after, "most": limit}
        rows = await self._lane.do(lambda connection: connection.execute(_PAGE, asked).all())
        return [(row.row, Answer.model_validate_json(row.answer)) for row in rows]

    async def totals(self) -> dict[str, int]:
        """Running totals since the state folder was made."""
        rows = await self._lane.do(lambda connection: connection.execute(_ALL_TOTALS).all())
        return {row.key: row.value for row in rows}

    async def count(self, amounts: Mapping[str, int]) -> None:
        """Add to running totals."""
        await self._lane.do(lambda connection: _add(connection, amounts))

    async def next_sequence(self, source: str) -> int:
        """The lowest number that no frame of this source was given."""
        return await self._lane.do(lambda connection: _following(connection, source))

    async def take_in(self, source: str, arrivals: Sequence[Arrival]) -> dict[str, int]:
        """Name -> sequence, durable before it returns: the same file gets the same number after a crash."""
        return await self._lane.do(lambda connection: _take_in(connection, source, arrivals))

    async def let_go(self, source: str, names: Sequence[str]) -> None:
        """These photos have left their folder."""
        leaving = [{"of": source, "gone": name} for name in names]
        if leaving:
            await self._lane.do(lambda connection: connection.execute(_LEAVE, leaving) and None)


def _commit(connection: Connection, bounds: Bounds, answer: Answer, digest: str, payloads: Payloads) -> bool:
    text = answer.model_dump_json(exclude_none=True)
    size = len(text) + payloads.size
    row = {
        "frame": answer.frame,
        "revision": answer.revision,
        "digest": digest,
        "answer": text,
        "final": payloads.final,
        "edge": payloads.edge,
        "cloud": payloads.cloud,
        "bytes": size,
    }
    if connection.execute(_ADD_ANSWER, row).rowcount != 1:
        return False
    _use_number(connection, *split_frame(answer.frame))
    _add(connection, {_ITEMS: 1, _BYTES: size, **_counted(answer)})
    _trim(connection, bounds)
    return True


def _counted(answer: Answer) -> dict[str, int]:
    moved = {"bytes_up": answer.bytes_up, "bytes_down": answer.bytes_down}
    if answer.revision == 0:
        moved |= {"frames": 1, REASON + answer.reason: 1}
    return {key: value for key, value in moved.items() if value}


def _use_number(connection: Connection, source: str, sequence: int) -> None:
    connection.execute(_USE_NUMBER, {"source": source, "next": sequence + 1, "trimmed": -1})


def _add(connection: Connection, amounts: Mapping[str, int]) -> None:
    if amounts:
        connection.execute(_ADD_TOTAL, [{"key": key, "value": value} for key, value in amounts.items()])


def _trim(connection: Connection, bounds: Bounds) -> None:
    """Forget the oldest answers of a log that is over its bounds; the newest one always stays."""
    held: dict[str, int] = {row.key: row.value for row in connection.execute(_HELD)}
    items, size = held[_ITEMS], held[_BYTES]
    if items <= bounds.items and size <= bounds.bytes:
        return
    slack_items, slack_bytes = bounds.items // _SLACK, bounds.bytes // _SLACK
    gone = []
    oldest = connection.execute(_OLDEST, {"most": items - 1})
    for old in oldest:
        if items <= bounds.items - slack_items and size <= bounds.bytes - slack_bytes:
            break
        gone.append(old)
        items, size = items - 1, size - old.bytes
    oldest.close()
    if gone:
        connection.execute(_FORGET, [{"old": old.row} for old in gone])
        _add(connection, {_ITEMS: -len(gone), _BYTES: -sum(old.bytes for old in gone)})
        trimmed = [split_frame(old.frame) for old in gone]
        connection.execute(_TRIMMED_TO, [{"of": source, "to": sequence} for source, sequence in trimmed])


def _forgotten(connection: Connection, frame: str) -> bool:
    source, sequence = split_frame(frame)
    trimmed = connection.execute(_TRIMMED, {"of": source}).scalar()
    return trimmed is not None and sequence <= trimmed


def _open(connection: Connection, frame: str) -> bool:
    return connection.execute(_EXISTS, {"of": frame}).first() is None and not _forgotten(connection, frame)


def _find(connection: Connection, frame: str, revision: int) -> Entry | None:
    found = connection.execute(_FIND, {"of": frame, "number": revision}).one_or_none()
    if found is None:
        return None
    answer = Answer.model_validate_json(found.answer)
    return Entry(found.row, answer, found.digest, Payloads(found.final, found.edge, found.cloud))


def _following(connection: Connection, source: str) -> int:
    return int(connection.execute(_NEXT, {"of": source}).scalar() or 0)


def _take_in(connection: Connection, source: str, arrivals: Sequence[Arrival]) -> dict[str, int]:
    known: dict[str, Any] = {row.name: row for row in connection.execute(_ARRIVED, {"of": source})}
    following = _following(connection, source)
    numbers: dict[str, int] = {}
    fresh = []
    for arrival in arrivals:
        before = known.get(arrival.name)
        if before is not None and before.identity == arrival.identity:
            numbers[arrival.name] = before.sequence
            continue
        numbers[arrival.name] = following
        fresh.append({"source": source, "name": arrival.name, "identity": arrival.identity, "sequence": following})
        following += 1
    if fresh:
        connection.execute(_ARRIVE, fresh)
        _use_number(connection, source, following - 1)
    return numbers
