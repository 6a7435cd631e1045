"""I1: an upload with a receipt is stored exactly once or durably rejected; the oldest leave first."""

import itertools
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hub_kit import HubKit, digest_of, eventually, png, sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from umiak_workers.adapters.hub_client import HubClient
from umiak_workers.contract import routes, wire
from umiak_workers.contract.errors import Refused, Unavailable
from umiak_workers.contract.fleet import ReplaySpec
from umiak_workers.contract.messages import Receipt

pytestmark = pytest.mark.processes


def put(hub: HubKit, frame: str, photo: bytes, label: bytes | None = None) -> Receipt:
    return hub.client("cloud").put_sample(hub.namespace, "watch", *sample(frame, photo, label))


def frames(hub: HubKit) -> list[str]:
    found = hub.client("trainer").every_sample(hub.namespace, "watch", until=10**9)
    return [one.frame for one in found.samples]


def test_a_sample_comes_back_as_it_went_in(hub: HubKit) -> None:
    hub.replay_of_one()
    header, photo, label = sample("edge-1/cam/7", os.urandom(5000), png(2))
    receipt = hub.client("cloud").put_sample(hub.namespace, "watch", header, photo, label)
    assert (receipt.outcome, receipt.frame, receipt.digest) == ("stored", header.frame, header.digest)
    trainer = hub.client("trainer")
    page = trainer.samples(hub.namespace, "watch", 0, None, 10)
    (info,) = page.samples
    assert (page.watermark, info.position, info.frame, info.digest) == (1, 1, header.frame, header.digest)
    assert (info.captured_at, info.confidence, info.bytes) == (1.0, 0.8, len(photo) + len(label))
    assert trainer.sample_bytes(hub.namespace, "watch", 1, "image") == photo
    assert trainer.sample_bytes(hub.namespace, "watch", 1, "label") == label
    assert hub.client("router").receipt(hub.namespace, "watch", header.frame) == receipt


def test_again_is_the_same_receipt_and_other_bytes_are_rejected_for_good(hub: HubKit) -> None:
    hub.replay_of_one()
    first = put(hub, "edge-1/cam/1", b"one")
    assert put(hub, "edge-1/cam/1", b"one", png(1)) == first
    other = put(hub, "edge-1/cam/1", b"two")
    assert other.outcome == "rejected"
    assert first.digest in other.reason
    assert put(hub, "edge-1/cam/1", b"two") == other
    router = hub.client("router")
    assert router.receipt(hub.namespace, "watch", "edge-1/cam/1") == first
    assert router.receipt(hub.namespace, "watch", "edge-1/cam/1", first.digest) == first
    path = routes.RECEIPT.format(namespace=hub.namespace, resource="watch", edge="edge-1", source="cam", sequence=1)
    answer = hub.http("router").get(path, params={"digest": other.digest})
    assert Receipt.model_validate_json(answer.content) == other
    assert router.receipt(hub.namespace, "watch", "edge-1/cam/2") is None
    assert frames(hub) == ["edge-1/cam/1"]


_ROUND = itertools.count()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=1, max_size=3)), min_size=1, max_size=12))
def test_whatever_is_sent_how_often_each_frame_is_stored_once(hub: HubKit, sent: list[tuple[int, bytes]]) -> None:
    hub.replay_of_one()
    source = f"cam-{next(_ROUND)}"
    before = len(frames(hub))
    said: dict[tuple[int, bytes], Receipt] = {}
    for number, photo in sent:
        receipt = put(hub, f"edge-1/{source}/{number}", photo)
        assert said.setdefault((number, photo), receipt) == receipt
    stored = [key for key, receipt in said.items() if receipt.outcome == "stored"]
    assert sorted(number for number, _ in stored) == sorted({number for number, _ in sent})
    assert stored == [key for key in said if key == next(other for other in said if other[0] == key[0])]
    assert len(frames(hub)) == before + len(stored)


def test_many_at_once_with_the_same_frame_store_it_once(hub: HubKit) -> None:
    hub.replay_of_one()
    clients = [hub.client("cloud") for _ in range(8)]
    photos = [b"a", b"b"] * 4

    def send(pair: tuple[HubClient, bytes]) -> Receipt:
        return pair[0].put_sample(hub.namespace, "watch", *sample("edge-1/cam/1", pair[1]))

    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(send, zip(clients, photos, strict=True)))
    assert len({receipt.digest for receipt in receipts if receipt.outcome == "stored"}) == 1
    assert len(set(map(repr, receipts))) == 2
    assert frames(hub) == ["edge-1/cam/1"]


