"""Real router and edge server processes over a video file and over a real network stream, RTSP."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rtsp_camera import Camera
from video_kit import RATE, film

from umiak_workers.adapters.slots import Slots
from umiak_workers.contract.config import EdgeConfig, MinerRule, RouterConfig, VideoSource

pytestmark = pytest.mark.processes
LOGIN = ("ga te", "p@ss:w/%2f#?")


@dataclass
class Pod:
    """A router with a video and an edge server; no hub, no cloud."""

    url: str
    port: int
    state: Path
    router: Any
    edge: Any

    def start(self) -> "Pod":
        self.router.start().wait_ready(self.port)
        return self

    def video(self) -> dict[str, str]:
        return dict(httpx.get(self.url + "/readyz", timeout=10).json()["video"])

    def numbers(self) -> list[int]:
        """Of all final answers, in the log's order."""
        found: list[int] = []
        after = 0
        while True:
            page = httpx.get(self.url + "/v1/answers", params={"after": after, "limit": 1000}, timeout=10).json()
            if not page["answers"]:
                return found
            found += [int(entry["answer"]["frame"].removeprefix("edge-1/video/")) for entry in page["answers"]]
            after = page["last"]

    def counted(self, outcome: str) -> float:
        text = httpx.get(self.url + "/metrics", timeout=10).text
        found = re.search(rf'umiak_video_frames_total\{{outcome="{outcome}"\}} ([0-9.]+)', text)
        return float(found[1]) if found else 0.0


def until(said: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def drop_some(one: Pod, then: Callable[[], object] = lambda: None) -> None:
    """The edge stands still, `then` happens, and it stands still until five more frames were dropped."""
    before = one.counted("dropped")
    os.kill(one.edge.process.pid, signal.SIGSTOP)
    try:
        then()
        until(lambda: one.counted("dropped") >= before + 5)
    finally:
        os.kill(one.edge.process.pid, signal.SIGCONT)


@pytest.fixture
def pod(
    tmp_path: Path, role: Callable[..., Any], free_port: Callable[[], int], tiny_model: Callable[..., str]
) -> Iterator[Callable[..., Pod]]:
    """`pod(**video)` -> Pod, its router not started."""
    made: list[Pod] = []

    def make(**video: Any) -> Pod:
        router, edge, nobody = free_port(), free_port(), free_port()
        base = "http://127.0.0.1:"
        slots = Slots(tmp_path / "edge")
        slots.write_current("a", tiny_model(slots.folder("a")))
        server = role(
            "edge", EdgeConfig(line="yard/street"), {"umiak://listen/edge": f"{base}{edge}"}, "x", tmp_path / "edge"
        )
        server.start().wait_ready(edge)
        config = RouterConfig(
            namespace="yard",
            resource="gate",
            edge="edge-1",
            line="yard/street",
            rules=(MinerRule(miner="EdgeOnly"),),
            http=None,
            video=VideoSource(**video),
            heartbeat_seconds=0.5,
        )
        endpoints = {
            "umiak://pod/edge": f"{base}{edge}",
            "umiak://listen/router": f"{base}{router}",
            "umiak://hub": f"{base}{nobody}",
        }
        state = tmp_path / "state"
        state.mkdir()
        made.append(Pod(f"{base}{router}", router, state, role("router", config, endpoints, "a.b.c", state), server))
        return made[-1]

    yield make
    for one in made:
        if one.router.process is not None and one.router.process.poll() is None:
            assert one.router.stop() == 0, one.router.log()
        assert "Traceback" not in one.router.log()


def test_a_file_over_a_kill_each_frame_once_and_in_order(pod: Callable[..., Pod]) -> None:
    one = pod(file="videos/gate.mp4")
    film(one.state / "videos" / "gate.mp4", 150)
    one.start()
    for wanted in (20, 60):
        until(lambda wanted=wanted: len(one.numbers()) >= wanted)
        one.router.kill()
        one.router.start().wait_ready(one.port)
    until(lambda: one.video()["state"] == "ended")
    assert one.numbers() == list(range(150))
    assert one.counted("dropped") == 0
    assert one.router.stop() == 0
    one.start()
    until(lambda: one.video()["state"] == "ended")
    assert len(one.numbers()) == 150
    assert httpx.get(one.url + "/readyz", timeout=10).json()["ready"] is True


def test_drops_of_a_slow_edge_are_counted_and_the_newest_frame_is_next(pod: Callable[..., Pod]) -> None:
    one = pod(file="gate.mp4", realtime=True)
    one.start()
    whole = film(one.state / "whole.mp4", 12 * RATE)
    drop_some(one, lambda: whole.replace(one.state / "gate.mp4"))  # before its first frame: it does not end too early
    until(lambda: one.video()["state"] == "ended")
    answered = len(one.numbers())
    assert one.numbers() == list(range(answered))
    assert answered + one.counted("dropped") == 12 * RATE


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_stream_is_answered_drops_counted_and_found_again(
    pod: Callable[..., Pod], free_port: Callable[[], int], tmp_path: Path, transport: str
) -> None:
    camera = Camera(free_port(), login=LOGIN, digest=transport == "tcp")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "username").write_text(LOGIN[0])
    (secret / "password").write_text("wrong")
    one = pod(uri=camera.url, transport=transport, credentials=str(secret), frames_per_second=12).start()
    until(lambda: "Connection refused" in one.video()["reason"])
    camera.start()
    until(lambda: "401" in one.video()["reason"])
    (secret / "password").write_text(LOGIN[1] + "\n")
    until(lambda: len(one.numbers()) >= 10)
    assert one.video() == {"state": "playing", "reason": ""}
    assert camera.transports[-1] == transport
    drop_some(one)
    camera.hang_up()
    camera.stop()
    until(lambda: one.video()["state"] == "connecting")
    seen = len(one.numbers())
    camera.start()
    until(lambda: len(one.numbers()) >= seen + 5)
    numbers = one.numbers()
    assert numbers == list(range(len(numbers)))
    log = one.router.log()
    assert camera.url in log
    for secret_part in (LOGIN[1], "p%40ss", "ga%20te"):
        assert secret_part not in log
    begun = time.monotonic()
    assert one.router.stop() == 0
    assert time.monotonic() - begun < 9, "loosely: a stream in hand does not keep it"
