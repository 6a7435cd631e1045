"""Models by URI: the digest decides, nothing is larger than said, and every refusal names what is wrong."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from umiak_workers.adapters.artefacts import builtin_folder, read_artefact
from umiak_workers.adapters.modelstore import fetch
from umiak_workers.contract.errors import ArtefactError, Unavailable

NOBODY = "sha256:" + "0" * 64
MOST = 10_000_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., str]) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return folder, tiny_model(folder)


class Quiet(SimpleHTTPRequestHandler):
    """A web server of files; `/busy/` answers 503, `/moved/` redirects, `/away/` to plain http elsewhere."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/busy/"):
            self.send_error(503)
        elif self.path.startswith("/away/"):
            self.send_response(302)
            self.send_header("Location", "http://models.invalid/m")
            self.end_headers()
        elif self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
        else:
            super().do_GET()


@pytest.fixture
def web(tmp_path: Path, model: tuple[Path, str]) -> Iterator[tuple[str, Path]]:
    """(URL, folder that it serves) with a copy of the model in `tiny/`."""
    root = tmp_path / "www"
    (root / "tiny").mkdir(parents=True)
    for file in model[0].iterdir():
        (root / "tiny" / file.name).write_bytes(file.read_bytes())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", root
    server.shutdown()
    thread.join()
    server.server_close()


def test_local_models_stay_where_they_are(model: tuple[Path, str], tmp_path: Path) -> None:
    folder, digest = model
    assert fetch(folder.as_uri(), digest, tmp_path / "into", MOST, 5).folder == folder
    built_in = read_artefact(builtin_folder("yard-edge"))
    assert fetch("builtin:yard-edge", built_in.digest, tmp_path / "into", MOST, 5).folder == built_in.folder
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("path", ["/tiny", "/tiny/", "/moved/tiny"])
def test_a_remote_model_is_copied_whole(
    web: tuple[str, Path], model: tuple[Path, str], tmp_path: Path, path: str
) -> None:
    found = fetch(web[0] + path, model[1], tmp_path / "into", MOST, 5)
    assert found.folder == tmp_path / "into"
    assert read_artefact(tmp_path / "into", model[1]).digest == model[1]


def test_object_stores_come_through_fsspec(model: tuple[Path, str], tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for file in model[0].iterdir():
        memory.pipe(f"/bucket/tiny/{file.name}", file.read_bytes())
    found = fetch("memory://bucket/tiny", model[1], tmp_path / "into", MOST, 5)
    assert found.digest == model[1]
    with pytest.raises(ArtefactError, match="not found"):
        fetch("memory://bucket/other", model[1], tmp_path / "into", MOST, 5)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("builtin:nothing", "no built-in model"),
        ("builtin:../hub", "no built-in model"),
        ("file:relative", "absolute"),
        ("file://elsewhere/model", "absolute"),
        ("file:///nowhere", "nowhere"),
        ("http://example.org/m", "https:"),
        ("ftp://example.org/m", "https:"),
        ("nonsense", "https:"),
        ("https://[oops/m", "not a URI"),
        ("", "https:"),
    ],
)
def test_a_uri_that_cannot_be_used_is_named(uri: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=says):
        fetch(uri, NOBODY, tmp_path / "into", MOST, 5)


def test_a_redirect_does_not_lead_to_plain_http_elsewhere(web: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"models\.invalid.*plain http"):
        fetch(f"{web[0]}/away/tiny", NOBODY, tmp_path / "into", MOST, 5)


def test_what_is_not_the_model_that_was_named_is_refused(
    web: tuple[str, Path], model: tuple[Path, str], tmp_path: Path
) -> None:
    url, root = web
    into = tmp_path / "into"
    with pytest.raises(ArtefactError, match=f"holds {model[1]}, not {NOBODY}"):
        fetch(f"{url}/tiny", NOBODY, into, MOST, 5)
    with pytest.raises(ArtefactError, match="at most 100"):
        fetch(f"{url}/tiny", model[1], into, 100, 5)
    with pytest.raises(ArtefactError, match="HTTP 404"):
        fetch(f"{url}/none", model[1], into, MOST, 5)
    with pytest.raises(Unavailable, match="503"):
        fetch(f"{url}/busy/tiny", model[1], into, MOST, 5)
    weights = root / "tiny" / "weights.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data + b"x")
    with pytest.raises(ArtefactError, match="longer than"):
        fetch(f"{url}/tiny", model[1], into, MOST, 5)
    weights.write_bytes(data[:-1])
    with pytest.raises(ArtefactError, match="weights"):
        fetch(f"{url}/tiny", model[1], into, MOST, 5)
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ArtefactError, match="weights"):
        fetch(f"{url}/tiny", model[1], into, MOST, 5)
    weights.write_bytes(data)
    assert fetch(f"{url}/tiny", model[1], into, MOST, 5).digest == model[1]


def test_a_server_that_is_away_is_later_not_never(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with pytest.raises(Unavailable):
        fetch(f"http://127.0.0.1:{free_port()}/m", NOBODY, tmp_path / "into", MOST, 2)
