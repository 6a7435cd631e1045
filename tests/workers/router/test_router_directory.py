"""The folder source on a clock moved by hand: stillness, order, numbers, replaced files, what is set aside."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from umiak_workers.adapters.memory import FakeClock
from umiak_workers.contract.errors import InvalidInput, InvalidPrediction, Refused, Unavailable
from umiak_workers.router import folder as folder_module
from umiak_workers.router.directory import MOST_TRIES, DirectorySource
from umiak_workers.router.folder import Folder

Make = Callable[..., Any]


class Scripted:
    """Answers frames, or raises what the script says for a photo's first byte of data."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.errors: dict[bytes, Exception] = {}

    async def answer(self, frame: Any) -> None:
        self.frames.append(frame)
        error = self.errors.get(frame.photo)
        if error:
            raise error


class Inbox:
    """A folder source over the inside of a router whose pipeline is scripted."""

    def __init__(self, state: Path, world: Any, most_bytes: int = 10_000) -> None:
        self.inbox, self.rejected = state / "inbox", state / "rejected"
        self.folder = Folder(self.inbox, self.rejected)
        self.folder.create()
        self.pipeline = Scripted()
        self.source = DirectorySource(
            "cam", self.folder, world.door, self.pipeline, world.answers, world.clock, most_bytes
        )

    def put(self, name: str, data: bytes, age: int = 0) -> None:
        (self.inbox / name).write_bytes(data)
        os.utime(self.inbox / name, ns=(1_000_000_000_000 - age, 1_000_000_000_000 - age))

    async def looks(self, times: int) -> None:
        for _ in range(times):
            await self.source.look()
            while self.source._busy:
                await asyncio.sleep(0.002)

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self.inbox.iterdir())

    def ids(self) -> list[str]:
        return [frame.id for frame in self.pipeline.frames]


@pytest.fixture
async def inbox(tmp_path: Path, inside: Make) -> Inbox:
    return Inbox(tmp_path, inside())


async def test_a_photo_counts_once_it_is_still_and_leaves_once_it_is_answered(
    inbox: Inbox, photo: Callable[..., bytes]
) -> None:
    inbox.put("a.png", photo(1))
    await inbox.looks(1)
    assert inbox.ids() == []
    inbox.put("a.png", photo(1) + b"more")
    await inbox.looks(1)
    assert inbox.ids() == [], "it changed between the looks"
    await inbox.looks(1)
    assert inbox.ids() == ["edge-1/cam/0"]
    assert inbox.pipeline.frames[0].photo == photo(1) + b"more"
    await inbox.looks(1)
    assert inbox.names() == []


async def test_the_oldest_comes_first(inbox: Inbox, photo: Callable[..., bytes]) -> None:
    for name, age in (("b.png", 5), ("c.png", 1), ("a.png", 3)):
        inbox.put(name, photo(age), age)
    await inbox.looks(2)
    assert [frame.photo for frame in inbox.pipeline.frames] == [photo(5), photo(3), photo(1)]


async def test_hidden_and_unfinished_files_folders_and_links_are_left_alone(
    inbox: Inbox, photo: Callable[..., bytes], tmp_path: Path
) -> None:
    (tmp_path / "secret.png").write_bytes(photo(1))
    (inbox.inbox / "link.png").symlink_to(tmp_path / "secret.png")
    (inbox.inbox / "folder.png").mkdir()
    for name in (".hidden.png", "a.png.part", "b.tmp"):
        inbox.put(name, photo(1))
    await inbox.looks(3)
    assert inbox.ids() == []
    assert len(inbox.names()) == 5


async def test_an_interrupted_photo_keeps_its_number_and_a_new_one_of_that_name_gets_another(
    inbox: Inbox, photo: Callable[..., bytes], tmp_path: Path, inside: Make
) -> None:
    inbox.put("a.png", photo(1))
    inbox.pipeline.errors[photo(1)] = Unavailable("the edge is away")
    await inbox.looks(4)
    assert inbox.ids() == ["edge-1/cam/0"] * 3
    again = Inbox(tmp_path, inside())
    await again.looks(3)
    assert again.ids() == ["edge-1/cam/0"]
    again.put("a.png", photo(2))
    await again.looks(2)
    assert again.ids() == ["edge-1/cam/0", "edge-1/cam/1"]


