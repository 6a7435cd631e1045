"""One connection to the broker, in paho's own thread, that costs its owner nothing while the broker is away.

MQTT carries hints and small facts; losing any loses nothing. So nothing is queued for a broker that is away, except
that the last retained fact of each topic is remembered and said again on every connect ("latest wins").
"""

import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from umiak_workers.adapters.trust import trusting
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.topics import LARGEST

Handler = Callable[[str, bytes], None]
"""(topic, payload); called in the link's own thread: hand over to an event loop with `call_soon_threadsafe`."""
MOST_WAITING = 256
"""messages that paho may hold while the link is up but slow"""
MOST_FACTS = 10_000
FAREWELL_SECONDS = 0.5
log = structlog.get_logger()


@dataclass(frozen=True)
class Note:
    """One message: `retain` makes it a fact that late subscribers see."""

    topic: str
    payload: bytes
    retain: bool = False


class Link(Protocol):
    """What roles use of a broker."""

    def publish(self, note: Note) -> bool:
        """Say it if the broker is there; False if it was not handed over. Never blocks."""
        ...

    def subscribe(self, pattern: str, handler: Handler) -> None:
        """Hear everything that matches `pattern`, now and after every reconnect."""
        ...


def address(url: str) -> tuple[str, int, bool]:
    """(host, port, TLS) of `mqtt://host:port` or `mqtts://host:port`; raises ConfigError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"endpoints.json: {url!r} is not mqtt://host:port") from error
    if parts.scheme not in ("mqtt", "mqtts") or not host:
        raise ConfigError(f"endpoints.json: {url!r} is not mqtt://host:port or mqtts://host:port")
    tls = parts.scheme == "mqtts"
    return host, port or (8883 if tls else 1883), tls


class MqttLink:
    """A link as `principal` (client id and user name alike). `will` is said by the broker when the link breaks.

    `trust`: whom it believes behind an mqtts address, None: the authorities of this machine.
    """

    def __init__(
        self,
        url: str,
        principal: str,
        password: str,
        will: Note | None,
        keepalive_seconds: int,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port, tls = address(url)
        self._keepalive = keepalive_seconds
        self._handlers: dict[str, Handler] = {}
        self._facts: dict[str, Note] = {}
        self._lock = threading.Lock()
        self._trouble = ""
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=principal, protocol=paho.MQTTv311, clean_session=True
        )
        self._client.username_pw_set(principal, password)
        if tls:
            self._client.tls_set_context(trust or trusting("", "this machine"))
        if will:
            self._client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        self._client.max_queued_messages_set(MOST_WAITING)
        self._client.reconnect_delay_set(1, 30)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_connect_fail = self._unreached
        self._client.on_message = self._heard

    @property
    def connected(self) -> bool:
        """Whether the broker accepted us and has not gone since."""
        return bool(self._client.is_connected())

    def start(self) -> None:
        """Connect in the background, now and after every loss."""
        self._client.connect_async(self._host, self._port, self._keepalive)
        self._client.loop_start()

    def stop(self, farewell: Note | None) -> None:
        """Say `farewell` (a clean disconnect does not trigger the will) and end the thread, within about a second."""
        if farewell and self.connected:
            said = self._client.publish(farewell.topic, farewell.payload, qos=1, retain=farewell.retain)
            if said.rc == paho.MQTT_ERR_SUCCESS:
                said.wait_for_publish(FAREWELL_SECONDS)
        self._client.disconnect()
        stopper = threading.Thread(target=self._client.loop_stop, daemon=True)  # may sit in a connect that hangs
        stopper.start()
        stopper.join(FAREWELL_SECONDS)
        # Without a way back to us paho's client goes, and closes its sockets, when the last one lets go of it.
        self._client.on_connect = self._client.on_disconnect = self._client.on_message = None
        self._client.on_connect_fail = None

    def publish(self, note: Note) -> bool:
        """See Link.publish. A retained note is remembered and said again on every connect; an empty one forgets."""
        if len(note.payload) > LARGEST:
            raise ValueError(f"{note.topic}: {len(note.payload)} bytes, messages have at most {LARGEST}")
        if note.retain:
            self._remember(note)
        return self.connected and self._say(note)

    def subscribe(self, pattern: str, handler: Handler) -> None:
        """See Link.subscribe."""
        with self._lock:
            self._handlers[pattern] = handler
        if self.connected:
            self._client.subscribe(pattern, qos=1)

    def _remember(self, note: Note) -> None:
        with self._lock:
            self._facts.pop(note.topic, None)
            self._facts[note.topic] = note
            while len(self._facts) > MOST_FACTS:
                self._facts.pop(next(iter(self._facts)))

    def _say(self, note: Note) -> bool:
        said = self._client.publish(note.topic, note.payload, qos=1 if note.retain else 0, retain=note.retain)
        return bool(said.rc == paho.MQTT_ERR_SUCCESS)

    def _connected(
        self, client: paho.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            log.warning("the broker refuses us", reason=str(reason))
            return
        self._trouble = ""
        with self._lock:
            patterns, facts = list(self._handlers), list(self._facts.values())
        for pattern in patterns:
            client.subscribe(pattern, qos=1)
        for fact in facts:
            self._say(fact)
        log.info("broker connected", host=self._host, port=self._port)

    def _unreached(self, client: paho.Client, userdata: Any) -> None:
        """Called while paho handles the error; the same one again is not said again."""
        trouble = str(sys.exc_info()[1])
        if trouble != self._trouble:
            log.warning("the broker is not reached", host=self._host, port=self._port, reason=trouble)
        self._trouble = trouble

    def _disconnected(
        self, client: paho.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            log.warning("broker lost", reason=str(reason))

    def _heard(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        with self._lock:
            handlers = [
                handler for pattern, handler in self._handlers.items() if paho.topic_matches_sub(pattern, message.topic)
            ]
        for handler in handlers:
            handler(message.topic, bytes(message.payload))
