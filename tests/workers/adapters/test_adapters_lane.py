"""The database thread: group commits, failures that hit nobody else, and what a kill -9 leaves on the disk."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from umiak_workers.adapters.database import Database
from umiak_workers.adapters.lane import ThreadLane
from umiak_workers.contract.errors import Unavailable


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[ThreadLane]:
    database = Database(f"sqlite:///{tmp_path / 'one.db'}")
    with database.write() as connection:
        connection.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
    made = ThreadLane(database, "test")
    made.start()
    yield made
    made.close()


def add(number: int) -> "object":
    return lambda connection: connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": number}) and number


async def count(lane: ThreadLane) -> int:
    return int(await lane.do(lambda connection: connection.execute(text("SELECT count(*) FROM numbers")).scalar_one()))


async def test_jobs_that_wait_together_share_a_commit_and_get_their_own_results(lane: ThreadLane) -> None:
    gate, commits = threading.Event(), []

    def slow(connection: Connection) -> int:
        commits.append(connection)
        gate.wait(10)
        return -1

    first = asyncio.ensure_future(lane.do(slow))
    await asyncio.sleep(0.05)

    def remember(number: int) -> "object":
        def act(connection: Connection) -> int:
            commits.append(connection)
            connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": number})
            return number

        return act

    rest = [asyncio.ensure_future(lane.do(remember(number))) for number in range(20)]  # type: ignore[arg-type]
    await asyncio.sleep(0.05)
    gate.set()
    assert await asyncio.gather(first, *rest) == [-1, *range(20)]
    assert len({id(connection) for connection in commits[1:]}) == 1, "one transaction for all twenty"


async def test_a_job_that_fails_takes_nobody_with_it(lane: ThreadLane) -> None:
    jobs = [lane.do(add(number)) for number in (1, 2, 2, 3)]  # type: ignore[arg-type]
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(result) for result in results].count(Unavailable) == 1
    assert await count(lane) == 3
    with pytest.raises(ZeroDivisionError):
        await lane.do(lambda connection: 1 // 0)
    assert await lane.do(add(9)) == 9  # type: ignore[arg-type]


async def test_a_caller_that_gave_up_is_not_waited_for(lane: ThreadLane) -> None:
    gate = threading.Event()
    blocker = asyncio.ensure_future(lane.do(lambda connection: gate.wait(10)))
    await asyncio.sleep(0.05)
    given_up = asyncio.ensure_future(lane.do(add(5)))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    gate.set()
    await blocker
    assert await count(lane) == 0


WRITER = """
import asyncio, sys
from sqlalchemy import text
from umiak_workers.adapters.database import Database
from umiak_workers.adapters.lane import ThreadLane

async def main():
    database = Database("sqlite:///" + sys.argv[1])
    with database.write() as connection:
        connection.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
    lane = ThreadLane(database, "writer")
    lane.start()
    insert = text("INSERT INTO numbers VALUES (:n)")
    for number in range(1_000_000):
        await lane.do(lambda connection: connection.execute(insert, {"n": number}) and None)
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.processes
def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    file = tmp_path / "killed.db"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = 0
        for line in writer.stdout:
            acknowledged = int(line)
            if acknowledged == 200:
                os.kill(writer.pid, signal.SIGKILL)
    database = Database(f"sqlite:///{file}")
    with database.read() as connection:
        found = connection.execute(text("SELECT max(n), count(*) FROM numbers")).one()
    database.close()
    assert found[0] >= acknowledged
    assert found[1] == found[0] + 1
