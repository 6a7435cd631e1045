"""One way to open a SQL database: SQLite embedded by default, PostgreSQL by URL, the same code above it.

Writers take turns inside this process and hold SQLite's write lock from the start of their transaction, so a
transaction never fails half-way because a reader became a writer. What a commit said is on the disk (WAL,
`synchronous=FULL`).

A URL holds a password: no error, log line or figure says more of it than what the driver says of the server.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoneFree

from umiak_workers.contract.errors import ConfigError, InvalidInput, Unavailable

_WRITES = "umiak_writes"
_WANTED = "expected postgresql://USER:PASSWORD@HOST/DATABASE, with special characters of user and password as %XX"
_SHAPE = re.compile(r"[a-z+]+://([^@/?#:\s]*(:[^@/?#\s]*)?@)?[A-Za-z0-9.,:\[\]_-]*/[^@/?#:\s]+(\?[^@\s]*)?")
"""Anything looser and a piece of a password may be taken for a host, which drivers repeat in their errors."""
_SPOKEN = ("postgresql", "postgres", "postgresql+psycopg")
_PATIENCE = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3}
"""Seconds until a server that vanished is noticed; what a URL says wins."""
_UNSENT_MILLISECONDS = 15_000


class Database:
    """An engine and the turn of its writers.

    `url`: `sqlite:///FILE` or `postgresql://...`. `named`: what errors call it, mostly where the URL was said.
    Raises ConfigError for what is no such URL.
    """

    def __init__(self, url: str, named: str = "database") -> None:
        self._turn = threading.Lock()
        self.named = named
        self._engine = _engine(url, named)

    def create(self, tables: MetaData) -> None:
        """Make the tables that are not there yet.

        Raises ConfigError when the database cannot be used, Unavailable when its server cannot be reached, or not yet.
        """
        try:
            tables.create_all(self._engine)
        except DBAPIError as error:
            away = isinstance(error, OperationalError) and self._engine.dialect.name != "sqlite"
            raise (Unavailable if away else ConfigError)(_said(self.named, error)) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; raises Unavailable when the database is away."""
        with self._translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end, or rolls back on an error; one at a time."""
        with self._turn, self._translated(), self._engine.connect() as plain:
            connection = plain.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            raise InvalidInput(_said(self.named, error)) from error
        except DBAPIError as error:
            raise Unavailable(_said(self.named, error)) from error
        except NoneFree as error:
            raise Unavailable(f"{self.named}: every connection is busy") from error

    def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        with self.read() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _said(named: str, error: DBAPIError) -> str:
    """In one line: drivers say where, and then what that may mean."""
    return f"{named}: {' '.join(str(error.orig).split())}"


def _engine(url: str, named: str) -> Engine:
    if url.startswith("sqlite"):
        engine = create_engine(url, pool_size=8, max_overflow=32, connect_args={"timeout": 10})
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
        return engine
    place = _place(url, named)
    patience = {**_PATIENCE, "tcp_user_timeout": _UNSENT_MILLISECONDS}
    given = {name: value for name, value in patience.items() if name not in place.query}
    return create_engine(
        place, pool_size=8, max_overflow=32, pool_pre_ping=True, isolation_level="SERIALIZABLE", connect_args=given
    )


def _place(url: str, named: str) -> URL:
    """The URL for our driver; raises ConfigError that repeats nothing of it."""
    try:
        found = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(f"{named}: this is no URL of a database: {_WANTED}") from error
    if found.drivername not in _SPOKEN:
        raise ConfigError(f"{named}: another kind of database: {_WANTED}")
    if not _SHAPE.fullmatch(url):
        raise ConfigError(f"{named}: a part is missing or damaged: {_WANTED}")
    return found.set(drivername="postgresql+psycopg")


def _set_up(connection: Any, record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions on its own
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
