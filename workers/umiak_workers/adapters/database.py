"""One way to open a SQL database: SQLite embedded by default, PostgreSQL by URL, the same code above it.

Writers take turns inside this process and hold SQLite's write lock from the start of their transaction, so a
transaction never fails half-way because a reader became a writer. What a commit said is on the disk (WAL,
`synchronous=FULL`).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from umiak_workers.contract.errors import ConfigError, Unavailable

_WRITES = "umiak_writes"


class Database:
    """An engine and the turn of its writers."""

    def __init__(self, url: str) -> None:
        self._turn = threading.Lock()
        self._engine = _engine(url)

    def create(self, tables: MetaData) -> None:
        """Make the tables that are not there yet; raises ConfigError when the database cannot be opened."""
        try:
            tables.create_all(self._engine)
        except DBAPIError as error:
            raise ConfigError(f"database {self._engine.url!r}: {error.orig}") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; raises Unavailable when the database is away."""
        with _translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end, or rolls back on an error; one at a time."""
        with self._turn, _translated(), self._engine.connect() as plain:
            connection = plain.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        with self.read() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise Unavailable(f"database: {error.orig}") from error


def _engine(url: str) -> Engine:
    try:
        if not url.startswith("sqlite"):
            return create_engine(url, pool_size=8, max_overflow=32, pool_pre_ping=True, isolation_level="SERIALIZABLE")
        engine = create_engine(url, pool_size=8, max_overflow=32, connect_args={"timeout": 10})
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, TypeError) as error:
        raise ConfigError(f"database: {error}") from error
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: Any, record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions on its own
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
