"""The chart's gateway config in a real nginx: edges reach what they need of hub and cloud workers, and nothing else."""

import json
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certificate
import control_plane
import httpx
import pytest
from apiserver_kit import eventually
from chart_kit import VALUES, Helm, absent, chosen, merged

from umiak_operators.plan import addresses
from umiak_operators.plan import names as plan_names
from umiak_operators.plan.model import Platform
from umiak_workers.adapters.configfile import Loaded, load
from umiak_workers.adapters.hub_client import HubClient
from umiak_workers.contract.config import AgentConfig, ModelSource
from umiak_workers.contract.endpoints import HUB
from umiak_workers.contract.errors import MessageError, Unavailable
from umiak_workers.contract.messages import ExampleHeader
from umiak_workers.router.clients import HttpCloud

HERE = "127.77.0.1"
"""Where every Service seems to be: a loopback address of its own, as ports are the cluster's."""


@dataclass
class Cluster:
    """A name server that knows every Service, and the two listeners behind them."""

    asked: list[str] = field(default_factory=list)
    seen: list[tuple[int, str, str, str]] = field(default_factory=list)
    """(port, method, path, authorization)"""
    _closing: list[Any] = field(default_factory=list)

    def start(self) -> int:
        """Returns the name server's port."""
        names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        names.bind(("127.0.0.1", 0))
        threading.Thread(target=self._answer, args=(names,), daemon=True).start()
        for port in (8700, 8800):
            server = ThreadingHTTPServer((HERE, port), self._handler(port))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self._closing.append(server)
        return int(names.getsockname()[1])

    def stop(self) -> None:
        for server in self._closing:
            server.shutdown()
            server.server_close()

    def _answer(self, names: socket.socket) -> None:
        while True:
            question, where = names.recvfrom(512)
            name, rest = _name(question[12:])
            kind = struct.unpack(">H", rest[:2])[0]
            self.asked.append(name)
            asked = question[12 : len(question) - len(rest) + 4]
            answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 5, 4) + socket.inet_aton(HERE) if kind == 1 else b""
            head = question[:2] + b"\x81\x80" + struct.pack(">HHHH", 1, int(kind == 1), 0, 0)
            names.sendto(head + asked + answer, where)

    def _handler(self, port: int) -> type[BaseHTTPRequestHandler]:
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                seen.append((port, self.command, self.path, self.headers.get("Authorization", "")))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_POST = do_PUT = do_GET

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        return Handler


def _name(rest: bytes) -> tuple[str, bytes]:
    """A name in a DNS question, and what follows it."""
    parts = []
    while (length := rest[0]) != 0:
        parts.append(rest[1 : 1 + length].decode())
        rest = rest[1 + length :]
    return ".".join(parts), rest[1:]


@dataclass
class Gateway:
    """A running gateway and what stands behind it."""

    http: httpx.Client
    cluster: Cluster
    folder: Path
    """`ca.crt` lies there."""

    def status(self, method: str, path: str, body: bytes = b"") -> int:
        """The status of a request whose path is sent as it stands."""
        url = self.http.base_url.copy_with(raw_path=path.encode())
        headers = {"Authorization": "Bearer t"}
        return self.http.request(method, url, content=body, headers=headers).status_code


