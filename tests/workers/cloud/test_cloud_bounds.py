"""What is bounded: who may wait, what may be on its way to the hub, which edge models are kept."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cloud_kit import Tiny
from hub_kit import sample

from umiak_workers.cloud import edge_models, store
from umiak_workers.cloud.edge_models import EdgeModels
from umiak_workers.cloud.stages import Stages
from umiak_workers.cloud.store import Store
from umiak_workers.cloud.waiting import WaitingRoom
from umiak_workers.contract.errors import ArtefactError, Refused, Unavailable
from umiak_workers.contract.messages import Receipt, SampleHeader

RECEIPT = Receipt(frame="edge-1/http/1", digest="sha256:" + "0" * 64, outcome="stored", stored_at=1.0)
HEADER, PHOTO, LABEL = sample("edge-1/http/1", b"photo")


def thunks(most: int) -> WaitingRoom[Callable[[], object], object]:
    """A room whose questions are their own answers."""
    return WaitingRoom(most, 1, list)


async def test_one_more_than_may_wait_is_told_to_come_back() -> None:
    room, door = thunks(2), threading.Event()
    running = [asyncio.create_task(room.ask(door.wait, Stages())) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="2 examples"):
        await room.ask(door.wait, Stages())
    door.set()
    assert await asyncio.gather(*running) == [True, True]
    stages = Stages()
    assert await room.ask(lambda: 7, stages) == 7
    assert "wait" in stages.milliseconds
    room.close()


async def test_jobs_run_one_at_a_time_in_their_order() -> None:
    room, seen = thunks(8), list[int]()
    await asyncio.gather(*(room.ask(lambda number=number: seen.append(number), Stages()) for number in range(8)))
    assert seen == list(range(8))
    room.close()


async def test_a_caller_that_leaves_frees_its_place_when_the_job_is_done() -> None:
    room, door = thunks(1), threading.Event()
    task = asyncio.create_task(room.ask(door.wait, Stages()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert room.waiting == 1
    door.set()
    while room.waiting:
        await asyncio.sleep(0.01)
    assert await room.ask(lambda: 1, Stages()) == 1
    room.close()


async def test_what_waits_meanwhile_is_begun_together() -> None:
    batches, door = list[list[int]](), threading.Event()

    def begin(questions: Sequence[int]) -> list[Callable[[], int]]:
        batches.append(list(questions))
        door.wait()
        return [lambda question=question: 10 // question for question in questions]

    room, stages = WaitingRoom(9, 3, begin), [Stages() for _ in range(6)]
    first = asyncio.create_task(room.ask(1, stages[0]))
    while not batches:
        await asyncio.sleep(0.01)
    rest = [asyncio.create_task(room.ask(*both)) for both in zip((1, 2, 0, 4, 5), stages[1:], strict=True)]
    await asyncio.sleep(0)
    door.set()
    assert await first == 10
    answers = await asyncio.gather(*rest, return_exceptions=True)
    assert batches == [[1], [1, 2, 0], [4, 5]]
    assert isinstance(answers.pop(2), ZeroDivisionError)  # its own trouble only
    assert answers == [10, 5, 2, 2]
    assert all("wait" in one.milliseconds for one in stages)
    room.close()


async def test_trouble_with_the_beginning_is_everybodys_and_the_room_goes_on() -> None:
    def begin(questions: Sequence[int]) -> list[Callable[[], int]]:
        if 0 in questions:
            raise RuntimeError("out of memory")
        return [lambda question=question: question for question in questions]

    room = WaitingRoom(9, 4, begin)
    with pytest.raises(RuntimeError, match="out of memory"):
        await room.ask(0, Stages())
    assert await room.ask(3, Stages()) == 3
    assert room.waiting == 0
    room.close()


async def test_an_answer_too_few_is_trouble_and_leaves_nobody_waiting() -> None:
    room = WaitingRoom[int, int](9, 4, lambda questions: [])
    with pytest.raises(ValueError, match="shorter"):
        await room.ask(0, Stages())
    assert room.waiting == 0
    room.close()


async def test_a_room_that_closes_lets_those_who_wait_go() -> None:
    room, door, begun = thunks(3), threading.Event(), threading.Event()
    running = [asyncio.create_task(room.ask(lambda: begun.set() or door.wait(), Stages())) for _ in range(3)]
    await asyncio.to_thread(begun.wait)
    room.close()
    door.set()
    first, *rest = await asyncio.gather(*running, return_exceptions=True)
    assert first is True
    assert all(isinstance(one, asyncio.CancelledError) for one in rest)


async def test_a_receipt_comes_back() -> None:
    kept = Store(lambda header, photo, label: RECEIPT)
    assert await kept.put(HEADER, PHOTO, LABEL) == RECEIPT
    kept.close()


async def test_a_hub_that_is_away_is_left_alone_for_a_while() -> None:
    calls, now = list[str](), [0.0]

    def put(header: SampleHeader, photo: bytes, label: bytes) -> Receipt:
        calls.append(header.frame)
        if now[0] < 100:
            raise Unavailable("refused")
        return RECEIPT

    kept = Store(put, clock=lambda: now[0])
    for _ in range(6):
        with pytest.raises(Unavailable):
            await kept.put(HEADER, PHOTO, LABEL)
    assert len(calls) == 2
    now[0] = 100.0
    assert await kept.put(HEADER, PHOTO, LABEL) == RECEIPT
    kept.close()


async def test_a_slow_hub_costs_no_answer_and_is_not_flooded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(store, "MOST_PENDING", 3)
    door = threading.Event()

    def put(header: SampleHeader, photo: bytes, label: bytes) -> Receipt:
        door.wait()
        return RECEIPT

    kept = Store(put)
    for _ in range(3):
        with pytest.raises(Unavailable, match="not stored the sample yet"):
            await kept.put(HEADER, PHOTO, LABEL)
    with pytest.raises(Unavailable, match="3 samples"):
        await kept.put(HEADER, PHOTO, LABEL)
    door.set()
    while kept.pending:
        await asyncio.sleep(0.01)
    assert await kept.put(HEADER, PHOTO, LABEL) == RECEIPT
    kept.close()


async def test_a_refusal_is_no_receipt_and_no_absence() -> None:
    def put(header: SampleHeader, photo: bytes, label: bytes) -> Receipt:
        raise Refused("no JointInference keeps a replay here", 404)

    kept = Store(put)
    for _ in range(4):
        with pytest.raises(Unavailable, match="does not take the sample"):
            await kept.put(HEADER, PHOTO, LABEL)
    kept.close()


class Shop:
    """A hub's models: folders by digest."""

    def __init__(self, goods: dict[str, Path]) -> None:
        self.goods = goods
        self.fetched: list[str] = []

    def fetch(self, digest: str, into: Path, most: int) -> Path:
        self.fetched.append(digest)
        if digest not in self.goods:
            raise Refused(f"no model {digest}", 404)
        return Path(shutil.copytree(self.goods[digest], into))


