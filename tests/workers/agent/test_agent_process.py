"""The real agent between a real hub and a real edge server: releases arrive, outlive kills, are refused when bad."""

import http.server
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from hub_kit import SIGNING_KEY, STRANGER, HubKit, hub_config, make_hub, token_of

from umiak_workers.adapters.artefacts import read_artefact
from umiak_workers.adapters.slots import Slots
from umiak_workers.agent.ledger import read_ledger
from umiak_workers.contract.config import AgentConfig, EdgeConfig, ModelSource
from umiak_workers.contract.fleet import FleetSpec
from umiak_workers.core.release import public_text

pytestmark = pytest.mark.processes
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def eventually(what: Callable[[], Any], seconds: float = 90) -> None:
    """Wait until it is so."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, f"not so within {seconds} s"
        time.sleep(0.2)


@dataclass
class Relay:
    """A bad link between agent and hub: forwards everything, and damages blobs while `corrupt` is set."""

    to: str
    corrupt: bool = False
    asked: list[str] = field(default_factory=list)
    server: Any = None

    def start(self) -> "Relay":
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                relay.asked.append(self.path)
                self._forward()

            def do_PUT(self) -> None:
                self._forward()

            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                kept = {key: value for key, value in self.headers.items() if key.lower() not in ("host",)}
                try:
                    answer = httpx.request(self.command, relay.to + self.path, content=body, headers=kept, timeout=20)
                except httpx.TransportError:
                    self.send_error(502)
                    return
                data = answer.content
                if relay.corrupt and "/blobs/" in self.path and data:
                    data = data[:-1] + bytes([data[-1] ^ 1])
                self.send_response(answer.status_code)
                for key in ("Content-Type", "Content-Range"):
                    if key in answer.headers:
                        self.send_header(key, answer.headers[key])
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *said: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@dataclass
class Site:
    """One hub, one edge pod (edge server and agent over one state folder) and the models between them."""

    hub: HubKit
    relay: Relay
    edge: Any
    edge_port: int
    agent: Any
    state: Path
    spec: FleetSpec
    models: dict[int, tuple[Path, str]]

    def serving(self) -> str | None:
        """What the edge answers with; None while it has nothing or is away."""
        try:
            found = httpx.get(f"http://127.0.0.1:{self.edge_port}/readyz", timeout=2).json()["active"]
        except httpx.TransportError:
            return None
        return str(found) if found else None

    def reported(self) -> Any:
        """The agent's last report, as the operator sees it."""
        return self.hub.view(self.spec).edges[0].agent

    def in_force(self) -> str:
        current = Slots(self.state).read_current()
        assert current is not None
        return read_artefact(Slots(self.state).folder(current.slot), current.digest).digest

    def release(self, seed: int, key: Any = SIGNING_KEY, name: str | None = None) -> str:
        """Push model `seed` and make it the head of the line, signed."""
        folder, digest = self.models[seed]
        self.hub.client("operator").push_model(folder)
        head = self.hub.head(self.spec).digest
        self.hub.put(self.hub.patch(head, digest, name or f"patch-{seed}"))
        eventually(self.hub.sign_all)
        return digest

    def runs(self, digest: str) -> bool:
        """Whether the edge serves it and the hub knows."""
        said = self.reported()
        return self.serving() == digest and said is not None and said.active == digest and said.state == "Idle"