def test_the_oldest_leave_and_their_promise_stays(hub: HubKit) -> None:
    spec = hub.replay_of_one(capacity=3)
    receipts = [put(hub, f"edge-1/cam/{number}", bytes([number])) for number in range(5)]
    page = hub.client("trainer").samples(hub.namespace, "watch", 0, None, 10)
    assert [one.position for one in page.samples] == [3, 4, 5]
    assert page.watermark == 5
    assert put(hub, "edge-1/cam/0", bytes([0])) == receipts[0]
    assert hub.client("trainer").samples(hub.namespace, "watch", 0, None, 10) == page
    with pytest.raises(Refused, match="evicted") as refused:
        hub.client("trainer").sample_bytes(hub.namespace, "watch", 1, "image")
    assert refused.value.status == 404
    view = hub.view(spec).replay
    assert view is not None
    assert (view.watermark, view.samples) == (5, 3)
    hub.put(spec.model_copy(update={"replay": ReplaySpec(capacity=1, retention_seconds=3600)}))
    assert frames(hub) == ["edge-1/cam/4"]


def test_pages_are_cut_by_position(hub: HubKit) -> None:
    hub.replay_of_one()
    for number in range(5):
        put(hub, f"edge-1/cam/{number}", bytes([number]))
    trainer = hub.client("trainer")

    def positions(after: int, until: int | None, limit: int) -> list[int]:
        page = trainer.samples(hub.namespace, "watch", after, until, limit)
        return [one.position for one in page.samples]

    assert positions(0, None, 2) == [1, 2]
    assert positions(2, None, 10) == [3, 4, 5]
    assert positions(2, 4, 10) == [3, 4]
    assert positions(5, None, 10) == []
    assert len(trainer.every_sample(hub.namespace, "watch", until=3).samples) == 3


def test_a_sample_too_large_is_rejected_for_good_before_it_is_taken(new_hub: Callable[..., HubKit]) -> None:
    hub = new_hub(max_sample_bytes=4096)
    hub.replay_of_one()
    receipt = put(hub, "edge-1/cam/1", bytes(5000))
    assert receipt.outcome == "rejected"
    assert "at most 4096" in receipt.reason
    assert put(hub, "edge-1/cam/1", bytes(5000)) == receipt
    assert hub.client("router").receipt(hub.namespace, "watch", "edge-1/cam/1") == receipt
    assert put(hub, "edge-1/cam/2", bytes(3000)).outcome == "stored"
    assert put(hub, "edge-1/cam/1", bytes(3000)).outcome == "stored"


def test_a_full_disk_is_later_not_never(new_hub: Callable[..., HubKit]) -> None:
    hub = new_hub(max_state_bytes=1024 * 1024)
    spec = hub.replay_of_one()
    put(hub, "edge-1/cam/1", bytes(700_000))
    with pytest.raises(Unavailable, match="no room"):
        put(hub, "edge-1/cam/2", bytes(700_000))
    assert hub.client("router").receipt(hub.namespace, "watch", "edge-1/cam/2") is None
    hub.drop(spec)
    hub.replay_of_one()
    assert put(hub, "edge-1/cam/2", bytes(700_000)).outcome == "stored"


@pytest.mark.parametrize(
    ("change", "length", "says"),
    [
        ({"digest": digest_of(b"other")}, None, "digest"),
        ({"frame": "edge-1/cam/2"}, None, "frame"),
        ({"frame": "../x"}, None, "frame"),
        ({"image_size": 0}, None, "image_size"),
        ({"image_size": 4}, None, "announced"),
        ({"label_size": 1}, None, "announced"),
        ({"media": "text/html"}, None, "media"),
        ({"captured_at": "soon"}, None, "captured_at"),
        ({}, "", wire.HEADER_LENGTH),
        ({}, "0", wire.HEADER_LENGTH),
        ({}, "70000", wire.HEADER_LENGTH),
        ({}, "-3", wire.HEADER_LENGTH),
        ({}, "3", "SampleHeader"),
    ],
)
def test_a_sample_that_is_wrong_is_refused_by_name(
    hub: HubKit, change: dict[str, object], length: str, says: str
) -> None:
    hub.replay_of_one()
    header, photo, label = sample("edge-1/cam/1", b"abc")
    text = {**header.model_dump(), **change}
    head = json.dumps(text).encode()
    path = routes.SAMPLE.format(namespace=hub.namespace, resource="watch", edge="edge-1", source="cam", sequence=1)
    answer = hub.http("cloud").put(
        path,
        content=head + photo + label,
        headers={wire.HEADER_LENGTH: str(len(head)) if length is None else length},
    )
    assert 400 <= answer.status_code < 500
    assert says in answer.json()["error"]
    assert frames(hub) == []


