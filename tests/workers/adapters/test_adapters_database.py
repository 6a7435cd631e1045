"""The database seam on SQLite: durable settings, writers in turn, readers beside them, clear errors."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select, text

from umiak_workers.adapters.database import Database
from umiak_workers.contract.errors import ConfigError, Unavailable

METADATA = MetaData()
COUNTS = Table("counts", METADATA, Column("value", Integer, primary_key=True))


def opened(folder: Path) -> Database:
    database = Database(f"sqlite:///{folder / 'test.db'}")
    database.create(METADATA)
    return database


def test_what_a_commit_said_is_on_the_disk(tmp_path: Path) -> None:
    database = opened(tmp_path)
    with database.write() as sql:
        assert sql.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert sql.execute(text("PRAGMA synchronous")).scalar() == 2
        sql.execute(insert(COUNTS).values(value=1))
    database.close()
    again = opened(tmp_path)
    with again.read() as sql:
        assert sql.execute(select(COUNTS.c.value)).scalars().all() == [1]
    again.close()


def test_an_error_takes_everything_back(tmp_path: Path) -> None:
    database = opened(tmp_path)

    def fail() -> None:
        with database.write() as sql:
            sql.execute(insert(COUNTS).values(value=1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.read() as sql:
        assert sql.execute(select(func.count()).select_from(COUNTS)).scalar() == 0
    database.close()


def test_a_read_sees_one_moment_while_others_write(tmp_path: Path) -> None:
    database = opened(tmp_path)
    with database.read() as sql:
        before = sql.execute(select(func.count()).select_from(COUNTS)).scalar()
        with database.write() as other:
            other.execute(insert(COUNTS).values(value=1))
        assert sql.execute(select(func.count()).select_from(COUNTS)).scalar() == before
    database.close()


def test_writers_that_read_first_never_lose_a_count(tmp_path: Path) -> None:
    database = opened(tmp_path)

    def work() -> None:
        for _ in range(25):
            with database.write() as sql:
                newest = sql.execute(select(func.max(COUNTS.c.value))).scalar() or 0
                sql.execute(insert(COUNTS).values(value=newest + 1))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as sql:
        assert sql.execute(select(func.max(COUNTS.c.value))).scalar() == 150
    database.close()


@pytest.mark.parametrize("url", ["nonsense", "oracle9://x", "sqlite:////nowhere/at/all.db"])
def test_a_database_that_cannot_be_opened_is_one_line(url: str) -> None:
    with pytest.raises(ConfigError, match="database"):
        Database(url).create(METADATA)


def test_a_database_that_fails_is_unavailable(tmp_path: Path) -> None:
    database = opened(tmp_path)
    with database.write() as sql:
        sql.execute(text("DROP TABLE counts"))
    with pytest.raises(Unavailable, match="counts"), database.read() as sql:
        sql.execute(select(COUNTS.c.value))
    database.ping()
    database.close()