@pytest.fixture(scope="module")
def gateway(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    program = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))
    if program is None:
        absent("nginx (apt-get install nginx-light)")
    folder, cluster = tmp_path_factory.mktemp("gateway"), Cluster()
    port, (listen,) = cluster.start(), control_plane.free_ports(1)
    file = certificate.write(folder)
    values = merged(VALUES, {"gateway": {"resolver": f"127.0.0.1:{port}", "maxBodyMebibytes": 1}})
    text = chosen(helm.objects(values), "ConfigMap", "umiak-gateway")["data"]["nginx.conf"]
    places = {"/tmp/": f"{folder}/", "/etc/nginx/tls": str(folder), "listen 8443": f"listen 127.0.0.1:{listen}"}
    for old, new in places.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text)
    command = [program, "-e", "stderr", "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(control_plane.tied(command), stdout=log, stderr=log)
    url, trust = f"https://127.0.0.1:{listen}", certificate.trust(file)
    try:
        with httpx.Client(base_url=url, verify=trust, timeout=10, trust_env=False) as http:
            found = Gateway(http, cluster, folder)
            eventually(lambda: _up(found), 10, (folder / "log").read_text())
            yield found
    finally:
        control_plane.end([process])
        cluster.stop()


def _up(gateway: Gateway) -> bool:
    try:
        return gateway.status("GET", "/healthz") == 200
    except httpx.TransportError:
        return False


DIGEST = f"sha256:{'0' * 64}"
PASSED = [
    ("GET", f"/hub/v1/blobs/{DIGEST}", 8800, f"/v1/blobs/{DIGEST}"),
    ("GET", "/hub/v1/lines/yard/yard-edge", 8800, "/v1/lines/yard/yard-edge"),
    ("PUT", "/hub/v1/reports/yard/yard/edge-1/agent", 8800, "/v1/reports/yard/yard/edge-1/agent"),
    ("GET", "/hub/v1/settings/yard/yard?a=1&b=2", 8800, "/v1/settings/yard/yard?a=1&b=2"),
    ("GET", "/hub/readyz", 8800, "/readyz"),
    ("POST", "/cloud/yard/yard-cloud/v1/examples", 8700, "/v1/examples"),
]


@pytest.mark.parametrize(("method", "path", "port", "arrives"), PASSED, ids=[path for _, path, _, _ in PASSED])
def test_what_edges_need_arrives(gateway: Gateway, method: str, path: str, port: int, arrives: str) -> None:
    assert gateway.status(method, path, b"x" * (method != "GET")) == 200
    assert gateway.cluster.seen[-1] == (port, method, arrives, "Bearer t")


def test_services_are_asked_for_by_their_names(gateway: Gateway) -> None:
    gateway.status("GET", "/hub/readyz")
    resources = ("north-gate", "north-edge", "x-cloud", "a" * 60)
    told = Platform(
        images={},
        endpoints={"umiak://cloud": "https://gate.example/cloud"},
        inside={},
        operator_key=b"",
        trusted_keys=(),
    )
    for resource in resources:
        url = addresses.cloud_url(told, "some-space", resource)
        gateway.status("GET", f"{urlsplit(url).path}/readyz")
    wanted = {f"{plan_names.cloud_pod(resource)}.some-space.svc.cluster.local" for resource in resources}
    assert len(wanted) == len(resources)
    assert {"umiak-hub.umiak-system.svc.cluster.local", *wanted} <= set(gateway.cluster.asked)


REFUSED = [
    "/",
    "/metrics",
    "/hub/",
    "/hub/metrics",
    "/hub/v1/owners",
    "/hub/v1/changes?after=0",
    "/hub/v1/signing",
    "/hub/v1/blobs/../owners",
    "/hub/v1/blobs/%2e%2e/owners",
    "/hub//v1/owners",
    "/cloud/yard/yard-cloud/metrics",
    "/cloud/yard/yard/v1/examples",
    "/cloud/yard/ya.rd-cloud/v1/examples",
    "/cloud/ya.rd/yard-cloud/v1/examples",
]


@pytest.mark.parametrize("path", REFUSED)
def test_the_rest_goes_nowhere(gateway: Gateway, path: str) -> None:
    before = len(gateway.cluster.seen)
    assert gateway.status("GET", path) == 404
    assert len(gateway.cluster.seen) == before


def test_a_body_has_a_limit(gateway: Gateway) -> None:
    assert gateway.status("POST", "/cloud/yard/yard-cloud/v1/examples", bytes(1024 * 1024)) == 200
    assert gateway.status("POST", "/cloud/yard/yard-cloud/v1/examples", bytes(1024 * 1024 + 1)) == 413


def edge(gateway: Gateway, folder: Path, host: str = "127.0.0.1") -> Loaded[AgentConfig]:
    """What a container of an edge starts with, whose Secret holds these addresses and, where it has one, `ca.crt`."""
    url = f"https://{host}:{gateway.http.base_url.port}/hub"
    config = AgentConfig(
        namespace="yard",
        resource="yard",
        edge="edge-1",
        line="yard/yard-edge",
        initial=ModelSource(uri="builtin:yard-edge", digest=DIGEST),
        trusted_keys=("A" * 43 + "=",),
    )
    (folder / "config.json").write_text(config.model_dump_json())
    (folder / "endpoints.json").write_text(json.dumps({HUB: url}))
    (folder / "token").write_text("a.b")
    return load(AgentConfig, folder / "config.json", None, "agent")


def hub(loaded: Loaded[AgentConfig]) -> HubClient:
    return HubClient(loaded.endpoints.resolve(HUB), loaded.token, 5, loaded.trust)


def test_clients_of_an_edge_trust_the_authority_beside_their_config(gateway: Gateway, tmp_path: Path) -> None:
    shutil.copy(gateway.folder / "ca.crt", tmp_path / "ca.crt")
    with hub(edge(gateway, tmp_path)) as client:
        assert client.manifest_bytes(DIGEST) == b"ok"
    assert gateway.cluster.seen[-1][2] == f"/v1/models/{DIGEST}"


async def test_the_router_s_way_to_the_cloud_trusts_it_too(gateway: Gateway, tmp_path: Path) -> None:
    shutil.copy(gateway.folder / "ca.crt", tmp_path / "ca.crt")
    loaded = edge(gateway, tmp_path)
    url = f"https://127.0.0.1:{gateway.http.base_url.port}/cloud/yard/yard-cloud"
    header = ExampleHeader.model_construct(version=1)
    async with HttpCloud(url, "a.b", 5, 1, loaded.trust) as cloud:
        with pytest.raises(MessageError):  # the cloud behind this gateway says only "ok"
            await cloud.ask(header, b"photo")
    assert gateway.cluster.seen[-1][2] == "/v1/examples"
    async with HttpCloud(url, "a.b", 5, 1) as stranger:
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await stranger.ask(header, b"photo")


def test_without_it_no_token_leaves_the_edge(gateway: Gateway, tmp_path: Path) -> None:
    before = len(gateway.cluster.seen)
    with hub(edge(gateway, tmp_path)) as client, pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        client.has_blob(DIGEST)
    certificate.write(tmp_path)
    with hub(edge(gateway, tmp_path)) as client, pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        client.has_blob(DIGEST)
    shutil.copy(gateway.folder / "ca.crt", tmp_path / "ca.crt")
    with hub(edge(gateway, tmp_path, "localhost")) as client, pytest.raises(Unavailable, match="Hostname mismatch"):
        client.has_blob(DIGEST)
    assert len(gateway.cluster.seen) == before
