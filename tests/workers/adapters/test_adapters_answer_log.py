"""The answer log: one revision 0 per frame, bounded, counted, and the same after a restart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from umiak_workers.adapters.answer_log import TABLES, AnswerLog, Arrival, Payloads
from umiak_workers.adapters.database import Database
from umiak_workers.adapters.memory import InlineLane
from umiak_workers.contract.config import Bounds
from umiak_workers.contract.messages import Answer, Scores

SHA = "sha256:" + "b" * 64


def answer(sequence: int, revision: int = 0, **changes: Any) -> Answer:
    return Answer(
        frame=f"e/http/{sequence}",
        revision=revision,
        answered_by="edge",
        reason=changes.pop("reason", "Easy"),
        scores=Scores(margin=0.5, max_probability=0.5, entropy=0.5),
        model=SHA,
        captured_at=1.0,
        answered_at=2.0,
        **changes,
    )


class Opened:
    """A log over a file; `again` reopens it."""

    def __init__(self, folder: Path, items: int = 1000, size: int = 1_000_000) -> None:
        self.bounds = Bounds(items=items, bytes=size)
        self.folder = folder
        self.databases: list[Database] = []
        self.log = self.again()

    def again(self) -> AnswerLog:
        self.databases.append(Database(f"sqlite:///{self.folder / 'answers.db'}"))
        self.databases[-1].create(TABLES)
        self.log = AnswerLog(InlineLane(self.databases[-1]), self.bounds)
        return self.log

    def close(self) -> None:
        for database in self.databases:
            database.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made = Opened(tmp_path, items=5)
    yield made
    made.close()


async def test_a_frame_has_one_answer_per_revision(opened: Opened) -> None:
    log = opened.log
    assert await log.commit(answer(1), SHA, Payloads(b"first"))
    assert not await log.commit(answer(1, reason="QueueFull"), SHA, Payloads(b"second"))
    assert await log.commit(answer(1, revision=1), SHA, Payloads(b"late", b"edge", b"cloud"))
    entry = await opened.again().find("e/http/1", 0)
    assert entry is not None
    assert (entry.answer.reason, entry.payloads, entry.digest) == ("Easy", Payloads(b"first"), SHA)
    assert (await log.totals())["frames"] == 1


async def test_totals_count_final_answers_and_all_bytes(opened: Opened) -> None:
    log = opened.log
    await log.commit(answer(1, reason="CloudAnswered", bytes_up=10, bytes_down=3), SHA, Payloads(b""))
    await log.commit(answer(2), SHA, Payloads(b""))
    await log.commit(answer(2, revision=1, reason="CloudAnswered", bytes_up=5), SHA, Payloads(b""))
    await log.count({"bytes_up": 100})
    totals = await opened.again().totals()
    assert {key: value for key, value in totals.items() if not key.startswith("log_")} == {
        "frames": 2,
        "reason:CloudAnswered": 1,
        "reason:Easy": 1,
        "bytes_up": 115,
        "bytes_down": 3,
    }


async def test_the_oldest_answers_leave_and_their_ids_are_known_to_be_old(opened: Opened) -> None:
    log = opened.log
    for number in range(8):
        await log.commit(answer(number), SHA, Payloads(b"m"))
    assert [one.frame for _, one in await log.page(0, 100)] == [f"e/http/{number}" for number in range(3, 8)]
    assert await log.forgotten("e/http/2")
    assert not await log.forgotten("e/http/3")
    assert not await log.forgotten("e/other/0")
    assert (await log.totals())["frames"] == 8
    assert await log.unanswered(["e/http/2", "e/http/3", "e/http/8"]) == ["e/http/8"]


async def test_bytes_bound_the_log_too_but_never_the_newest_answer(tmp_path: Path) -> None:
    made = Opened(tmp_path, items=1000, size=10_000)
    for number in range(5):
        await made.log.commit(answer(number), SHA, Payloads(bytes(4000)))
    assert len(await made.log.page(0, 100)) == 2
    await made.log.commit(answer(9), SHA, Payloads(bytes(50_000)))
    assert [one.frame for _, one in await made.log.page(0, 100)] == ["e/http/9"]
    made.close()


async def test_pages_go_on_where_the_last_one_ended(opened: Opened) -> None:
    for number in range(5):
        await opened.log.commit(answer(number), SHA, Payloads(b""))
    first = await opened.log.page(0, 3)
    rest = await opened.log.page(first[-1][0], 3)
    assert [one.frame for _, one in first + rest] == [f"e/http/{number}" for number in range(5)]


async def test_a_file_keeps_its_number_and_a_new_file_of_the_same_name_gets_another(opened: Opened) -> None:
    log = opened.log
    first = await log.take_in("cam", [Arrival("a.jpg", "1"), Arrival("b.jpg", "2")])
    assert first == {"a.jpg": 0, "b.jpg": 1}
    log = opened.again()
    assert await log.take_in("cam", [Arrival("b.jpg", "2"), Arrival("c.jpg", "3")]) == {"b.jpg": 1, "c.jpg": 2}
    assert await log.take_in("cam", [Arrival("b.jpg", "99")]) == {"b.jpg": 3}
    await log.let_go("cam", ["a.jpg", "b.jpg", "c.jpg"])
    assert await log.take_in("cam", [Arrival("a.jpg", "1")]) == {"a.jpg": 4}
    assert await log.next_sequence("cam") == 5
    assert await log.next_sequence("http") == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    offers=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1), st.integers(0, 400)), max_size=40),
    items=st.integers(1, 6),
)
async def test_whatever_is_offered_the_log_is_bounded_and_no_frame_is_answered_twice(
    tmp_path_factory: pytest.TempPathFactory, offers: list[tuple[int, int, int]], items: int
) -> None:
    made = Opened(tmp_path_factory.mktemp("log"), items=items, size=4096)
    written: list[tuple[int, int]] = []
    for number, revision, size in offers:
        if await made.log.forgotten(f"e/http/{number}"):
            continue
        if await made.log.commit(answer(number, revision), SHA, Payloads(bytes(size))):
            written.append((number, revision))
        rows = await made.log.page(0, 1000)
        totals = await made.log.totals()
        assert len(rows) == totals["log_items"] <= items
        assert totals["log_bytes"] <= 4096 or len(rows) == 1
    assert len(set(written)) == len(written)
    made.close()
