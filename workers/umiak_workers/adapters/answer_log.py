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


@dataclass(frozen=True)
class Masks:
    """PNG masks of one answer; `edge` is None where the final mask is the edge's own, `cloud` where none was used."""

    final: bytes
    edge: bytes | None = None
    cloud: bytes | None = None

    @property
    def size(self) -> int:
        """bytes"""
        return len(self.final) + len(self.edge or b"") + len(self.cloud or b"")


@dataclass(frozen=True)
class Entry:
    """One row: the answer, the digest of the photo it answers, its masks."""

    row: int
    answer: Answer
    digest: str
    masks: Masks


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

    async def commit(self, answer: Answer, digest: str, masks: Masks) -> bool:
        """Write an answer durably; False if the frame already has one of this revision (nothing changes then)."""
        return await self._lane.do(lambda connection: _commit(connection, self._bounds, answer, digest, masks))

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
        query = select(_ANSWERS.c.row, _ANSWERS.c.answer).where(_ANSWERS.c.row > after)
        rows = await self._lane.do(
            lambda connection: connection.execute(query.order_by(_ANSWERS.c.row).limit(limit)).all()
        )
        return [(row.row, Answer.model_validate_json(row.answer)) for row in rows]

    async def totals(self) -> dict[str, int]:
        """Running totals since the state folder was made."""
        rows = await self._lane.do(lambda connection: connection.execute(select(_TOTALS)).all())
        return {row.key: row.value for row in rows}

    async def count(self, amounts: Mapping[str, int]) -> None:
        """Add to running totals."""
        await self._lane.do(lambda connection: _add(connection, amounts))

    async def next_sequence(self, source: str) -> int:
        """The lowest number that no frame of this source was given."""
        query = select(_SOURCES.c.next).where(_SOURCES.c.source == source)
        return int(await self._lane.do(lambda connection: connection.execute(query).scalar()) or 0)

    async def take_in(self, source: str, arrivals: Sequence[Arrival]) -> dict[str, int]:
        """Name -> sequence, durable before it returns: the same file gets the same number after a crash."""
        return await self._lane.do(lambda connection: _take_in(connection, source, arrivals))

    async def let_go(self, source: str, names: Sequence[str]) -> None:
        """These photos have left their folder."""
        query = delete(_INTAKE).where(_INTAKE.c.source == source, _INTAKE.c.name == bindparam("gone"))
        await self._lane.do(lambda connection: connection.execute(query, [{"gone": name} for name in names]) and None)


def _commit(connection: Connection, bounds: Bounds, answer: Answer, digest: str, masks: Masks) -> bool:
    text = answer.model_dump_json(exclude_none=True)
    size = len(text) + masks.size
    row = {
        "frame": answer.frame,
        "revision": answer.revision,
        "digest": digest,
        "answer": text,
        "final": masks.final,
        "edge": masks.edge,
        "cloud": masks.cloud,
        "bytes": size,
    }
    if connection.execute(insert(_ANSWERS).on_conflict_do_nothing(), row).rowcount != 1:
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
    row = insert(_SOURCES).values(source=source, next=sequence + 1, trimmed=-1)
    connection.execute(
        row.on_conflict_do_update(
            index_elements=["source"],
            set_={"next": row.excluded.next},
            where=row.excluded.next > _SOURCES.c.next,
        )
    )


def _add(connection: Connection, amounts: Mapping[str, int]) -> None:
    if amounts:
        row = insert(_TOTALS)
        added = row.on_conflict_do_update(index_elements=["key"], set_={"value": _TOTALS.c.value + row.excluded.value})
        connection.execute(added, [{"key": key, "value": value} for key, value in amounts.items()])


def _trim(connection: Connection, bounds: Bounds) -> None:
    """Forget the oldest answers until the log is within its bounds; the newest one always stays."""
    while True:
        rows = connection.execute(select(_TOTALS).where(_TOTALS.c.key.in_((_ITEMS, _BYTES))))
        held: dict[str, int] = {row.key: row.value for row in rows}
        if held[_ITEMS] <= 1 or (held[_ITEMS] <= bounds.items and held[_BYTES] <= bounds.bytes):
            return
        oldest = connection.execute(
            select(_ANSWERS.c.row, _ANSWERS.c.frame, _ANSWERS.c.revision, _ANSWERS.c.bytes)
            .order_by(_ANSWERS.c.row)
            .limit(1)
        ).one()
        connection.execute(delete(_ANSWERS).where(_ANSWERS.c.row == oldest.row))
        _add(connection, {_ITEMS: -1, _BYTES: -oldest.bytes})
        _remember_trimmed(connection, *split_frame(oldest.frame))


def _remember_trimmed(connection: Connection, source: str, sequence: int) -> None:
    connection.execute(
        update(_SOURCES).where(_SOURCES.c.source == source, _SOURCES.c.trimmed < sequence).values(trimmed=sequence)
    )


def _forgotten(connection: Connection, frame: str) -> bool:
    source, sequence = split_frame(frame)
    trimmed = connection.execute(select(_SOURCES.c.trimmed).where(_SOURCES.c.source == source)).scalar()
    return trimmed is not None and sequence <= trimmed


def _open(connection: Connection, frame: str) -> bool:
    query = select(_ANSWERS.c.row).where(_ANSWERS.c.frame == frame, _ANSWERS.c.revision == 0)
    return connection.execute(query).first() is None and not _forgotten(connection, frame)


def _find(connection: Connection, frame: str, revision: int) -> Entry | None:
    found = connection.execute(
        select(_ANSWERS).where(_ANSWERS.c.frame == frame, _ANSWERS.c.revision == revision)
    ).one_or_none()
    if found is None:
        return None
    answer = Answer.model_validate_json(found.answer)
    return Entry(found.row, answer, found.digest, Masks(found.final, found.edge, found.cloud))


def _take_in(connection: Connection, source: str, arrivals: Sequence[Arrival]) -> dict[str, int]:
    known: dict[str, Any] = {
        row.name: row for row in connection.execute(select(_INTAKE).where(_INTAKE.c.source == source))
    }
    query = select(_SOURCES.c.next).where(_SOURCES.c.source == source)
    following = int(connection.execute(query).scalar() or 0)
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
        row = insert(_INTAKE)
        changed = {"identity": row.excluded.identity, "sequence": row.excluded.sequence}
        connection.execute(row.on_conflict_do_update(index_elements=["source", "name"], set_=changed), fresh)
        _use_number(connection, source, following - 1)
    return numbers
