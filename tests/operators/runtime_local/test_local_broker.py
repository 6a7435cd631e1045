"""Both brokers as real processes: who proves a principal gets in as itself, and keeps to its own topics."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from umiak_operators.runtime.local.broker import Broker, find_mosquitto
from umiak_operators.runtime.local.container import accepts
from umiak_operators.runtime.local.files import write_private
from umiak_operators.runtime.local.ports import PortBook
from umiak_workers.contract import topics
from umiak_workers.contract.identity import Principal, password

pytestmark = pytest.mark.processes
KEY = bytes(range(32))
ROUTER = Principal("yard", "gate", "edge-1", "router")
AGENT = Principal("yard", "gate", "edge-1", "agent")
HUB = Principal("-", "-", "-", "hub")
ALL = (ROUTER, AGENT, HUB)


class Running:
    """A broker process, and clients of it."""

    def __init__(self, broker: Broker, port: int) -> None:
        self.broker, self.port = broker, port
        argv = [sys.executable if part == "python3" else part for part in broker.pod().containers[0].argv]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def client(self, principal: Principal, secret: str | None = None, client_id: str | None = None) -> "Client":
        return Client(self.port, principal, secret or password(KEY, principal), client_id or str(principal))


class Client:
    """A connected or refused client."""

    def __init__(self, port: int, principal: Principal, secret: str, client_id: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.answered, self.accepted, self.news = threading.Event(), False, threading.Event()
        self._mqtt = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311)
        self._mqtt.username_pw_set(str(principal), secret)
        self._mqtt.on_connect = self._connected
        self._mqtt.on_disconnect = lambda *_: self.answered.set()
        self._mqtt.on_message = self._message
        self._mqtt.connect("127.0.0.1", port)
        self._mqtt.loop_start()
        assert self.answered.wait(10)

    def subscribe(self, pattern: str) -> None:
        done = threading.Event()
        self._mqtt.on_subscribe = lambda *_: done.set()
        self._mqtt.subscribe(pattern, qos=1)
        assert done.wait(10)

    def say(self, topic: str, text: bytes) -> None:
        self._mqtt.publish(topic, text, qos=1, retain=True).wait_for_publish(10)

    def close(self) -> None:
        self._mqtt.disconnect()
        self._mqtt.loop_stop()

    def _connected(self, client: object, userdata: object, flags: object, reason: object, props: object) -> None:
        self.accepted = not getattr(reason, "is_failure", True)
        self.answered.set()

    def _message(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        self.heard.append((message.topic, message.payload))
        self.news.set()


@pytest.fixture(params=["mosquitto", "amqtt"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    program = find_mosquitto() if request.param == "mosquitto" else None
    if request.param == "mosquitto" and program is None:
        pytest.skip("mosquitto is not installed")
    write_private(tmp_path / "operator.key", KEY.hex().encode())
    port = PortBook(tmp_path / "ports.json", None).port("platform", "broker")
    broker = Broker(tmp_path / "broker", tmp_path / "operator.key", KEY, port, program)
    assert broker.kind == request.param
    broker.admit(ALL)
    made = Running(broker, port)

    async def listening() -> None:
        while not await accepts(f"mqtt://127.0.0.1:{port}"):
            assert made.process.poll() is None, "the broker ended"
            await asyncio.sleep(0.05)

    try:
        asyncio.run(asyncio.wait_for(listening(), 20))
        yield made
    finally:
        made.process.terminate()
        made.process.wait(10)


def test_who_proves_itself_gets_in_and_others_do_not(running: Running) -> None:
    router = running.client(ROUTER)
    assert router.accepted
    router.close()
    stranger = running.client(ROUTER, secret=password(bytes(32), ROUTER))
    assert not stranger.accepted
    stranger.close()


def test_each_hears_and_says_only_what_is_its_own(running: Running) -> None:
    hub, router, agent = (running.client(one) for one in (HUB, ROUTER, AGENT))
    hub.subscribe("umiak/v1/#")
    agent.subscribe("umiak/v1/yard/#")  # more than an agent may hear
    agent.subscribe(topics.line_hint("yard/scene"))
    router.say(topics.presence("yard", "gate", "edge-2"), b"not mine")
    router.say(topics.presence("yard", "gate", "edge-1"), b"mine")
    assert hub.news.wait(10)
    hub.say(topics.line_hint("yard/scene"), b"7")
    assert agent.news.wait(10)
    assert [heard for heard in hub.heard if heard[1] != b"7"] == [(topics.presence("yard", "gate", "edge-1"), b"mine")]
    assert agent.heard == [(topics.line_hint("yard/scene"), b"7")]
    for client in (hub, router, agent):
        client.close()


def test_a_newcomer_is_admitted_while_others_stay_connected(running: Running) -> None:
    hub = running.client(HUB)
    other = Principal("yard", "gate", "edge-9", "router")
    if running.broker.admit((*ALL, other)):
        assert not running.broker.admit((*ALL, other))
        os.kill(running.process.pid, signal.SIGHUP)
    hub.subscribe(topics.EVERY_PRESENCE)
    newcomer = admitted(running, other)
    newcomer.say(topics.presence("yard", "gate", "edge-9"), b"here")
    assert hub.news.wait(10)
    assert hub.heard[0][1] == b"here"
    newcomer.close()
    hub.close()


def admitted(running: Running, principal: Principal) -> Client:
    """Connect, with a moment for the reload to happen."""
    for _ in range(50):
        client = running.client(principal)
        if client.accepted:
            return client
        client.close()
        threading.Event().wait(0.1)
    raise AssertionError("never admitted")
