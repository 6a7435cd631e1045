"""MQTT topics: `umiak/v1/<namespace>/<kind>/<resource>/<edge>/<verb>`, built and parsed only here.

MQTT carries hints and small facts (<= 1 KB). Losing any of them loses nothing: bytes and promises travel by HTTP.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from umiak_workers.contract.errors import MessageError

Verb = Literal["presence", "summary", "hint"]
"""presence: retained `{"up": bool, "at": s}`, also the last will. summary: an Answer. hint: look at the hub."""

LARGEST = 1024
"""bytes"""


@dataclass(frozen=True)
class Topic:
    """One topic. `kind` is `jointinference` for edges and `line` for release hints (edge is `-` then)."""

    namespace: str
    kind: str
    resource: str
    edge: str
    verb: Verb

    def __str__(self) -> str:
        return f"umiak/v1/{self.namespace}/{self.kind}/{self.resource}/{self.edge}/{self.verb}"

    @classmethod
    def parse(cls, text: str) -> "Topic":
        """Raises MessageError unless `text` is one of ours."""
        parts = text.split("/")
        if len(parts) != 7 or parts[:2] != ["umiak", "v1"] or parts[6] not in get_args(Verb):
            raise MessageError(f"not a topic of ours: {text!r}")
        return cls(parts[2], parts[3], parts[4], parts[5], parts[6])  # type: ignore[arg-type]


def presence(namespace: str, resource: str, edge: str) -> str:
    """Birth and last will of an edge's router (retained)."""
    return str(Topic(namespace, "jointinference", resource, edge, "presence"))


def summary(namespace: str, resource: str, edge: str) -> str:
    """Answer summaries of an edge (not retained)."""
    return str(Topic(namespace, "jointinference", resource, edge, "summary"))


def line_hint(line: str) -> str:
    """A line's head moved (retained: its sequence)."""
    namespace, _, name = line.partition("/")
    return str(Topic(namespace, "line", name, "-", "hint"))


def settings_hint(namespace: str, resource: str) -> str:
    """Live settings of a JointInference changed (retained: their version)."""
    return str(Topic(namespace, "jointinference", resource, "-", "hint"))


EVERY_PRESENCE = "umiak/v1/+/jointinference/+/+/presence"
EVERY_SUMMARY = "umiak/v1/+/jointinference/+/+/summary"