async def test_a_photo_replaced_while_it_was_answered_is_a_second_frame(
    inbox: Inbox, photo: Callable[..., bytes]
) -> None:
    inbox.put("now.png", photo(1))
    await inbox.looks(2)
    inbox.put("now.png", photo(2) + b"x")
    await inbox.looks(2)
    assert inbox.ids() == ["edge-1/cam/0", "edge-1/cam/1"]
    await inbox.looks(1)
    assert inbox.names() == []


@pytest.mark.parametrize("error", [InvalidInput("cannot be decoded"), Refused("used for another photo", 409)])
async def test_what_cannot_be_used_is_set_aside_with_the_reason(
    inbox: Inbox, photo: Callable[..., bytes], error: Exception
) -> None:
    inbox.put("a.png", photo(1))
    inbox.pipeline.errors[photo(1)] = error
    await inbox.looks(2)
    assert inbox.names() == []
    assert (inbox.rejected / "a.png").read_bytes() == photo(1)
    assert (inbox.rejected / "a.png.reason.txt").read_text() == f"{error}\n"


async def test_wrong_kinds_and_large_files_never_reach_the_model(
    tmp_path: Path, inside: Make, photo: Callable[..., bytes]
) -> None:
    inbox = Inbox(tmp_path, inside(), most_bytes=200_000)
    inbox.put("notes.txt", b"hello")
    inbox.put("large.png", photo(1) + bytes(150_000))
    inbox.put("empty.png", b"")
    await inbox.looks(2)
    assert inbox.ids() == []
    reasons = {file.name: file.read_text() for file in inbox.rejected.glob("*.reason.txt")}
    assert "JPEG or PNG" in reasons["notes.txt.reason.txt"]
    assert "at most 100000" in reasons["large.png.reason.txt"]
    assert "empty" in reasons["empty.png.reason.txt"]


async def test_nonsense_from_the_model_is_tried_a_few_times(inbox: Inbox, photo: Callable[..., bytes]) -> None:
    inbox.put("a.png", photo(1))
    inbox.pipeline.errors[photo(1)] = InvalidPrediction("not finite")
    await inbox.looks(MOST_TRIES)
    assert inbox.names() == ["a.png"]
    await inbox.looks(1)
    assert inbox.names() == []
    assert (inbox.rejected / "a.png.reason.txt").exists()


async def test_what_is_set_aside_is_bounded(
    inbox: Inbox, photo: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "MOST_REJECTED", 3)
    for number in range(6):
        inbox.put(f"{number}.txt", b"no photo", age=100 - number)
        await inbox.looks(2)
    assert len(list(inbox.rejected.iterdir())) == 6
    assert (inbox.rejected / "5.txt").exists()
    assert not (inbox.rejected / "0.txt").exists()


async def test_numbers_of_files_that_left_are_not_kept(inbox: Inbox, photo: Callable[..., bytes], inside: Make) -> None:
    for number in range(40):
        inbox.put(f"{number}.png", photo(number))
    await inbox.looks(5)
    assert len(set(inbox.ids())) == 40
    assert inbox.names() == []


async def test_run_survives_a_folder_that_is_taken_away(
    inbox: Inbox, clock: FakeClock, photo: Callable[..., bytes]
) -> None:
    running = asyncio.ensure_future(inbox.source.run())
    await asyncio.sleep(0.05)
    inbox.inbox.rmdir()
    for _ in range(4):
        await clock.advance(0.25)
        await asyncio.sleep(0.02)
    assert not running.done()
    inbox.folder.create()
    inbox.put("a.png", photo(1))
    for _ in range(100):
        await clock.advance(0.25)
        await asyncio.sleep(0.02)
        if not inbox.names():
            break
    assert inbox.names() == []
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
