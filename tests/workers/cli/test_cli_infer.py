"""`umiak infer` against a router and a hub that speak the contract over real HTTP on loopback."""

import hashlib
import io
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from umiak_workers.cli import overlay
from umiak_workers.cli.infer import infer
from umiak_workers.contract.artefact import FILES, Card, FileFact, InputSpec, Manifest, OutputSpec, model_digest
from umiak_workers.contract.errors import ConfigError, UmiakError
from umiak_workers.contract.messages import Answer, AnswerHeader, Scores
from umiak_workers.contract.wire import pack
from umiak_workers.contract.world import STATUS_FILE, World, last_world
from umiak_workers.core.mask_png import encode_mask

CARD = Card(
    name="two",
    classes=("ground", "sky"),
    palette=((20, 40, 60), (80, 100, 120)),
    input=InputSpec(name="photo", layout="NHWC", dtype="uint8", height=32, width=32),
    outputs=OutputSpec(logits="logits"),
    licence="Apache-2.0",
)
CARD_SHA = hashlib.sha256(CARD.canonical_bytes()).hexdigest()
MANIFEST = Manifest(
    files={name: FileFact(sha256=CARD_SHA if name == "card.json" else "0" * 64, size=1) for name in FILES}
)
DIGEST = model_digest(MANIFEST)
MASK = np.zeros((4, 8), dtype=np.uint8)
MASK[:, 2:] = 1


def answer_bytes() -> tuple[dict[str, str], bytes]:
    answer = Answer(
        frame="edge-1/http/1",
        revision=0,
        answered_by="cloud",
        reason="CloudAnswered",
        rule="ScoreMargin",
        scores=Scores(margin=0.25, max_probability=0.5, entropy=1.0, appeal=0.0123),
        model=DIGEST,
        captured_at=1.0,
        answered_at=1.5,
        stages_milliseconds={"edge": 4.0, "cloud": 80.0},
    )
    mask = encode_mask(MASK)
    return pack(AnswerHeader(answer=answer, masks={"final": len(mask)}), (mask,))


class Handler(BaseHTTPRequestHandler):
    """A router, and a hub that holds one model."""

    def do_POST(self) -> None:
        photo = self.rfile.read(int(self.headers["Content-Length"]))
        if photo.endswith(b"refuse"):
            self._send(415, {}, b'{"error": "not a photo I like"}')
        else:
            self._send(200, *answer_bytes())

    def do_GET(self) -> None:
        known = {f"/v1/models/{DIGEST}": MANIFEST.canonical_bytes()}
        known[f"/v1/blobs/sha256:{CARD_SHA}"] = CARD.canonical_bytes()
        body = known.get(self.path) if self.headers.get("Authorization") == "Bearer viewer-token" else None
        self._send(404 if body is None else 200, {}, body or b"{}")

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listener.server_address[1]}"
        listener.shutdown()
        thread.join()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "yard.png"
    Image.fromarray(np.full((4, 8, 3), 100, dtype=np.uint8)).save(file)
    return file


@pytest.fixture
def state(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "viewer.token").write_text("viewer-token\n")
    write(folder, server, os.getpid())
    return folder


def write(folder: Path, server: str, pid: int) -> None:
    world = World(
        at=1.0,
        pid=pid,
        endpoints={"umiak://hub": server},
        routers={"yard/gate/edge-1": "http://127.0.0.1:9", "yard/gate/edge-2": server},
        viewer_token_file=str(folder / "viewer.token"),
    )
    (folder / STATUS_FILE).write_text(world.model_dump_json())


