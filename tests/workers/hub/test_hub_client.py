"""The product's client against a real hub: models travel whole or not at all, and go on where they broke off."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from hub_kit import NOBODY, HubKit, digest_of, free_port, token_of

from umiak_workers.adapters.artefacts import read_artefact
from umiak_workers.adapters.hub_client import HubClient
from umiak_workers.contract import routes
from umiak_workers.contract.artefact import MANIFEST
from umiak_workers.contract.errors import ArtefactError, IdentityError, MessageError, Refused, Unavailable

pytestmark = pytest.mark.processes
Models = Callable[[int], tuple[Path, str]]


class Wire(ThreadingHTTPServer):
    """A bad line to the hub: may cut or alter what it carries, counts what it carried."""

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Carry)
        self.target = target
        self.cut_after: int | None = None
        self.flip = self.no_range = False
        self.carried = 0
        self.ranges: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Carry(BaseHTTPRequestHandler):
    server: Wire

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        headers = {"Authorization": self.headers["Authorization"]}
        if "Range" in self.headers:
            self.server.ranges.append(self.headers["Range"])
            if not self.server.no_range:
                headers["Range"] = self.headers["Range"]
        answer = httpx.get(self.server.target + self.path, headers=headers, trust_env=False)
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(self._through(answer.content) if "/blobs/" in self.path else answer.content)
        self.close_connection = True

    def _through(self, data: bytes) -> bytes:
        if self.server.flip:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if self.server.cut_after is not None:
            left = max(0, self.server.cut_after - self.server.carried)
            data = data[:left]
        self.server.carried += len(data)
        return data


@pytest.fixture
def wire(hub: HubKit) -> Iterator[Wire]:
    server = Wire(hub.url)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def pushed(hub: HubKit, models: Models) -> tuple[Path, str]:
    folder, digest = models(90)
    hub.client("operator").push_model(folder)
    return folder, digest


def through(hub: HubKit, wire: Wire) -> HubClient:
    hub.clients.append(HubClient(wire.url, token_of("agent", hub.namespace), 20))
    return hub.clients[-1]


def size_of(folder: Path) -> int:
    return sum(fact.size for fact in read_artefact(folder).manifest.files.values())


def test_a_broken_download_goes_on_where_it_was(
    hub: HubKit, wire: Wire, pushed: tuple[Path, str], tmp_path: Path
) -> None:
    folder, digest = pushed
    total = size_of(folder)
    client, into = through(hub, wire), tmp_path / "slot"
    wire.cut_after = total // 2
    with pytest.raises(Unavailable):
        client.fetch_model(digest, into, 10**9)
    assert not into.exists()
    wire.cut_after = None
    seen: list[tuple[int, int]] = []
    client.fetch_model(digest, into, 10**9, lambda done, of: seen.append((done, of)))
    assert read_artefact(into, digest).digest == digest
    assert wire.ranges
    assert wire.carried == total
    assert seen[-1] == (total, total)
    assert [path.name for path in tmp_path.iterdir()] == ["slot"]


def test_a_server_without_ranges_only_costs_bytes(
    hub: HubKit, wire: Wire, pushed: tuple[Path, str], tmp_path: Path
) -> None:
    folder, digest = pushed
    client = through(hub, wire)
    wire.cut_after = size_of(folder) // 2
    with pytest.raises(Unavailable):
        client.fetch_model(digest, tmp_path / "slot", 10**9)
    wire.cut_after, wire.no_range = None, True
    client.fetch_model(digest, tmp_path / "slot", 10**9)
    assert read_artefact(tmp_path / "slot", digest).digest == digest


def test_an_altered_download_is_refused_and_not_kept(
    hub: HubKit, wire: Wire, pushed: tuple[Path, str], tmp_path: Path
) -> None:
    _, digest = pushed
    client = through(hub, wire)
    wire.flip = True
    for _ in range(2):
        with pytest.raises(ArtefactError, match="do not have digest"):
            client.fetch_model(digest, tmp_path / "slot", 10**9)
        assert not (tmp_path / "slot").exists()
    wire.flip = False
    client.fetch_model(digest, tmp_path / "slot", 10**9)
    assert read_artefact(tmp_path / "slot", digest).digest == digest


def test_an_old_folder_is_replaced_whole(hub: HubKit, pushed: tuple[Path, str], models: Models, tmp_path: Path) -> None:
    _, digest = pushed
    (tmp_path / "slot").mkdir()
    (tmp_path / "slot" / "left-over").write_text("x")
    hub.client("agent").fetch_model(digest, tmp_path / "slot", 10**9)
    assert read_artefact(tmp_path / "slot", digest).digest == digest


def test_a_model_larger_than_allowed_is_not_begun(hub: HubKit, pushed: tuple[Path, str], tmp_path: Path) -> None:
    folder, digest = pushed
    with pytest.raises(ArtefactError, match="at most"):
        hub.client("agent").fetch_model(digest, tmp_path / "slot", size_of(folder) - 1)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_model_is_404(hub: HubKit, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        hub.client("agent").fetch_model(NOBODY, tmp_path / "slot", 10**9)
    assert refused.value.status == 404


def test_pushing_again_sends_nothing_again(hub: HubKit, models: Models) -> None:
    folder, digest = models(91)
    client = hub.client("trainer")
    assert client.push_model(folder) == client.push_model(folder) == digest


def test_a_folder_that_is_not_whole_is_not_pushed(hub: HubKit, models: Models, tmp_path: Path) -> None:
    folder, _ = models(92)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "card.json").write_bytes(b"{}")
    with pytest.raises(ArtefactError, match=r"card\.json"):
        hub.client("trainer").push_model(tmp_path)


def test_a_manifest_without_its_blobs_is_refused_by_name(hub: HubKit, models: Models) -> None:
    folder, digest = models(93)
    client, text = hub.client("trainer"), (folder / MANIFEST).read_bytes()
    with pytest.raises(Refused, match=r"\w+\.\w+: put blob"):
        client.put_manifest(digest, text)
    with pytest.raises(Refused, match="has digest"):
        client.put_manifest(NOBODY, text)
    with pytest.raises(Refused, match="canonical"):
        client.put_manifest(digest_of(text + b" "), text + b" ")
    with pytest.raises(Refused, match="files"):
        client.put_manifest(NOBODY, json.dumps({"schema": "umiak.dev/model/v1"}).encode())
    assert client.manifest_bytes(digest) is None


def test_a_blob_is_what_its_name_says_or_is_not_taken(hub: HubKit, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3_000_000))
    digest = digest_of(file.read_bytes())
    client = hub.client("trainer")
    with pytest.raises(Refused, match=f"digest {digest}"):
        client.put_blob(NOBODY, file)
    assert not client.has_blob(NOBODY)
    client.put_blob(digest, file)
    client.put_blob(digest, file)
    assert client.has_blob(digest)
    with client.blob(digest, 2_999_990) as (start, chunks):
        assert (start, b"".join(chunks)) == (2_999_990, file.read_bytes()[-10:])


def test_blobs_have_ranges_tags_and_heads(hub: HubKit, tmp_path: Path) -> None:
    data = os.urandom(1000)
    (tmp_path / "file").write_bytes(data)
    path = routes.BLOB.format(digest=digest_of(data))
    hub.client("trainer").put_blob(digest_of(data), tmp_path / "file")
    http = hub.http("agent")
    head = http.head(path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "1000", b"")
    whole = http.get(path)
    assert whole.content == data
    assert whole.headers["etag"] == f'"{digest_of(data)}"'
    assert http.get(path, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    part = http.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, data[10:20])
    assert part.headers["content-range"] == "bytes 10-19/1000"
    assert http.get(path, headers={"Range": "bytes=-5"}).content == data[-5:]
    assert http.get(path, headers={"Range": "bytes=1000-"}).status_code == 416
    stale = http.get(path, headers={"Range": "bytes=10-19", "If-Range": '"other"'})
    assert (stale.status_code, stale.content) == (200, data)


def test_a_blob_too_large_is_refused(new_hub: Callable[..., HubKit], tmp_path: Path) -> None:
    hub = new_hub(max_blob_bytes=100_000, max_state_bytes=1 << 20)
    path = routes.BLOB.format(digest=NOBODY)
    http = hub.http("trainer")
    assert http.put(path, content=bytes(100_001)).status_code == 413
    assert http.put(path, content=(bytes(60_000) for _ in range(3))).status_code == 413
    client = hub.client("trainer")
    files = [tmp_path / str(number) for number in range(12)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 90_000)
    for file in files[:11]:
        client.put_blob(digest_of(file.read_bytes()), file)
    with pytest.raises(Unavailable, match="no room"):
        client.put_blob(digest_of(files[11].read_bytes()), files[11])
    assert list((hub.state / "blobs" / "incoming").iterdir()) == []
    hub.restart()
    assert hub.http().get(routes.HEALTH_READY).json()["stateBytes"] == 990_000


def test_every_kind_of_trouble_has_its_own_error(hub: HubKit) -> None:
    hub.clients.append(HubClient(f"http://127.0.0.1:{free_port()}", "x", 2))
    with pytest.raises(Unavailable, match="hub"):
        hub.clients[-1].head(hub.line)
    hub.clients.append(HubClient(hub.url, "x.y", 10))
    with pytest.raises(IdentityError, match="401"):
        hub.clients[-1].head(hub.line)
    with pytest.raises(IdentityError, match="403"):
        hub.client("agent").head("elsewhere/yard")
    with pytest.raises(Refused, match=r"422.*name"):
        hub.client("agent").head(f"{hub.namespace}/Not A Name")


class _Nonsense(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(503 if "lines" in self.path else 200)
        body = b"<html>gateway</html>"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_an_answer_that_is_not_the_contracts_is_said_so() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Nonsense) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        with HubClient(f"http://127.0.0.1:{server.server_address[1]}", "x", 5) as client:
            with pytest.raises(Unavailable, match="503 <html>gateway"):
                client.head("plant/yard")
            with pytest.raises(MessageError, match="LiveSettings"):
                client.settings("plant", "watch")
        server.shutdown()
        thread.join()
