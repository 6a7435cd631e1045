"""The queue of hard examples against a model of it: bounded, in order, nothing in hand is ever pushed out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from umiak_workers.adapters.database import Database
from umiak_workers.adapters.example_queue import TABLES, Example, ExampleQueue
from umiak_workers.adapters.memory import InlineLane
from umiak_workers.contract.config import Bounds
from umiak_workers.contract.messages import ExampleHeader, ModelRef

SHA = "sha256:" + "c" * 64
NOBODY: frozenset[str] = frozenset()


def example(number: int, size: int = 1000, captured_at: float = 100.0) -> Example:
    header = ExampleHeader(
        frame=f"e/http/{number}",
        digest=SHA,
        size=size,
        media="image/png",
        captured_at=captured_at,
        model=ModelRef(line="n/l", digest=SHA),
    )
    return Example(header, bytes(size), "ScoreMargin")


def open_queue(folder: Path, items: int, size: int) -> tuple[ExampleQueue, Database]:
    database = Database(f"sqlite:///{folder / 'queue.db'}")
    database.create(TABLES)
    return ExampleQueue(InlineLane(database), Bounds(items=items, bytes=size)), database


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[ExampleQueue]:
    made, database = open_queue(tmp_path, 3, 10_000)
    yield made
    database.close()


async def test_what_is_put_comes_back_whole(queue: ExampleQueue) -> None:
    assert await queue.put(example(1), NOBODY)
    assert await queue.get("e/http/1") == example(1)
    assert await queue.get("e/http/2") is None
    fill = await queue.fill(130.0)
    assert (fill.items, fill.bytes, fill.oldest_seconds, fill.dropped) == (1, 1000, 30.0, 0)


async def test_putting_twice_changes_nothing(queue: ExampleQueue) -> None:
    await queue.put(example(1), NOBODY)
    await queue.mark_answered("e/http/1")
    assert await queue.put(example(1), NOBODY)
    kept = await queue.get("e/http/1")
    assert kept is not None
    assert kept.answered


async def test_the_oldest_that_nobody_works_on_makes_room(queue: ExampleQueue) -> None:
    for number in range(3):
        await queue.put(example(number), NOBODY)
    assert await queue.put(example(3), {"e/http/0"})
    assert await queue.frames() == ["e/http/0", "e/http/2", "e/http/3"]
    assert not await queue.put(example(4), {"e/http/0", "e/http/2", "e/http/3"})
    assert (await queue.fill(0)).dropped == 1


async def test_bytes_are_bounded_and_a_photo_that_can_never_fit_pushes_nothing_out(queue: ExampleQueue) -> None:
    await queue.put(example(1, 6000), NOBODY)
    assert not await queue.put(example(2, 10_001), NOBODY)
    assert await queue.frames() == ["e/http/1"]
    assert await queue.put(example(3, 5000), NOBODY)
    assert await queue.frames() == ["e/http/3"]


async def test_due_is_whoever_waits_longest_and_is_not_in_hand(queue: ExampleQueue) -> None:
    for number in range(3):
        await queue.put(example(number), NOBODY)
    await queue.postpone("e/http/0", 200.0)

    async def due(now: float, *in_hand: str) -> str | None:
        found = await queue.due(now, in_hand)
        return found and found.header.frame

    assert await due(150.0) == "e/http/1"
    assert await due(150.0, "e/http/1") == "e/http/2"
    assert await due(150.0, "e/http/1", "e/http/2") is None
    assert await due(200.0, "e/http/1", "e/http/2") == "e/http/0"
    postponed = await queue.get("e/http/0")
    assert postponed is not None
    assert postponed.tries == 1


async def test_a_clock_that_was_put_back_does_not_keep_examples_for_ever(queue: ExampleQueue) -> None:
    await queue.put(example(1), NOBODY)
    await queue.postpone("e/http/1", 1_000_000.0)
    assert await queue.due(100.0, NOBODY) is not None
    await queue.postpone("e/http/1", 700.0)
    assert await queue.due(100.0, NOBODY) is None
    await queue.hurry(100.0)
    assert await queue.due(100.0, NOBODY) is not None


steps = st.lists(
    st.tuples(st.sampled_from(["put", "remove", "drop"]), st.integers(0, 9), st.integers(1, 5000)), max_size=40
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(steps=steps, items=st.integers(1, 5), held=st.frozensets(st.integers(0, 9), max_size=3))
async def test_the_queue_is_what_a_list_with_bounds_would_be(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]], items: int, held: frozenset[int]
) -> None:
    queue, database = open_queue(tmp_path_factory.mktemp("queue"), items, 8192)
    in_hand = {f"e/http/{number}" for number in held}
    model: list[tuple[str, int]] = []
    dropped = 0
    for act, number, size in steps:
        frame = f"e/http/{number}"
        if act == "put":
            kept = await queue.put(example(number, size), in_hand)
            if frame not in dict(model):
                loose = [entry for entry in model if entry[0] not in in_hand]
                trial = list(model)
                while loose and (len(trial) + 1 > items or sum(b for _, b in trial) + size > 8192):
                    trial.remove(loose.pop(0))
                fits = len(trial) + 1 <= items and sum(b for _, b in trial) + size <= 8192
                assert kept == fits
                if fits:
                    dropped += len(model) - len(trial)
                    model = [*trial, (frame, size)]
        else:
            await (queue.remove(frame) if act == "remove" else queue.drop(frame))
            dropped += act == "drop" and frame in dict(model)
            model = [entry for entry in model if entry[0] != frame]
        fill = await queue.fill(0)
        assert await queue.frames() == [name for name, _ in model]
        assert (fill.items, fill.bytes, fill.dropped) == (len(model), sum(b for _, b in model), dropped)
    database.close()
