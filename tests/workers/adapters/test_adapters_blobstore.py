"""Bytes by digest: whole or not there, one bound over all, safe with many writers and a killed one."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.adapters.blobstore import BlobStore, Room
from umiak_workers.contract.errors import InvalidInput, Refused


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def opened(folder: Path, most: int = 1000, room: Room | None = None) -> tuple[BlobStore, Room]:
    room = room or Room(10_000)
    store = BlobStore(folder, most, room)
    store.start()
    return store, room


def put(store: BlobStore, data: bytes, digest: str | None = None, pieces: int = 7) -> None:
    with store.write(digest or digest_of(data)) as writer:
        for at in range(0, len(data), pieces):
            writer.add(data[at : at + pieces])
        writer.commit()


@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(1, 20))
def test_what_went_in_is_there_once(tmp_path_factory: pytest.TempPathFactory, blobs: list[bytes], pieces: int) -> None:
    store, room = opened(tmp_path_factory.mktemp("blobs"))
    for data in blobs:
        put(store, data, pieces=pieces)
    distinct = {digest_of(data): data for data in blobs}
    assert {digest: store.path(digest).read_bytes() for digest, _, _ in store.every()} == distinct
    assert room.used == sum(map(len, distinct.values()))
    for digest in distinct:
        store.remove(digest)
        store.remove(digest)
    assert room.used == 0


def test_other_bytes_than_the_name_says_leave_nothing(tmp_path: Path) -> None:
    store, room = opened(tmp_path)
    with pytest.raises(InvalidInput, match="not sha256"):
        put(store, b"abc", digest_of(b"abd"))
    assert (list(store.every()), room.used) == ([], 0)
    assert list((tmp_path / "incoming").iterdir()) == []


def test_bounds_hold_for_one_and_for_all(tmp_path: Path) -> None:
    store, room = opened(tmp_path, most=100, room=Room(150))
    with pytest.raises(Refused) as refused:
        put(store, bytes(101))
    assert refused.value.status == 413
    put(store, bytes(100))
    with pytest.raises(Refused) as refused:
        put(store, b"x" * 51)
    assert refused.value.status == 507
    assert room.used == 100
    put(store, b"x" * 50)
    assert room.used == 150


def test_what_a_killed_writer_left_is_gone_and_what_it_finished_is_counted(tmp_path: Path) -> None:
    store, _ = opened(tmp_path)
    put(store, b"whole")
    writer = store.write(digest_of(b"half"))
    writer.__enter__().add(b"ha")
    writer._handle.close()
    again, room = opened(tmp_path)
    assert room.used == 5
    assert again.size(digest_of(b"whole")) == 5
    assert again.size(digest_of(b"half")) is None
    assert list((tmp_path / "incoming").iterdir()) == []


def test_many_writers_of_the_same_bytes_store_and_count_them_once(tmp_path: Path) -> None:
    store, room = opened(tmp_path, most=100_000, room=Room(10_000_000))
    data = os.urandom(50_000)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: put(store, data, pieces=5000), range(24)))
    assert room.used == 50_000
    assert [size for _, size, _ in store.every()] == [50_000]


def test_announcing_a_use_makes_a_blob_new(tmp_path: Path) -> None:
    store, _ = opened(tmp_path)
    put(store, b"old")
    os.utime(store.path(digest_of(b"old")), (1, 1))
    assert store.touch(digest_of(b"old")) == 3
    assert next(iter(store.every()))[2] > 1
    assert store.touch(digest_of(b"none")) is None