def test_a_label_that_is_no_png_is_refused(hub: HubKit) -> None:
    hub.replay_of_one()
    with pytest.raises(Refused, match="PNG"):
        put(hub, "edge-1/cam/1", b"abc", b"not a picture")


def test_a_caller_that_leaves_in_the_middle_leaves_nothing(hub: HubKit) -> None:
    hub.replay_of_one()
    header, photo, _ = sample("edge-1/cam/1", bytes(100_000))
    headers, body = wire.pack(header, (photo,))
    path = routes.SAMPLE.format(namespace=hub.namespace, resource="watch", edge="edge-1", source="cam", sequence=1)

    def cut() -> Iterator[bytes]:
        yield body[:50_000]
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        hub.http("cloud").put(path, content=cut(), headers=headers)
    assert hub.client("router").receipt(hub.namespace, "watch", "edge-1/cam/1") is None
    assert frames(hub) == []


def test_no_replay_no_promise(hub: HubKit) -> None:
    with pytest.raises(Refused, match="keeps a replay") as refused:
        put(hub, "edge-1/cam/1", b"abc")
    assert refused.value.status == 404


class Uploads:
    """Four clients that send photos until each has a receipt."""

    def __init__(self, hub: HubKit, photos: dict[str, bytes]) -> None:
        self.hub, self.photos = hub, photos
        self.promised: dict[str, Receipt] = {}
        self.todo: queue.SimpleQueue[str] = queue.SimpleQueue()

    def send(self, frames: list[str], kill_after: int | None) -> None:
        """Send these; kill and restart the hub once so many of them have a receipt."""
        for frame in frames:
            self.todo.put(frame)
        threads = [threading.Thread(target=self._work, args=(self.hub.client("cloud"),)) for _ in range(4)]
        goal = len(self.promised) + (kill_after or 0)
        for thread in threads:
            thread.start()
        if kill_after is not None:
            eventually(lambda: len(self.promised) >= goal, 60)
            self.hub.restart()
        for thread in threads:
            thread.join()

    def _work(self, client: HubClient) -> None:
        while True:
            try:
                frame = self.todo.get_nowait()
            except queue.Empty:
                return
            try:
                message = sample(frame, self.photos[frame])
                self.promised[frame] = client.put_sample(self.hub.namespace, "watch", *message)
            except Unavailable:
                self.todo.put(frame)
                time.sleep(0.05)


def test_killed_again_and_again_every_promise_holds(new_hub: Callable[..., HubKit]) -> None:
    """kill -9 in the middle of uploads: what has a receipt is there exactly once, what is there is whole."""
    hub = new_hub()
    hub.replay_of_one(capacity=10_000)
    names = [f"edge-1/cam/{number}" for number in range(120)]
    uploads = Uploads(hub, {name: os.urandom(2000) for name in names})
    uploads.send(names[:60], kill_after=20)
    uploads.send(names[40:], kill_after=20)
    first = dict(uploads.promised)
    uploads.send(names, kill_after=None)
    assert uploads.promised == first

    trainer = hub.client("trainer")
    found = trainer.every_sample(hub.namespace, "watch", until=10**9).samples
    assert sorted(one.frame for one in found) == sorted(names)
    assert len({one.position for one in found}) == len(names)
    for one in found:
        assert uploads.promised[one.frame].outcome == "stored"
        image = trainer.sample_bytes(hub.namespace, "watch", one.position, "image")
        assert digest_of(image) == one.digest == digest_of(uploads.photos[one.frame])
    hub.restart()
    assert len(list((hub.state / "replay").iterdir())) == len(names)
