"""One change of what the hub holds: a transaction that also knows whom to wake and which hints to send.

A `Change` collects while its transaction is open: owners whose view is different now, retained MQTT hints. Both are
written with the facts themselves, so a killed hub neither forgets to wake an operator nor leaves a hint behind.
"""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select, update

from umiak_workers.adapters.database import Database
from umiak_workers.hub import tables


@dataclass
class Change:
    """An open transaction. `rung`: uids of owners to wake."""

    sql: Connection
    now: float
    rung: set[str] = field(default_factory=set)
    hinted: dict[str, str | None] = field(default_factory=dict)

    def ring(self, uids: Iterable[str]) -> None:
        """The views of these owners are different after this change."""
        self.rung.update(uids)

    def ring_line(self, line: str) -> None:
        """Everyone who follows a line: those that start or move it, and those that learn from them."""
        start_or_move = select(tables.owners.c.uid).where(tables.owners.c.line == line)
        self.ring(self.sql.execute(start_or_move).scalars())
        starts = tables.owners.alias()
        learn = (
            select(tables.owners.c.uid)
            .join(
                starts, (starts.c.namespace == tables.owners.c.namespace) & (starts.c.name == tables.owners.c.follows)
            )
            .where(starts.c.line == line, starts.c.kind == "JointInference")
        )
        self.ring(self.sql.execute(learn).scalars())

    def ring_resource(self, namespace: str, resource: str) -> None:
        """A JointInference and those that learn from it."""
        here = tables.owners.c.namespace == namespace
        itself = (tables.owners.c.kind == "JointInference") & (tables.owners.c.name == resource)
        found = select(tables.owners.c.uid).where(here, itself | (tables.owners.c.follows == resource))
        self.ring(self.sql.execute(found).scalars())

    def hint(self, topic: str, payload: str | None) -> None:
        """Wanted retained message of a topic; None clears it."""
        self.hinted[topic] = payload


class Bell:
    """Wakes long polls, in whichever thread a change was made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def ring(self) -> None:
        """Wake everyone who waits."""
        with self._lock:
            for loop, event in self._waiting:
                loop.call_soon_threadsafe(event.set)

    @contextmanager
    def waiting(self) -> Iterator[asyncio.Event]:
        """An event that the next ring sets."""
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._waiting.add(entry)
        try:
            yield entry[1]
        finally:
            with self._lock:
                self._waiting.discard(entry)


@contextmanager
def changing(database: Database, bell: Bell, hints_wanted: threading.Event, now: float) -> Iterator[Change]:
    """A Change that is committed at the end of the block; then those concerned are woken."""
    with database.write() as connection:
        change = Change(connection, now)
        yield change
        _write_hints(change)
        _write_cursors(change)
    if change.hinted:
        hints_wanted.set()
    if change.rung:
        bell.ring()


def cursor(connection: Connection) -> int:
    """The newest position of the change stream; 0: nothing ever changed."""
    newest: int = connection.execute(select(tables.schema.c.cursor)).scalar_one()
    return newest


def since(connection: Connection, after: int) -> tuple[str, ...]:
    """uids of the owners whose view changed after a position."""
    found = select(tables.owners.c.uid).where(tables.owners.c.cursor > after).order_by(tables.owners.c.row)
    return tuple(connection.execute(found).scalars())


def _write_cursors(change: Change) -> None:
    if change.rung:
        newest = cursor(change.sql) + 1
        change.sql.execute(update(tables.schema).values(cursor=newest))
        concerned = tables.owners.c.uid.in_(sorted(change.rung))
        change.sql.execute(update(tables.owners).where(concerned).values(cursor=newest))


def _write_hints(change: Change) -> None:
    for topic, payload in change.hinted.items():
        change.sql.execute(delete(tables.hints).where(tables.hints.c.topic == topic))
        change.sql.execute(insert(tables.hints).values(topic=topic, payload=payload))
