"""A video as a source, with the real decoder: files frame by frame, live ones newest first, restarts, numbers."""

import asyncio
import json
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame

sys.path.insert(0, str(Path(__file__).parent))

from video_kit import HEIGHT, RATE, WIDTH, brightness, film

from umiak_workers.adapters import camera
from umiak_workers.adapters.clock import SystemClock
from umiak_workers.adapters.film import write_film
from umiak_workers.adapters.photo import decode_photo
from umiak_workers.contract.config import MinerRule
from umiak_workers.contract.config import VideoSource as Asked
from umiak_workers.contract.errors import InvalidPrediction, Unavailable
from umiak_workers.core.sampling import Sampling
from umiak_workers.router import video as video_module
from umiak_workers.router.video import VideoSource
from umiak_workers.router.videoplace import opened_from

Make = Callable[..., Any]


def seen(photo: bytes) -> float:
    """Mean brightness of a JPEG."""
    return float(decode_photo(photo, 1_000_000, 1_000_000).mean())


class Edge:
    """Answers frames after `seconds` at one turn at a time, or raises what `errors` holds for the next ones.

    After `most` of them it is held.
    """

    def __init__(self, world: Any, seconds: float = 0.0) -> None:
        self.world, self.seconds = world, seconds
        self.frames: list[Any] = []
        self.errors: list[Exception] = []
        self.most: int | None = None
        self.held = asyncio.Event()
        self.held.set()

    async def answer(self, frame: Any) -> Any:
        await self.held.wait()
        await asyncio.sleep(self.seconds)
        if self.errors:
            raise self.errors.pop(0)
        self.frames.append(frame)
        if len(self.frames) == self.most:
            self.held.clear()
        outcome = await self.world.pipeline.answer(replace(frame, looked_at=None))
        if frame.looked_at:
            frame.looked_at()
        return outcome

    def numbers(self) -> list[int]:
        return [int(frame.id.rsplit("/", 1)[1]) for frame in self.frames]