def run(*arguments: object) -> str:
    app = typer.Typer()
    app.command()(infer)
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(one) for one in arguments])
    if isinstance(result.exception, UmiakError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def test_a_photo_is_answered_with_who_why_and_what(state: Path, photo: Path) -> None:
    said = run(photo, "--state", state, "--edge", "edge-2")
    for part in ("yard.png", "cloud", "CloudAnswered", "hard by ScoreMargin", "0.250", "appeal 0.0123", "edge 4.0"):
        assert part in said
    assert DIGEST[7:15] in said
    assert "sky 75%" in said
    assert "ground 25%" in said


def test_machines_get_json_and_the_last_world_is_found(state: Path, photo: Path, tmp_path: Path) -> None:
    note = Path(last_world(os.environ, Path.home()))
    assert note.is_relative_to(tmp_path)
    note.parent.mkdir(parents=True)
    note.write_text(str(state))
    (found,) = json.loads(run(photo, "--edge", "yard/gate/edge-2", "--json"))
    assert found["answer"]["answered_by"] == "cloud"
    assert found["shares"] == {"sky": 0.75, "ground": 0.25}
    assert (found["width"], found["height"]) == (8, 4)


def test_the_overlay_wears_the_colours_of_the_card(state: Path, photo: Path, tmp_path: Path) -> None:
    run(photo, "--state", state, "--edge", "edge-2", "--out", tmp_path / "out.png")
    pixels = np.asarray(Image.open(tmp_path / "out.png").convert("RGB"))
    np.testing.assert_array_equal(pixels[0, 0], [56, 67, 78])
    np.testing.assert_array_equal(pixels[0, 7], [89, 100, 111])


def test_several_photos_go_into_a_folder(state: Path, photo: Path, tmp_path: Path) -> None:
    second = photo.with_name("second.png")
    second.write_bytes(photo.read_bytes())
    run(photo, second, "--state", state, "--edge", "edge-2", "--out", tmp_path / "overlays")
    assert sorted(file.name for file in (tmp_path / "overlays").iterdir()) == ["second-mask.png", "yard-mask.png"]


def test_a_router_can_be_asked_without_a_world(server: str, photo: Path) -> None:
    assert "class 1 75%" in run(photo, "--router", server)


def test_what_is_wrong_is_one_line_that_names_it(state: Path, server: str, photo: Path, tmp_path: Path) -> None:
    with pytest.raises(UmiakError, match=r"nothing\.jpg"):
        run(tmp_path / "nothing.jpg", "--router", server)
    text = tmp_path / "text.jpg"
    text.write_text("no photo")
    with pytest.raises(ConfigError, match=r"text\.jpg: not a JPEG or PNG"):
        run(text, "--router", server)
    refused = tmp_path / "refused.png"
    refused.write_bytes(photo.read_bytes() + b"refuse")
    with pytest.raises(UmiakError, match="415 not a photo I like"):
        run(refused, "--router", server)
    with pytest.raises(UmiakError, match="does not answer"):
        run(photo, "--state", state, "--edge", "edge-1")
    with pytest.raises(ConfigError, match="edge-7"):
        run(photo, "--state", state, "--edge", "edge-7")
    with pytest.raises(ConfigError, match="no world runs here"):
        run(photo, "--state", tmp_path)


def test_a_world_that_has_ended_is_not_asked(state: Path, server: str, photo: Path) -> None:
    write(state, server, 0)
    with pytest.raises(ConfigError, match="has ended"):
        run(photo, "--state", state)


def test_colours_without_a_card_differ_and_void_is_grey() -> None:
    table = overlay.colours(None)
    assert len({tuple(row) for row in table[:30]}) == 30
    assert tuple(overlay.colours(CARD)[255]) == (128, 128, 128)


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="mask is"):
        overlay.overlay(np.zeros((2, 2, 3), dtype=np.uint8), MASK, overlay.colours(None))


def test_shares_add_up_and_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO(encode_mask(MASK))
    assert sum(overlay.shares(np.asarray(Image.open(buffer)), CARD).values()) == pytest.approx(1)
    with pytest.raises(ConfigError, match="cannot be written"):
        overlay.save(np.zeros((2, 2, 3), dtype=np.uint8), tmp_path / "out.nothing")