@pytest.fixture
def new_site(
    tmp_path: Path, role: Callable[..., Any], free_port: Callable[[], int], tiny_model: Callable[..., str]
) -> Iterator[Callable[..., Site]]:
    """`new_site(poll_seconds=0.3, broker=None) -> Site`; hub, edge and agent are started."""
    relays: list[Relay] = []
    hubs: list[HubKit] = []

    def make(poll_seconds: float = 0.3, broker: str | None = None, trusted: Any = SIGNING_KEY) -> Site:
        models = {seed: (tmp_path / f"model-{seed}", tiny_model(tmp_path / f"model-{seed}", seed)) for seed in range(3)}
        brokers = {"umiak://broker": broker} if broker else {}
        hub = make_hub(role, tmp_path / "hub", hub_config(), brokers).start()
        hubs.append(hub)
        folder, digest = models[0]
        spec = hub.joint_inference(folder.as_uri(), digest, edges=("edge-1",))
        hub.with_head(spec)
        relays.append(Relay(hub.url).start())
        state, port = tmp_path / "edge-state", free_port()
        edge = role("edge", EdgeConfig(line=hub.line), {"umiak://listen/edge": f"http://127.0.0.1:{port}"}, state=state)
        config = AgentConfig(
            namespace=hub.namespace,
            resource="watch",
            edge="edge-1",
            line=hub.line,
            initial=ModelSource(uri=folder.as_uri(), digest=digest),
            trusted_keys=(public_text(trusted),),
            poll_seconds=poll_seconds,
        )
        places = {"umiak://hub": relays[-1].url, "umiak://pod/edge": f"http://127.0.0.1:{port}", **brokers}
        agent = role("agent", config, places, token_of("agent", hub.namespace), state)
        edge.start().wait_ready(port, status=503)
        return Site(hub, relays[-1], edge, port, agent.start(), state, spec, models)

    yield make
    for hub in hubs:
        hub.stop()
    for relay in relays:
        relay.server.shutdown()
        relay.server.server_close()


def test_releases_reach_the_edge_and_outlive_every_process(new_site: Callable[..., Site]) -> None:
    site = new_site()
    first = site.models[0][1]
    eventually(lambda: site.runs(first))
    second = site.release(1)
    eventually(lambda: site.runs(second))
    assert site.in_force() == second
    assert (site.reported().sequence, read_ledger(site.state).sequence) == (2, 2)

    site.edge.kill()
    eventually(lambda: site.reported().active is None)
    site.edge.start()
    eventually(lambda: site.runs(second))

    site.agent.kill()
    third = site.release(2)
    assert site.serving() == second
    site.agent.start()
    eventually(lambda: site.runs(third))
    assert site.in_force() == third

    site.hub.role.kill()
    site.agent.kill()
    site.agent.start()
    site.edge.kill()
    site.edge.start().wait_ready(site.edge_port)
    assert site.serving() == third
    site.hub.start()
    eventually(lambda: site.runs(third))
    assert site.agent.stop() == 0


def test_a_corrupt_download_is_refused_and_the_old_model_serves(new_site: Callable[..., Site]) -> None:
    site = new_site()
    first = site.models[0][1]
    eventually(lambda: site.runs(first))
    site.relay.corrupt = True
    second = site.release(1)
    eventually(lambda: site.reported().state == "Failed")
    assert "do not have digest" in site.reported().reason
    assert site.serving() == site.reported().active == site.in_force() == first
    site.relay.corrupt = False
    eventually(lambda: site.runs(second))


def test_a_stranger_s_signature_moves_nothing(new_site: Callable[..., Site]) -> None:
    """The hub believes its own signer; an edge that trusts another key stays where it was."""
    site = new_site(trusted=STRANGER)
    eventually(lambda: site.reported() is not None and site.reported().state == "Failed")
    assert "no key that is trusted" in site.reported().reason
    assert not any("/blobs/" in path for path in site.relay.asked)


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
def test_a_hint_wakes_an_agent_that_would_poll_in_an_hour(
    new_site: Callable[..., Site], tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n")
    broker = subprocess.Popen([MOSQUITTO, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        site = new_site(poll_seconds=3600, broker=f"mqtt://127.0.0.1:{port}")
        eventually(lambda: site.runs(site.models[0][1]))
        second = site.release(1)
        eventually(lambda: site.runs(second))
    finally:
        broker.kill()
        broker.wait(10)


def test_a_wrong_config_is_one_line_and_exit_2(role: Callable[..., Any], tmp_path: Path) -> None:
    agent = role("agent", b'{"role": "agent", "edge": "Edge 1"}', {}, state=tmp_path / "state").start()
    assert agent.wait_exit(60) == 2
    assert len(agent.log().strip().splitlines()) == 1
    assert "edge: String should match" in agent.log()


def test_the_agent_needs_neither_torch_nor_onnxruntime() -> None:
    loaded = "import sys, umiak_workers.agent.__main__; print({'torch', 'onnxruntime'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "set()"