class Set:
    """A video source over the inside of a router; the decoder and the thread are real, so is the clock it waits by."""

    def __init__(self, state: Path, world: Any, seconds: float = 0.0, **asked: Any) -> None:
        self.counted: list[str] = []
        self.edge = Edge(world, seconds)
        config = Asked(**asked)
        self.source = VideoSource(
            config,
            lambda: opened_from(config, state, state),
            state,
            world.door,
            self.edge,
            world.answers,
            SystemClock(),
            lambda: 0.5,
            self.counted.append,
        )
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Set":
        self.task = asyncio.ensure_future(self.source.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.task is not None
        assert not self.task.done(), "nothing ends the source"
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def until(said: Callable[[], object], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not said():
            await asyncio.sleep(0.01)


@pytest.fixture
def easy(inside: Make) -> Make:
    """`inside` whose frames are all the edge's own."""
    return lambda: inside(rules=(MinerRule(miner="EdgeOnly"),))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and pauses that a test does not wait for."""
    monkeypatch.setattr(video_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(video_module, "SHORTEST_PAUSE", 0.05)
    monkeypatch.setattr(video_module, "AGAIN_SECONDS", 0.05)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("deep/er/a.mkv", "libx264")])
async def test_every_frame_of_a_file_in_order_and_then_rest(tmp_path: Path, easy: Make, name: str, codec: str) -> None:
    film(tmp_path / name, 12, codec)
    async with Set(tmp_path, easy(), file=name) as one:
        await until(lambda: one.source.status.state == "ended")
        assert one.edge.numbers() == list(range(12))
        assert [frame.id.rsplit("/", 1)[0] for frame in one.edge.frames] == ["edge-1/video"] * 12
        for number, frame in enumerate(one.edge.frames):
            assert seen(frame.photo) == pytest.approx(brightness(number), abs=4)
        moments = [frame.captured_at for frame in one.edge.frames]
        assert np.diff(moments) == pytest.approx(np.full(11, 1 / RATE), abs=0.01)
        assert one.counted == ["answered"] * 12
        await asyncio.sleep(0.3)
        assert len(one.edge.frames) == 12


async def test_a_file_waits_for_a_slow_edge(tmp_path: Path, easy: Make) -> None:
    film(tmp_path / "a.mp4", 20)
    async with Set(tmp_path, easy(), seconds=0.03, file="a.mp4") as one:
        await until(lambda: one.source.status.state == "ended")
        assert one.edge.numbers() == list(range(20))
        assert set(one.counted) == {"answered"}


async def test_fewer_frames_than_there_are(tmp_path: Path, easy: Make) -> None:
    film(tmp_path / "a.mp4", 30)
    async with Set(tmp_path, easy(), file="a.mp4", frames_per_second=2) as one:
        await until(lambda: one.source.status.state == "ended")
        assert [round(seen(frame.photo)) for frame in one.edge.frames] == [
            pytest.approx(brightness(number), abs=4) for number in range(0, 30, 5)
        ]
        assert one.edge.numbers() == list(range(6))


async def test_after_a_kill_each_frame_is_answered_once_as_the_same_frame(tmp_path: Path, easy: Make) -> None:
    film(tmp_path / "a.mp4", 30)
    world = easy()
    async with Set(tmp_path, world, file="a.mp4") as one:
        await until(lambda: len(one.edge.frames) >= 11)
        one.edge.held.clear()
    begun = {frame.id: frame for frame in one.edge.frames}
    again = easy()
    async with Set(tmp_path, again, file="a.mp4") as two:
        await until(lambda: two.source.status.state == "ended")
    answers = await again.log()
    assert [answer.frame for answer in answers] == [f"edge-1/video/{number}" for number in range(30)]
    assert world.edge.asked + again.edge.asked == 30, "no frame was looked at twice"
    for frame in two.edge.frames:
        if frame.id in begun:
            assert (frame.digest, frame.captured_at) == (begun[frame.id].digest, begun[frame.id].captured_at)
    async with Set(tmp_path, easy(), file="a.mp4") as three:
        await until(lambda: three.source.status.state == "ended")
        assert three.edge.frames == []


async def test_a_long_file_is_not_offered_from_its_start_again(
    tmp_path: Path, easy: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_module, "MOST_AHEAD", 4)
    film(tmp_path / "a.mp4", 30)
    one = Set(tmp_path, easy(), file="a.mp4")
    one.edge.most = 20
    async with one:
        await until(lambda: len(one.counted) == 20)
    async with Set(tmp_path, easy(), file="a.mp4") as two:
        await until(lambda: two.source.status.state == "ended")
        assert two.edge.numbers() == list(range(16, 30))


async def test_another_file_of_that_name_is_played_with_new_numbers(tmp_path: Path, easy: Make) -> None:
    async with Set(tmp_path, easy(), file="a.mp4") as one:
        await until(lambda: one.source.status.reason == "a.mp4 is not there")
        film(tmp_path / "a.mp4", 5)
        await until(lambda: one.source.status.state == "ended")
        film(tmp_path / "b.mp4", 7).replace(tmp_path / "a.mp4")
        await until(lambda: len(one.edge.frames) == 12)
        assert one.edge.numbers() == list(range(12))


async def test_a_loop_goes_on_counting_over_a_restart(tmp_path: Path, easy: Make) -> None:
    film(tmp_path / "a.mp4", 5)
    async with Set(tmp_path, easy(), file="a.mp4", loop=True) as one:
        await until(lambda: len(one.edge.frames) >= 12)
    assert one.edge.numbers()[:12] == list(range(12))
    last = easy()
    async with Set(tmp_path, last, file="a.mp4", loop=True) as two:
        await until(lambda: len(two.edge.frames) >= 25)
    numbers = [int(answer.frame.rsplit("/", 1)[1]) for answer in await last.log()]
    assert numbers == list(range(len(numbers)))


async def test_the_newest_frame_wins_at_a_slow_edge_and_drops_are_counted(tmp_path: Path, easy: Make) -> None:
    film(tmp_path / "a.mp4", 40, rate=8)
    begun = time.monotonic()
    async with Set(tmp_path, easy(), seconds=0.5, file="a.mp4", realtime=True) as one:
        await until(lambda: one.source.status.state == "ended")
        elapsed = time.monotonic() - begun
    answered, dropped = len(one.edge.frames), one.counted.count("dropped")
    assert answered + dropped == 40
    assert dropped, "8 frames a second at an edge that answers 2"
    assert 1 <= answered <= elapsed / 0.5 + 1, "one frame at a time is at the edge"
    assert one.edge.numbers() == list(range(answered)), "what is dropped takes no number"
    shown = [seen(frame.photo) for frame in one.edge.frames]
    assert shown == sorted(shown)
    assert shown[-1] == pytest.approx(brightness(39), abs=4), "the newest is what is left at the end"


async def test_a_camera_whose_driver_hangs_is_said_and_goes_on_when_it_does(
    tmp_path: Path, easy: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulated device: its driver blocks in the middle, as Video4Linux may, and then gives frames again."""
    hanging, pictures = threading.Event(), list(camera.pictures(camera.file(film(tmp_path / "a.mp4", 2)), lambda: None))

    def blocking(place: camera.Place, undecodable: Callable[[], None]) -> Iterator[camera.Picture]:
        yield pictures[0]
        hanging.wait(60)
        yield pictures[1]
        threading.Event().wait(60)

    monkeypatch.setattr(camera, "pictures", blocking)
    monkeypatch.setattr(camera, "OPEN_SECONDS", 0.0)
    monkeypatch.setattr(camera, "SILENCE_SECONDS", 0.2)
    async with Set(tmp_path, easy(), device="/dev/video0") as one:
        await until(lambda: one.source.status.reason == "/dev/video0: nothing comes")
        assert (one.source.status.state, len(one.edge.frames)) == ("connecting", 1)
        hanging.set()
        await until(lambda: one.source.status.state == "playing" and len(one.edge.frames) == 2)


async def test_an_edge_that_is_away_keeps_a_file_waiting(tmp_path: Path, easy: Make) -> None:
    film(tmp_path / "a.mp4", 3)
    one = Set(tmp_path, easy(), file="a.mp4")
    one.edge.errors = [Unavailable("not there yet")] * 3 + [InvalidPrediction("not finite")]
    async with one:
        await until(lambda: one.source.status.state == "ended")
    assert one.counted == ["refused", "answered", "answered"]
    assert one.edge.numbers() == [1, 2]


async def test_what_is_no_video_is_said_and_tried_again(tmp_path: Path, easy: Make) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video at all" * 100)
    async with Set(tmp_path, easy(), file="a.mp4") as one:
        await until(lambda: one.source.status.reason)
        assert one.source.status.reason.startswith("a.mp4: ")
        assert one.source.status.state == "connecting"
        film(tmp_path / "b.mp4", 4).replace(tmp_path / "a.mp4")
        await until(lambda: one.source.status.state == "ended")
        assert len(one.edge.frames) == 4


async def test_playlists_and_frames_beyond_the_bound_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film(tmp_path / "a.mp4", 4)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n")
    with pytest.raises(Unavailable, match=r"list\.m3u8"):
        list(camera.pictures(camera.file(tmp_path / "list.m3u8"), lambda: None))
    monkeypatch.setattr(camera, "MOST_PIXELS", WIDTH * HEIGHT - 1)
    assert _without_pictures(tmp_path / "a.mp4")


def _without_pictures(path: Path) -> bool:
    try:
        return not list(camera.pictures(camera.file(path), lambda: None))
    except Unavailable:
        return True


def test_a_film_held_upright_by_its_container_becomes_an_upright_photo(tmp_path: Path) -> None:
    """As phones write them: the matrix of the track's header says to turn the picture clockwise by 90 degrees."""
    path = tmp_path / "a.mp4"
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, : WIDTH // 2] = 200
    write_film(path, [pixels] * 3, RATE)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    assert struct.unpack_from(">9i", data, matrix) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, matrix, 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    photo = decode_photo(next(iter(camera.pictures(camera.file(path), pytest.fail))).jpeg(), 1_000_000, 1_000_000)
    assert photo.shape == (WIDTH, HEIGHT, 3)
    assert photo[: WIDTH // 2 - 8].mean() > 180
    assert photo[WIDTH // 2 + 8 :].mean() < 20


async def test_broken_packets_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    film(tmp_path / "a.avi", 40, "mpeg4")
    data = bytearray((tmp_path / "a.avi").read_bytes())
    rng = np.random.default_rng(3)
    for at in rng.integers(7000, len(data) - 2000, 60):
        data[at] ^= 0xFF
    (tmp_path / "a.avi").write_bytes(data)
    broken: list[int] = []
    found = list(camera.pictures(camera.file(tmp_path / "a.avi"), lambda: broken.append(1)))
    assert found
    assert len(found) + len(broken) <= 40


async def test_a_kept_pass_that_cannot_be_read_is_no_end(tmp_path: Path, easy: Make) -> None:
    film(tmp_path / "a.mp4", 3)
    (tmp_path / "video.json").write_text("{")
    async with Set(tmp_path, easy(), file="a.mp4") as one:
        await until(lambda: one.source.status.state == "ended")
    assert json.loads((tmp_path / "video.json").read_text())["finished"] is True
    assert one.edge.numbers() == [0, 1, 2]


def test_sampling_keeps_to_its_grid() -> None:
    sampling = Sampling(4)
    assert [sampling.wants(number / 10) for number in range(10)] == [1, 0, 0, 1, 0, 1, 0, 0, 1, 0]
    assert [sampling.wants(moment) for moment in (9.0, 9.1, 2.0, 2.2, 2.25)] == [1, 0, 1, 0, 1]
    assert all(Sampling(None).wants(0.0) for _ in range(3))


def test_a_router_without_a_video_does_not_load_the_decoder() -> None:
    code = "import sys, umiak_workers.router.__main__; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_decoded_frame_is_let_go_once_it_is_a_photo() -> None:
    frame = VideoFrame(64, 48, "rgb24")
    shot = video_module.Shot(0, camera.Picture(frame, 1.0), 1.0, 2.0)
    assert shot.photo()[:2] == b"\xff\xd8"
    assert shot.picture is None
    assert shot.seconds == 1.0
