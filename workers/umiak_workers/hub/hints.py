"""Hints over MQTT: "look at the hub". Nothing depends on them; everything also works by polling alone.

Wanted retained messages stand in the database; this sends what is not yet sent, clears what is no longer wanted, and
listens to edges' births and last wills.
"""

import json
import threading
from typing import Protocol

import structlog
from sqlalchemy import delete, select

from umiak_workers.adapters.mqtt import Handler, Note
from umiak_workers.contract import topics
from umiak_workers.contract.errors import MessageError
from umiak_workers.hub import owners, tables
from umiak_workers.hub.hub import Hub

log = structlog.get_logger()


class Broker(Protocol):
    """What is used of a broker's link."""

    def publish(self, note: Note) -> bool:
        """Say it; False when it was not handed over."""
        ...

    def subscribe(self, pattern: str, handler: Handler) -> None:
        """Hear it."""
        ...


class Hints:
    """The hub's voice and ear at the broker."""

    def __init__(self, hub: Hub, broker: Broker) -> None:
        self._hub, self._broker = hub, broker
        self._said: dict[str, str | None] = {}
        self._lock = threading.Lock()
        self._strays: set[str] = set()

    def start(self) -> None:
        """Listen to presence."""
        self._broker.subscribe(topics.EVERY_PRESENCE, self.heard)

    def send(self) -> None:
        """Say every wanted retained message that was not said yet; a cleared one is forgotten once it was said."""
        if self._hub.hints_wanted.is_set():
            self._hub.hints_wanted.clear()
            done = False
            try:
                done = self._send_all()
            finally:
                if not done:
                    self._hub.hints_wanted.set()
        with self._lock:
            strays, self._strays = self._strays, set()
        try:
            for topic in strays:
                self._clear_stray(topic)
        except BaseException:
            with self._lock:
                self._strays |= strays
            raise

    def _send_all(self) -> bool:
        with self._hub.database.read() as sql:
            wanted = {row.topic: row.payload for row in sql.execute(select(tables.hints))}
        done = True
        for topic, payload in wanted.items():
            if topic in self._said and self._said[topic] == payload:
                continue
            if not self._broker.publish(Note(topic, (payload or "").encode(), retain=True)):
                done = False
                continue
            self._said[topic] = payload
            if payload is None:
                self._forget(topic)
        return done

    def _forget(self, topic: str) -> None:
        cleared = (tables.hints.c.topic == topic, tables.hints.c.payload.is_(None))
        with self._hub.database.write() as sql:
            sql.execute(delete(tables.hints).where(*cleared))
        self._said.pop(topic, None)

    def heard(self, topic: str, payload: bytes) -> None:
        """A birth or a last will, in the link's thread."""
        if not payload:
            return
        try:
            found = topics.Topic.parse(topic)
            up = bool(json.loads(payload)["up"])
        except (MessageError, ValueError, KeyError, TypeError):
            log.warning("not a presence message", topic=topic)
            return
        self._hub.reports.presence((found.namespace, found.resource, found.edge), up)
        with self._lock:
            self._strays.add(topic)

    def _clear_stray(self, topic: str) -> None:
        """A last will that outlives its JointInference leaves the broker again."""
        found = topics.Topic.parse(topic)
        with self._hub.database.read() as sql:
            spec = owners.joint_inference(sql, found.namespace, found.resource)
        if spec is None or found.edge not in spec.edges:
            self._broker.publish(Note(topic, b"", retain=True))
