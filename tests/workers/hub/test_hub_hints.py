"""Hints over a real broker: retained while wanted, said again after an outage, cleared with their owner (I7)."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_kit import HubKit, eventually, free_port

from umiak_workers.adapters.mqtt import MqttLink, Note
from umiak_workers.contract import topics
from umiak_workers.contract.endpoints import BROKER
from umiak_workers.contract.messages import LiveSettings

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed"),
]
Models = Callable[[int], tuple[Path, str]]


class Broker:
    """A real mosquitto without persistence."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"mqtt://127.0.0.1:{port}"
        self.config = folder / "mosquitto.conf"
        self.config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n")

    def start(self) -> None:
        assert MOSQUITTO
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(self.config)], stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def heard(broker: Broker) -> Iterator[dict[str, bytes]]:
    """The last message of every topic, kept up to date."""
    found: dict[str, bytes] = {}
    link = MqttLink(broker.url, "-/-/-/viewer", "x", None, keepalive_seconds=5)
    link.subscribe("umiak/#", found.__setitem__)
    link.start()
    eventually(lambda: link.connected)
    yield found
    link.stop(None)


def edge_link(broker: Broker, hub: HubKit, edge: str, up: bool = True) -> MqttLink:
    """A router's link with its last will, already born."""
    topic = topics.presence(hub.namespace, "watch", edge)

    def note(is_up: bool) -> Note:
        return Note(topic, json.dumps({"up": is_up, "at": 0}).encode(), retain=True)

    link = MqttLink(broker.url, f"{hub.namespace}/watch/{edge}/router", "x", note(False), keepalive_seconds=5)
    link.publish(note(up))
    link.start()
    eventually(lambda: link.connected)
    return link


def test_heads_and_settings_are_hinted_until_their_owner_goes(
    broker: Broker, heard: dict[str, bytes], new_hub: Callable[..., HubKit], models: Models
) -> None:
    hub = new_hub({BROKER: broker.url})
    (folder, first), (other, second) = models(0), models(1)
    line, live = topics.line_hint(hub.line), topics.settings_hint(hub.namespace, "watch")
    spec = hub.joint_inference(folder.as_uri(), first, settings=LiveSettings(settings_version=7))
    hub.with_head(spec)
    eventually(lambda: (heard.get(line), heard.get(live)) == (b"1", b"7"))
    hub.client("operator").push_model(other)
    hub.put(hub.patch(first, second))
    hub.sign_all()
    eventually(lambda: heard.get(line) == b"2")
    broker.stop()
    heard.clear()
    broker.start()
    eventually(lambda: (heard.get(line), heard.get(live)) == (b"2", b"7"), 40)
    broker.stop()
    hub.drop(spec)
    heard.clear()
    hub.restart()
    broker.start()
    eventually(lambda: not retained(broker, line) and not retained(broker, live), 40)


def retained(broker: Broker, topic: str) -> bytes:
    """The retained message of a topic, as a newcomer hears it."""
    found: list[bytes] = []
    link = MqttLink(broker.url, "-/-/late/viewer", "x", None, keepalive_seconds=5)
    link.subscribe(topic, lambda _, payload: found.append(payload))
    link.subscribe("umiak/test/end", lambda _, payload: found.append(b""))
    link.start()
    eventually(lambda: link.connected)
    eventually(lambda: link.publish(Note("umiak/test/end", b"x")) and found)
    link.stop(None)
    return found[0]


def test_a_last_will_is_believed_before_silence_and_leaves_with_its_owner(
    broker: Broker, heard: dict[str, bytes], new_hub: Callable[..., HubKit]
) -> None:
    hub = new_hub({BROKER: broker.url}, silence_seconds=600)
    spec = hub.replay_of_one()
    topic = topics.presence(hub.namespace, "watch", "edge-1")
    hub.client("agent").put_agent_state(hub.namespace, "watch", "edge-1", hub.agent_state(None))
    assert hub.view(spec).edges[0].reporting
    cursor = eventually(lambda: hub.changes(0).cursor)
    link = edge_link(broker, hub, "edge-1")
    link._client.loop_stop()  # the process stands still, then its socket goes: no farewell, no reconnect
    link._client.socket().close()
    eventually(lambda: not hub.view(spec).edges[0].reporting)
    eventually(lambda: hub.changes(cursor, 5).owners)
    hub.client("agent").put_agent_state(hub.namespace, "watch", "edge-1", hub.agent_state(None))
    assert hub.view(spec).edges[0].reporting
    link.stop(None)
    hub.drop(spec)
    eventually(lambda: retained(broker, topic) == b"")
    stray = edge_link(broker, hub, "edge-1", up=False)
    stray.stop(None)
    eventually(lambda: retained(broker, topic) == b"")


def test_without_a_broker_everything_goes_on(new_hub: Callable[..., HubKit], models: Models) -> None:
    hub = new_hub({BROKER: f"mqtt://127.0.0.1:{free_port()}"})
    folder, digest = models(0)
    assert hub.with_head(hub.joint_inference(folder.as_uri(), digest)).digest == digest
    assert hub.role.stop() == 0
