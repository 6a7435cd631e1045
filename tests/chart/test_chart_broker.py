"""The chart's broker config in a real mosquitto: TLS outside, one account for each edge, nobody else's topics."""

import gc
import os
import queue
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certificate
import control_plane
import pytest
import structlog.testing
from apiserver_kit import eventually
from chart_kit import VALUES, Helm, absent, chosen

from umiak_operators.cli import broker_accounts
from umiak_operators.plan import names
from umiak_operators.runtime.local.broker import Broker, find_mosquitto
from umiak_workers.adapters.mqtt import MqttLink, Note
from umiak_workers.contract import topics
from umiak_workers.contract.identity import Principal, password

KEY = b"k" * 32
HUB = broker_accounts.HUB
ROUTER, AGENT = (Principal("yard", "yard", "edge-1", role) for role in ("router", "agent"))
OTHER = Principal("yard", "yard", "edge-2", "router")


@dataclass
class Running:
    """A mosquitto with the chart's config at ports of this machine."""

    outside: int
    inside: int
    folder: Path
    broker: Broker
    ca: Path

    def link(self, who: Principal, inside: bool = False, secret: str = "", host: str = "127.0.0.1") -> MqttLink:
        """A connection as hub and edges make it."""
        url = f"mqtt://127.0.0.1:{self.inside}" if inside else f"mqtts://{host}:{self.outside}"
        return MqttLink(url, str(who), secret or password(KEY, who), None, 5, certificate.trust(self.ca))

    def admit(self, *who: Principal) -> None:
        """As the container beside it does."""
        broker_accounts.admit(self.broker, [who], self.folder)


@pytest.fixture(scope="module")
def running(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    program = find_mosquitto()
    if program is None:
        absent("mosquitto (apt-get install mosquitto)")
    folder = tmp_path_factory.mktemp("broker")
    outside, inside = control_plane.free_ports(2)
    ca = certificate.write(folder)
    text = chosen(helm.objects(VALUES), "ConfigMap", "umiak-broker")["data"]["mosquitto.conf"]
    moved = {"listener 8883": f"listener {outside} 127.0.0.1", "listener 1883": f"listener {inside} 127.0.0.1"}
    for old, new in {"/run/umiak": str(folder), "/etc/mosquitto/tls": str(folder), **moved}.items():
        assert old in text
        text = text.replace(old, new)
    root = "user root\n" if os.geteuid() == 0 else ""
    (folder / "mosquitto.conf").write_text(text + "\n" + root)
    found = Running(outside, inside, folder, Broker(folder, folder / "unused", KEY, 0, program), ca)
    found.admit(ROUTER, AGENT)
    with (folder / "log").open("ab") as log:
        command = control_plane.tied([str(program), "-c", str(folder / "mosquitto.conf")])
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        eventually((folder / "mosquitto.pid").exists, 10, "mosquitto's pid file")
        yield found
    finally:
        control_plane.end([process])


def test_an_edge_is_heard_on_its_own_topics_alone(running: Running) -> None:
    heard: queue.Queue[str] = queue.Queue()
    hub, router = running.link(HUB, inside=True), running.link(ROUTER)
    hub.subscribe("umiak/v1/#", lambda topic, payload: heard.put(topic))
    for link in (hub, router):
        link.start()
    eventually(lambda: hub.connected and router.connected, 10, "both are connected")
    time.sleep(0.3)
    router.publish(Note(topics.summary("yard", "yard", "edge-2"), b"{}"))
    router.publish(Note(topics.summary("yard", "yard", "edge-1"), b"{}"))
    assert heard.get(timeout=10) == topics.summary("yard", "yard", "edge-1")
    for link in (hub, router):
        link.stop(None)


@pytest.mark.parametrize(("who", "secret"), [(ROUTER, "0" * 64), (OTHER, "")], ids=["a wrong password", "no account"])
def test_others_stay_outside(running: Running, who: Principal, secret: str) -> None:
    link = running.link(who, secret=secret)
    link.start()
    time.sleep(1)
    assert not link.connected
    link.stop(None)


def test_an_edge_that_does_not_know_the_authority_tells_no_password(running: Running, tmp_path: Path) -> None:
    url = f"mqtts://127.0.0.1:{running.outside}"
    strangers = certificate.write(tmp_path)
    for trust in (None, certificate.trust(strangers)):
        link = MqttLink(url, str(ROUTER), password(KEY, ROUTER), None, 5, trust)
        assert "CERTIFICATE_VERIFY_FAILED" in said(link)


def test_the_name_is_verified(running: Running) -> None:
    assert "Hostname mismatch" in said(running.link(ROUTER, host="localhost")), "the certificate is for 127.0.0.1"


def said(link: MqttLink) -> str:
    """Why the broker is not reached, in the words of the log."""
    with structlog.testing.capture_logs() as logs:
        link.start()
        eventually(lambda: bool(logs), 10, "a line of the log")
        link.stop(None)
    assert not link.connected
    gc.collect()  # a socket that was left open would be said here
    return str(logs[0]["reason"])


def test_a_new_edge_is_admitted_without_a_restart(running: Running) -> None:
    late = running.link(OTHER)
    running.admit(ROUTER, AGENT, OTHER)
    late.start()
    eventually(lambda: late.connected, 10, "the new edge is connected")
    late.stop(None)


def test_who_speaks_in_an_edge_s_pods() -> None:
    node = "n" * 70 + ".site.example"
    fields = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    terms = {"nodeSelectorTerms": [{"matchFields": fields}]}
    pod = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}
    meta: dict[str, Any] = {"namespace": "a", "name": "d", "labels": {names.OWNER_NAME: "r", names.EDGE: "short"}}
    found = broker_accounts.edge({"metadata": meta, "spec": {"template": {"spec": pod}}})
    assert found is not None
    place, who = found
    assert place == ("a", "d")
    assert [str(one) for one in who] == [f"a/r/{node}/router", f"a/r/{node}/agent"]


@pytest.mark.parametrize(
    ("labels", "pod"),
    [
        ({}, {}),
        ({names.OWNER_NAME: "r"}, {}),
        ({names.OWNER_NAME: "r"}, {"affinity": None}),
        (
            {names.OWNER_NAME: "r"},
            {
                "affinity": {
                    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
                }
            },
        ),
    ],
)
def test_somebody_else_s_deployment_with_our_labels_stops_nobody(labels: dict[str, str], pod: dict[str, Any]) -> None:
    body = {"metadata": {"namespace": "a", "name": "d", "labels": labels}, "spec": {"template": {"spec": pod}}}
    assert broker_accounts.edge(body) is None
    assert broker_accounts.moved({}, {"type": "ADDED", "object": body}) is False
