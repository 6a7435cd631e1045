"""A real router and a real edge server, with a small real cloud and hub on loopback that the test can take away."""

import io
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from umiak_workers.adapters.mqtt import MqttLink
from umiak_workers.adapters.slots import Slots
from umiak_workers.contract import wire
from umiak_workers.contract.config import Bounds, DirectorySource, EdgeConfig, MinerRule, RouterConfig
from umiak_workers.contract.identity import Principal, token, verify
from umiak_workers.contract.messages import (
    AnswerHeader,
    Box,
    CloudAnswerHeader,
    ExampleHeader,
    LiveRule,
    LiveSettings,
    Receipt,
    Region,
    RouterState,
    Task,
)
from umiak_workers.core.mask_png import decode_mask, encode_mask
from umiak_workers.core.tasks.classification import pack, unpack

pytestmark = pytest.mark.processes
KEY = b"0123456789abcdef"
TOKEN = token(KEY, Principal("yard", "gate", "edge-1", "router"))
LABEL = 2
CLOUDS_CLASS = pack(("nobody", "person", "vehicle", "both"), np.array([0.1, 0.7, 0.1, 0.1]))


@dataclass
class Outside:
    """The cloud and the hub of these tests, on one port: labels everything LABEL, stores samples, hears reports."""

    port: int
    seconds: float = 0.0
    hub_up: bool = True
    settings: LiveSettings = field(default_factory=LiveSettings)
    stored: dict[str, tuple[Receipt, bytes]] = field(default_factory=dict)
    stores: list[str] = field(default_factory=list)
    reports: list[RouterState] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    def start(self) -> "Outside":
        outside = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outside.handle(self, b"")

            def do_POST(self) -> None:
                outside.handle(self, self.rfile.read(int(self.headers["Content-Length"])))

            do_PUT = do_POST

            def log_message(self, *args: object) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *args: object) -> None:
                """A router that was killed in the middle is no news."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        self._server = None

    def handle(self, request: Any, body: bytes) -> None:
        verify(KEY, request.headers["Authorization"].removeprefix("Bearer "))
        path = request.path
        if path == "/v1/examples":
            self._example(request, body)
        elif not self.hub_up:
            self._reply(request, 503, b'{"error": "hub away"}')
        elif "/receipts/" in path:
            found = self.stored.get(path.split("/receipts/")[1])
            self._reply(request, 200 if found else 404, found[0].model_dump_json().encode() if found else b"{}")
        elif path.startswith("/v1/settings/"):
            self._reply(request, 200, self.settings.model_dump_json().encode())
        elif path.startswith("/v1/reports/"):
            self.reports.append(RouterState.model_validate_json(body))
            self._reply(request, 200, b"{}")
        else:
            self._reply(request, 404, b'{"error": "no such route"}')

    def _example(self, request: Any, body: bytes) -> None:
        header, photo = wire.unpack(ExampleHeader, request.headers[wire.HEADER_LENGTH], body)
        assert len(photo) == header.size
        self.asked.append(header.frame)
        time.sleep(self.seconds)
        receipt = None
        if self.hub_up:
            new = Receipt(frame=header.frame, digest=header.digest, outcome="stored", stored_at=time.time())
            if header.frame not in self.stored:
                self.stores.append(header.frame)
            receipt, kept = self.stored.setdefault(header.frame, (new, photo))
            assert kept == photo, "one id, one photo"
        width, height = Image.open(io.BytesIO(photo)).size
        classes = header.task == "image-classification"
        payload = CLOUDS_CLASS if classes else encode_mask(np.full((height, width), LABEL, np.uint8))
        region = Region(box=Box(left=0, top=0, width=width, height=height), size=len(payload), confidence=0.9)
        regions = (region,) if header.answer else ()
        said = CloudAnswerHeader(
            frame=header.frame, task=header.task, regions=regions, receipt=receipt, models={"edge": header.digest}
        )
        headers, answer = wire.pack(said, (payload,) * len(regions))
        self._reply(request, 200, answer, headers)

    def _reply(self, request: Any, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        request.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)


@dataclass
class Pod:
    """A router and an edge server over one state folder, and the outside."""

    url: str
    state: Path
    router: Any
    edge: Any
    port: int
    outside: Outside
    broker_port: int

    def start(self) -> "Pod":
        self.router.start().wait_ready(self.port)
        return self

    def push(self, photo: bytes, **query: Any) -> httpx.Response:
        return httpx.post(self.url + "/v1/frames", params=query, content=photo, timeout=200)

    def log(self) -> list[dict[str, Any]]:
        """Every answer of the log over HTTP, page by page."""
        found: list[dict[str, Any]] = []
        after = 0
        while True:
            page = httpx.get(self.url + "/v1/answers", params={"after": after, "limit": 50}, timeout=10).json()
            if not page["answers"]:
                return found
            found += [entry["answer"] for entry in page["answers"]]
            after = page["last"]

    def finals(self) -> list[str]:
        """Frames of all revision 0 answers."""
        return [answer["frame"] for answer in self.log() if answer["revision"] == 0]


def read(response: httpx.Response) -> tuple[AnswerHeader, dict[str, np.ndarray]]:
    assert response.status_code == 200, response.text
    header, rest = wire.unpack(AnswerHeader, response.headers[wire.HEADER_LENGTH], response.content)
    blobs = wire.split(rest, tuple(header.masks.values()))
    return header, {name: decode_mask(blob) for name, blob in zip(header.masks, blobs, strict=True)}


def jpeg(seed: int, width: int = 96, height: int = 64) -> bytes:
    pixels = np.random.default_rng(seed).integers(1, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=80)
    return file.getvalue()


def until(said: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def new_edge(
    folder: Path,
    role: Callable[..., Any],
    free_port: Callable[[], int],
    tiny_model: Callable[..., str],
    task: Task = "semantic-segmentation",
) -> tuple[Any, int]:
    """(an edge server with a tiny model, not started; its port)."""
    port, slots = free_port(), Slots(folder)
    slots.write_current("a", tiny_model(slots.folder("a")))
    endpoints = {"umiak://listen/edge": f"http://127.0.0.1:{port}"}
    return role("edge", EdgeConfig(line="yard/street", task=task), endpoints, TOKEN, folder), port


@pytest.fixture(scope="module")
def shared_edge(
    tmp_path_factory: pytest.TempPathFactory,
    shared_role: Callable[..., Any],
    free_port: Callable[[], int],
    tiny_model: Callable[..., str],
) -> Iterator[tuple[Any, int]]:
    """A running edge server that the routers of this module share."""
    edge, port = new_edge(tmp_path_factory.mktemp("edge"), shared_role, free_port, tiny_model)
    edge.start().wait_ready(port)
    yield edge, port
    assert edge.stop() == 0, edge.log()


@pytest.fixture
def pod(
    tmp_path: Path, role: Callable[..., Any], free_port: Callable[[], int], shared_edge: tuple[Any, int]
) -> Iterator[Callable[..., Pod]]:
    """`pod(**config)` -> Pod, its router not started; every frame is hard unless `rules` says otherwise."""
    made: list[Pod] = []

    def make(edge: tuple[Any, int] = shared_edge, **changes: Any) -> Pod:
        router, outside, broker = free_port(), free_port(), free_port()
        base = "http://127.0.0.1:"
        endpoints = {
            "umiak://pod/edge": f"{base}{edge[1]}",
            "umiak://listen/router": f"{base}{router}",
            "umiak://cloud/yard/gate": f"{base}{outside}",
            "umiak://hub": f"{base}{outside}",
            "umiak://broker": f"mqtt://127.0.0.1:{broker}",
        }
        config = RouterConfig(
            **{
                "namespace": "yard",
                "resource": "gate",
                "edge": "edge-1",
                "line": "yard/street",
                "rules": (MinerRule(miner="CloudOnly"),),
                "deadline_milliseconds": 3000,
                "max_image_bytes": 100_000,
                "heartbeat_seconds": 0.5,
                **changes,
            }
        )
        state = tmp_path / "state"
        process = role("router", config, endpoints, TOKEN, state)
        made.append(Pod(f"{base}{router}", state, process, edge[0], router, Outside(outside).start(), broker))
        return made[-1]

    yield make
    for one in made:
        if one.router.process is not None and one.router.process.poll() is None:
            assert one.router.stop() == 0, one.router.log()
        one.outside.stop()


def test_a_class_goes_the_same_way_and_is_delivered_after_an_outage(
    pod: Callable[..., Pod],
    tmp_path: Path,
    role: Callable[..., Any],
    free_port: Callable[[], int],
    tiny_classifier: Callable[..., str],
) -> None:
    edge = new_edge(tmp_path / "edge", role, free_port, tiny_classifier, "image-classification")
    edge[0].start().wait_ready(edge[1])
    one = pod(edge, task="image-classification", deadline_milliseconds=60_000)  # a slow machine is no late cloud
    one.outside.stop()
    one.start()
    alone = said(one.push(jpeg(1)))
    assert unpack(alone["final"]).probabilities.keys() == unpack(CLOUDS_CLASS).probabilities.keys()
    one.outside.start()
    until(lambda: len(one.log()) == 2)
    first, late = one.log()
    assert (first["task"], first["revision"], first["answered_by"]) == ("image-classification", 0, "edge")
    assert (late["task"], late["revision"], late["answered_by"]) == ("image-classification", 1, "cloud")
    payloads = said(one.push(jpeg(2), masks="all"))
    assert payloads["final"] == payloads["cloud"] == CLOUDS_CLASS
    assert payloads["edge"] != CLOUDS_CLASS
    assert len(one.outside.stores) == 2
    assert edge[0].stop() == 0


def said(response: httpx.Response) -> dict[str, bytes]:
    """The payloads of an answer as they came."""
    assert response.status_code == 200, response.text
    header, rest = wire.unpack(AnswerHeader, response.headers[wire.HEADER_LENGTH], response.content)
    return dict(zip(header.masks, wire.split(rest, tuple(header.masks.values())), strict=True))


def test_a_pushed_photo_is_answered_by_the_cloud_with_all_masks(pod: Callable[..., Pod]) -> None:
    one = pod().start()
    header, masks = read(one.push(jpeg(1), masks="all"))
    answer = header.answer
    assert (answer.frame, answer.answered_by, answer.reason) == ("edge-1/http/0", "cloud", "CloudAnswered")
    assert (masks["final"] == LABEL).all()
    assert masks["final"].shape == masks["edge"].shape == masks["cloud"].shape == (64, 96)
    assert set(answer.stages_milliseconds) == {"edge", "judge", "queue", "cloud", "fuse", "log", "total"}
    assert answer.bytes_up > len(jpeg(1))
    assert list(read(one.push(jpeg(2)))[1]) == ["final"]
    until(lambda: one.outside.reports and one.outside.reports[-1].frames == 2)
    report = one.outside.reports[-1]
    assert report.by_reason == {"CloudAnswered": 2}
    assert (report.queue_items, report.dropped) == (0, 0)
    assert report.bytes_up == answer.bytes_up + one.log()[1]["bytes_up"]
    metrics = httpx.get(one.url + "/metrics", timeout=5).text
    assert 'umiak_frames_total{reason="CloudAnswered",route="cloud"} 2.0' in metrics
    assert 'umiak_stage_seconds_count{stage="total"} 2.0' in metrics
    assert re.search(r'umiak_bytes_total{direction="up"} [1-9]', metrics)
    assert "umiak_queue_items 0.0" in metrics
    assert "umiak_router_overhead_seconds_count 2.0" in metrics


def test_a_push_repeated_gets_the_same_answer_and_other_bytes_a_409(pod: Callable[..., Pod]) -> None:
    one = pod().start()
    first = one.push(jpeg(1), source="cam.7", sequence=41, masks="all")
    again = one.push(jpeg(1), source="cam.7", sequence=41, masks="all")
    assert read(first)[0].answer.answered_at == read(again)[0].answer.answered_at
    assert all((a == b).all() for a, b in zip(read(first)[1].values(), read(again)[1].values(), strict=True))
    other = one.push(jpeg(2), source="cam.7", sequence=41)
    assert other.status_code == 409
    assert "edge-1/cam.7/41" in other.json()["error"]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda _: one.push(jpeg(3), source="cam.7", sequence=42), range(6)))
    assert len({read(response)[0].answer.answered_at for response in together}) == 1
    assert one.finals() == ["edge-1/cam.7/41", "edge-1/cam.7/42"]
    assert read(one.push(jpeg(4), source="cam.7"))[0].answer.frame == "edge-1/cam.7/43"


def test_what_cannot_be_used_is_refused_in_one_line_and_the_router_lives(pod: Callable[..., Pod]) -> None:
    one = pod(rules=(MinerRule(miner="EdgeOnly"),), directory=DirectorySource(name="folder")).start()
    cases: list[tuple[bytes, dict[str, Any], dict[str, str], int, str]] = [
        (jpeg(1)[:-900], {}, {}, 400, "cannot be decoded"),
        (b"", {}, {}, 400, "empty"),
        (b"not a photo", {}, {}, 400, "JPEG or PNG"),
        (jpeg(1) + bytes(100_000), {}, {}, 413, "100000"),
        (jpeg(1), {}, {"content-type": "application/json"}, 415, "application/json"),
        (jpeg(1), {"source": "Cam 1"}, {}, 400, "Cam 1"),
        (jpeg(1), {"sequence": "-1"}, {}, 400, "sequence"),
        (jpeg(1), {"sequence": "9" * 19}, {}, 400, "sequence"),
        (jpeg(1), {"masks": "some"}, {}, 400, "masks"),
        (jpeg(1), {"colour": "red"}, {}, 400, "colour"),
        (jpeg(1), {"source": "folder"}, {}, 400, "folder"),
    ]
    for body, query, headers, status, says in cases:
        response = httpx.post(one.url + "/v1/frames", params=query, content=body, headers=headers, timeout=10)
        assert response.status_code == status, response.text
        assert says in response.json()["error"]
        assert "\n" not in response.json()["error"]
    assert one.log() == []
    dark = io.BytesIO()
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(dark, "PNG")
    response = one.push(dark.getvalue())
    assert response.status_code == 500
    assert "not finite" in response.json()["error"]
    assert read(one.push(jpeg(1)))[0].answer.reason == "Easy"
    assert httpx.get(one.url + "/v1/answers?limit=x", timeout=5).status_code == 400


def test_cloud_away_every_frame_is_answered_in_time_and_delivered_once_after_the_return(
    pod: Callable[..., Pod],
) -> None:
    one = pod().start()
    one.outside.stop()
    answers = [read(one.push(jpeg(seed)))[0].answer for seed in range(8)]
    assert {(answer.answered_by, answer.reason) for answer in answers} == {("edge", "CloudUnreachable")}
    assert all(answer.answered_at - answer.captured_at < 3.0 + 1.0 for answer in answers)
    assert all(answer.stages_milliseconds["cloud"] < 1000 for answer in answers[3:]), "nobody waits for it"
    one.outside.start()
    until(lambda: len(one.outside.stored) == 8)
    assert sorted(one.outside.stores) == sorted(answer.frame for answer in answers)
    until(lambda: len([entry for entry in one.log() if entry["revision"] == 1]) == 8)
    until(lambda: one.outside.reports and one.outside.reports[-1].queue_items == 0)
    assert read(one.push(jpeg(99)))[0].answer.reason == "CloudAnswered"


def test_cloud_late_the_edge_answers_in_time_and_the_cloud_becomes_revision_1(pod: Callable[..., Pod]) -> None:
    one = pod(deadline_milliseconds=600, in_flight=1).start()
    one.outside.seconds = 2.0
    with ThreadPoolExecutor(3) as pool:
        answers = [read(response)[0].answer for response in pool.map(one.push, [jpeg(seed) for seed in range(3)])]
    assert {answer.reason for answer in answers} == {"DeadlineNear"}
    assert all(answer.answered_at - answer.captured_at <= 0.6 + 1.0 for answer in answers), "loosely, on a busy machine"
    one.outside.seconds = 0.0
    until(lambda: len(one.outside.stored) == 3)
    until(lambda: sorted(entry["revision"] for entry in one.log()) == [0, 0, 0, 1, 1, 1])
    assert sorted(one.outside.stores) == sorted(answer.frame for answer in answers)


def test_cloud_too_slow_nobody_waits_the_examples_are_learnt_from_and_a_fast_cloud_is_found_again(
    pod: Callable[..., Pod],
) -> None:
    one = pod(deadline_milliseconds=3000, in_flight=1).start()
    one.outside.seconds = 5.0
    early = [read(one.push(jpeg(seed)))[0].answer for seed in range(3)]
    assert {answer.reason for answer in early} == {"DeadlineNear"}
    until(lambda: len(one.log()) == 6)  # the router itself has all three late answers
    late = [read(one.push(jpeg(seed)))[0].answer for seed in range(3, 7)]
    assert [(answer.answered_by, answer.reason) for answer in late] == [("edge", "CloudTooSlow")] * 4
    assert all("cloud" not in answer.stages_milliseconds for answer in late), "nobody waited"
    assert "too slow for the deadline" in one.router.log()
    until(lambda: one.outside.reports and one.outside.reports[-1].by_reason.get("CloudTooSlow") == 4)
    one.outside.settings = LiveSettings(
        settings_version=2, rules=(LiveRule(miner="CloudOnly"),), deadline_milliseconds=60_000
    )
    until(lambda: one.outside.reports[-1].settings_version == 2)
    assert read(one.push(jpeg(7)))[0].answer.reason == "CloudAnswered", "there is time for it now"
    one.outside.settings = one.outside.settings.model_copy(
        update={"settings_version": 3, "deadline_milliseconds": 3000}
    )
    until(lambda: one.outside.reports[-1].settings_version == 3)
    assert read(one.push(jpeg(8)))[0].answer.reason == "CloudTooSlow"
    one.outside.seconds = 0.0
    until(lambda: read(one.push(jpeg(9)))[0].answer.reason == "CloudAnswered")
    answered = {entry["frame"] for entry in one.log()}
    until(lambda: set(one.outside.stored) >= answered)
    assert len(one.outside.stores) == len(set(one.outside.stores))


def test_a_model_without_an_appeal_head_is_not_judged_by_it_and_that_is_said(pod: Callable[..., Pod]) -> None:
    one = pod(rules=(MinerRule(miner="AppealHead", threshold=0.0),)).start()
    answers = [read(one.push(jpeg(seed)))[0].answer for seed in range(3)]
    assert [(answer.answered_by, answer.reason, answer.rule) for answer in answers] == [("edge", "NotJudged", "")] * 3
    assert one.router.log().count("does not say what a rule goes by") == 1
    metrics = httpx.get(one.url + "/metrics", timeout=5).text
    assert 'umiak_frames_total{reason="NotJudged",route="edge"} 3.0' in metrics
    assert one.outside.asked == []


def test_hub_away_answers_go_on_and_the_receipt_comes_later(pod: Callable[..., Pod]) -> None:
    one = pod().start()
    one.outside.hub_up = False
    assert read(one.push(jpeg(1)))[0].answer.reason == "CloudAnswered"
    time.sleep(3)
    assert one.outside.asked == ["edge-1/http/0"], "not sent again while the hub cannot say whether it has it"
    one.outside.hub_up = True
    until(lambda: one.outside.stores == ["edge-1/http/0"])
    until(lambda: one.outside.reports and one.outside.reports[-1].queue_items == 0)
    assert [entry["revision"] for entry in one.log()] == [0]


def test_edge_killed_the_frame_waits_for_its_return_within_the_deadline(
    pod: Callable[..., Pod],
    tmp_path: Path,
    role: Callable[..., Any],
    free_port: Callable[[], int],
    tiny_model: Callable[..., str],
) -> None:
    edge = new_edge(tmp_path / "edge", role, free_port, tiny_model)
    edge[0].start().wait_ready(edge[1])
    one = pod(edge, rules=(MinerRule(miner="EdgeOnly"),), deadline_milliseconds=150_000).start()
    assert read(one.push(jpeg(0)))[0].answer.reason == "Easy"
    one.edge.kill()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(one.push, jpeg(1))
        time.sleep(0.5)
        assert not waiting.done()
        one.edge.start()
        assert read(waiting.result())[0].answer.reason == "Easy"


def test_router_killed_mid_stream_one_final_answer_per_frame_and_no_example_lost(pod: Callable[..., Pod]) -> None:
    one = pod(deadline_milliseconds=1500).start()
    one.outside.seconds = 0.05
    acknowledged: dict[int, float] = {}
    stop = threading.Event()

    def camera() -> None:
        """Pushes frame after frame, each until it is answered, as a client that retries does."""
        number = 0
        while not stop.is_set() or number < 30:
            try:
                response = one.push(jpeg(number), source="cam", sequence=number)
            except httpx.HTTPError:
                time.sleep(0.1)
                continue
            if response.status_code == 200:
                acknowledged[number] = read(response)[0].answer.answered_at
                number += 1

    streaming = threading.Thread(target=camera)
    streaming.start()
    for wanted in (5, 12, 20):
        until(lambda wanted=wanted: len(acknowledged) >= wanted)
        one.router.kill()
        one.router.start()
    one.router.wait_ready(one.port)
    stop.set()
    streaming.join(120)
    assert not streaming.is_alive()
    until(lambda: set(one.outside.stored) >= {f"edge-1/cam/{number}" for number in acknowledged})
    finals = {entry["frame"]: entry["answered_at"] for entry in one.log() if entry["revision"] == 0}
    assert sorted(one.finals()) == sorted(f"edge-1/cam/{number}" for number in acknowledged)
    for number, answered_at in acknowledged.items():
        assert finals[f"edge-1/cam/{number}"] == answered_at, "what was said once is what the log says"
    assert len(one.outside.stores) == len(set(one.outside.stores)) == len(acknowledged)
    until(lambda: one.outside.reports[-1].queue_items == 0)


def test_a_folder_killed_in_the_middle_gives_each_photo_one_answer(pod: Callable[..., Pod]) -> None:
    one = pod(directory=DirectorySource(), http=None, deadline_milliseconds=1500)
    inbox = one.state / "inbox"
    inbox.mkdir(parents=True)
    for number in range(24):
        (inbox / f"{number:03}.jpg").write_bytes(jpeg(number))
    (inbox / "broken.jpg").write_bytes(jpeg(1)[:-800])
    (inbox / "huge.png").write_bytes(jpeg(1) + bytes(200_000))
    (inbox / "unfinished.jpg.part").write_bytes(b"")
    one.start()
    for left in (18, 8):
        until(lambda left=left: len(list(inbox.glob("*.jpg"))) <= left)
        one.router.kill()
        one.router.start()
    one.router.wait_ready(one.port)
    until(lambda: [file.name for file in inbox.iterdir()] == ["unfinished.jpg.part"])
    finals = one.finals()
    assert len(finals) == len(set(finals)) == 24
    assert {frame.rsplit("/", 1)[0] for frame in finals} == {"edge-1/directory"}
    rejected = one.state / "rejected"
    assert "cannot be decoded" in (rejected / "broken.jpg.reason.txt").read_text()
    assert "at most 100000" in (rejected / "huge.png.reason.txt").read_text()
    assert (rejected / "broken.jpg").read_bytes() == jpeg(1)[:-800]
    until(lambda: set(one.outside.stored) >= set(finals))
    assert one.push(jpeg(1)).status_code == 404, "no http source, no route"


def test_live_settings_are_applied_in_place_and_kept(pod: Callable[..., Pod]) -> None:
    one = pod(rules=(MinerRule(miner="ScoreMargin", threshold=1.0),)).start()
    assert read(one.push(jpeg(1)))[0].answer.reason == "Easy"
    one.outside.settings = LiveSettings(
        settings_version=4, rules=(LiveRule(miner="ScoreMargin", threshold=0.0),), deadline_milliseconds=2500
    )
    until(lambda: one.outside.reports and one.outside.reports[-1].settings_version == 4)
    assert read(one.push(jpeg(2)))[0].answer.rule == "ScoreMargin"
    one.outside.hub_up = False
    assert one.router.stop() == 0
    one.router.start().wait_ready(one.port)
    assert read(one.push(jpeg(3)))[0].answer.rule == "ScoreMargin", "without the hub, the last ones are in force"


def test_a_small_queue_is_bounded_on_disk(pod: Callable[..., Pod]) -> None:
    one = pod(queue=Bounds(items=3, bytes=1_000_000)).start()
    one.outside.stop()
    for seed in range(9):
        read(one.push(jpeg(seed)))
    one.outside.start()
    until(lambda: one.outside.reports and one.outside.reports[-1].dropped == 6)
    until(lambda: sorted(one.outside.stores) == [f"edge-1/http/{number}" for number in (6, 7, 8)])


def test_it_stops_within_three_seconds_with_work_in_hand(pod: Callable[..., Pod]) -> None:
    one = pod(deadline_milliseconds=20_000).start()
    one.outside.seconds = 15
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: one.push(jpeg(1)))
        until(lambda: one.outside.asked)
        begun = time.monotonic()
        assert one.router.stop() == 0
        assert time.monotonic() - begun < 3 + 6, "loosely, on a busy machine"
        assert read(waiting.result())[0].answer.reason == "DeadlineNear"
    assert "Traceback" not in one.router.log()
    one.outside.seconds = 0
    one.router.start().wait_ready(one.port)
    assert one.finals() == ["edge-1/http/0"]
    until(lambda: one.outside.stores == ["edge-1/http/0"])


def test_taken_port_and_wrong_config_are_one_line(pod: Callable[..., Pod]) -> None:
    one = pod().start()
    log = one.router.log
    config = json.loads((one.router.folder / "config.json").read_text())
    first = one.router.process
    one.router.start()
    assert one.router.wait_exit() == 1
    assert "taken" in log()
    assert log().count("\n") == 1
    (one.router.folder / "config.json").write_text(json.dumps({**config, "colour": "red"}))
    one.router.start()
    assert one.router.wait_exit() == 2
    assert "colour" in log()
    assert log().count("\n") == 1
    (one.router.folder / "config.json").write_text(json.dumps(config))
    one.router.process = first


MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
def test_presence_summaries_and_last_will_through_a_real_broker(pod: Callable[..., Pod], tmp_path: Path) -> None:
    one = pod()
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {one.broker_port} 127.0.0.1\nallow_anonymous true\nuser root\n")
    heard: list[tuple[str, dict[str, Any]]] = []
    with subprocess.Popen([MOSQUITTO or "", "-c", str(config)], stderr=subprocess.DEVNULL) as broker:
        ear = MqttLink(f"mqtt://127.0.0.1:{one.broker_port}", "n/r/ear/viewer", "x", None, keepalive_seconds=5)
        ear.subscribe("umiak/v1/#", lambda topic, payload: heard.append((topic, json.loads(payload))))
        ear.start()
        one.start()

        def up() -> list[bool]:
            return [said["up"] for topic, said in heard if topic.endswith("/gate/edge-1/presence")]

        until(lambda: up() == [True])
        answer = read(one.push(jpeg(1)))[0].answer
        until(lambda: [said for topic, said in heard if topic.endswith("/summary")])
        summary = next(said for topic, said in heard if topic.endswith("/summary"))
        assert (summary["frame"], summary["reason"]) == (answer.frame, answer.reason)
        one.router.kill()
        until(lambda: up()[-1] is False)
        one.router.start().wait_ready(one.port)
        until(lambda: up()[-1] is True)
        assert one.router.stop() == 0
        until(lambda: up()[-1] is False)
        ear.stop(None)
        broker.kill()