@pytest.fixture
def shop(tmp_path: Path, tiny_model: Callable[..., str]) -> Shop:
    """Six models."""
    folders = [tmp_path / f"shop-{seed}" for seed in range(6)]
    return Shop({tiny_model(folder, seed): folder for seed, folder in enumerate(folders)})


def test_an_edge_model_is_fetched_once(shop: Shop, tmp_path: Path) -> None:
    digest = next(iter(shop.goods))
    models = EdgeModels(tmp_path / "models", 10**9, 1, shop.fetch)
    assert models.known(digest) is None
    assert models.get(digest) is models.get(digest) is models.known(digest)
    again = EdgeModels(tmp_path / "models", 10**9, 1, shop.fetch)
    assert again.get(digest).digest == digest
    assert shop.fetched == [digest]


def test_only_a_few_models_stay_ready(shop: Shop, tmp_path: Path) -> None:
    models = EdgeModels(tmp_path / "models", 10**9, 1, shop.fetch)
    for digest in shop.goods:
        models.get(digest)
    assert len(models) == edge_models.IN_MEMORY
    assert [models.known(digest) is not None for digest in shop.goods] == [False] * 2 + [True] * 4


def test_folders_are_bounded_by_bytes(shop: Shop, tmp_path: Path) -> None:
    one = sum(file.stat().st_size for file in next(iter(shop.goods.values())).iterdir())
    models = EdgeModels(tmp_path / "models", 3 * one + one // 2, 1, shop.fetch)
    for digest in shop.goods:
        models.get(digest)
    assert len(list((tmp_path / "models").iterdir())) <= 3
    assert (tmp_path / "models" / digest.removeprefix("sha256:")).is_dir()


def test_a_model_that_cannot_be_had_is_not_asked_for_all_the_time(shop: Shop, tmp_path: Path) -> None:
    models = EdgeModels(tmp_path / "models", 10**9, 1, shop.fetch)
    for _ in range(3):
        with pytest.raises(Unavailable, match="the hub does not have it"):
            models.get("sha256:" + "f" * 64)
    assert len(shop.fetched) == 1


def test_an_altered_folder_is_fetched_again(shop: Shop, tmp_path: Path) -> None:
    digest = next(iter(shop.goods))
    EdgeModels(tmp_path / "models", 10**9, 1, shop.fetch).get(digest)
    weights = tmp_path / "models" / digest.removeprefix("sha256:") / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert EdgeModels(tmp_path / "models", 10**9, 1, shop.fetch).get(digest).digest == digest
    assert len(shop.fetched) == 2


def test_another_model_under_the_digest_is_refused(shop: Shop, tmp_path: Path, tiny: Tiny) -> None:
    first, second, *_ = shop.goods
    shop.goods[first] = shop.goods[second]
    models = EdgeModels(tmp_path / "models", 10**9, 1, shop.fetch)
    with pytest.raises(Unavailable, match=r"not sha256:"):
        models.get(first)
    with pytest.raises(ArtefactError):
        models._prepared(shop.goods[second], first)
