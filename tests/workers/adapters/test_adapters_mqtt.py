"""The link to a real mosquitto: presence, last will, facts after an outage, hints, and no cost while it is away."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from umiak_workers.adapters.mqtt import MqttLink, Note, address
from umiak_workers.contract.errors import ConfigError

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


class Broker:
    """A real mosquitto on loopback that can be killed and started again."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"mqtt://127.0.0.1:{port}"
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait(10)


def until(said: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def broker(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Broker]:
    made = Broker(tmp_path, free_port())
    made.start()
    yield made
    made.kill()


@pytest.fixture
def link(broker: Broker) -> Iterator[Callable[..., MqttLink]]:
    """`link(name, will)` -> a started link."""
    made: list[MqttLink] = []

    def make(name: str, will: Note | None = None, start: bool = True) -> MqttLink:
        made.append(MqttLink(broker.url, f"n/r/{name}/router", "secret", will, keepalive_seconds=5))
        if start:
            made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop(None)


@needs_broker
@pytest.mark.processes
def test_presence_summaries_and_a_clean_farewell(link: Callable[..., MqttLink]) -> None:
    heard: list[tuple[str, bytes]] = []
    listener = link("ear")
    listener.subscribe("u/#", lambda topic, payload: heard.append((topic, payload)))
    speaker = link("mouth", will=Note("u/presence", b"lost", retain=True), start=False)
    assert not speaker.publish(Note("u/early", b"said before the connection"))
    speaker.start()
    speaker.publish(Note("u/presence", b"up", retain=True))
    until(lambda: ("u/presence", b"up") in heard)
    assert speaker.publish(Note("u/summary", b"x" * 1024))
    until(lambda: ("u/summary", b"x" * 1024) in heard)
    speaker.stop(Note("u/presence", b"down", retain=True))
    until(lambda: ("u/presence", b"down") in heard)
    assert ("u/presence", b"lost") not in heard
    with pytest.raises(ValueError, match="1025"):
        speaker.publish(Note("u/summary", b"x" * 1025))


@needs_broker
@pytest.mark.processes
def test_facts_and_subscriptions_survive_a_killed_broker(broker: Broker, link: Callable[..., MqttLink]) -> None:
    heard: list[bytes] = []
    speaker, listener = link("mouth"), link("ear")
    listener.subscribe("u/fact", lambda topic, payload: heard.append(payload))
    speaker.publish(Note("u/fact", b"1", retain=True))
    until(lambda: heard == [b"1"])
    broker.kill()
    until(lambda: not speaker.connected)
    begun = time.monotonic()
    for number in range(2000):
        assert not speaker.publish(Note("u/fact", str(number).encode(), retain=True))
        assert not speaker.publish(Note("u/summary", b"lost"))
    assert time.monotonic() - begun < 2, "an absent broker costs nothing"
    broker.start()
    until(lambda: heard[-1] == b"1999", 40)


def test_a_link_to_nowhere_starts_and_stops_at_once(free_port: Callable[[], int]) -> None:
    lonely = MqttLink(f"mqtt://127.0.0.1:{free_port()}", "n/r/e/router", "x", None, keepalive_seconds=5)
    begun = time.monotonic()
    lonely.start()
    assert not lonely.publish(Note("u/fact", b"1", retain=True))
    lonely.stop(Note("u/fact", b"0"))
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("url", ["http://h:1", "mqtt://", "mqtt://h:notaport", "h:1883"])
def test_a_wrong_address_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match="mqtt://host:port"):
        address(url)


def test_addresses_and_their_default_ports() -> None:
    assert address("mqtt://broker") == ("broker", 1883, False)
    assert address("mqtts://broker") == ("broker", 8883, True)
    assert address("mqtts://broker:99") == ("broker", 99, True)
