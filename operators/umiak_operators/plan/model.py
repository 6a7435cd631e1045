"""The two nouns between deciding and doing: what was seen, and what should be.

`desired(resource, seen, now) -> Plan` is pure; a runtime makes an `Observed`, and makes a `Plan` come true.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from umiak_operators.api.resource import Resource
from umiak_workers.contract.fleet import FleetSpec, FleetView

Readiness = Literal["Ready", "Progressing", "Failed", "Succeeded"]
"""Deployments: Ready | Progressing | Failed. Jobs: Progressing | Succeeded | Failed. Others: Ready once they exist."""


@dataclass(frozen=True)
class Node:
    """A node as far as placing edges needs it."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ready: bool = True


@dataclass(frozen=True)
class Child:
    """A child as seen: never its body, only what decisions need."""

    kind: str
    name: str
    uid: str
    readiness: Readiness
    message: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Only those under our own prefix (`names.PREFIX`), for example a Job's base digest and watermark."""


@dataclass(frozen=True)
class SecretKey:
    """One key of a Secret that somebody else keeps; it is mounted, never read here."""

    secret: str
    key: str


@dataclass(frozen=True)
class Platform:
    """What the operator was told about the installation: images, outside addresses, keys. The same for every owner."""

    images: Mapping[str, str]
    """role -> image (operator, edge, cloud, trainer, hub, signer)."""
    endpoints: Mapping[str, str]
    """Symbolic endpoint -> URL as *edges* see it (`umiak://hub` = the https gateway, `umiak://broker` = mqtts).

    `umiak://cloud/<namespace>/<resource>` is looked up first, then `umiak://cloud` with that path appended, then the
    cloud worker's Service.
    """
    inside: Mapping[str, str]
    """The same as pods beside the hub see it; falls back to `endpoints`."""
    operator_key: bytes
    """HMAC key for tokens."""
    trusted_keys: tuple[str, ...]
    """Ed25519 public keys of the signer, base64."""
    state_volume: Literal["hostPath", "persistentVolumeClaim"] = "hostPath"
    storage_class: str | None = None
    state_size: str = "4Gi"
    """Size of an edge's claim."""
    host_path_root: str = "/var/lib/umiak"
    ca: str = ""
    """Authorities (PEM) that pods trust beside those of their image, wherever they dial with TLS; empty: none."""
    hub_database: SecretKey | None = None
    """The URL of the hub's PostgreSQL; None: SQLite in the hub's claim."""


@dataclass(frozen=True)
class Observed:
    """What a runtime has seen for one owner."""

    platform: Platform
    children: tuple[Child, ...] = ()
    related: tuple[Resource, ...] = ()
    """Other resources of the namespace that the decision depends on (all three kinds, without the owner)."""
    nodes: tuple[Node, ...] = ()
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    fleet: FleetView | None = None
    """The hub's view; None while the hub has not answered (`FleetObserved=Unknown`)."""


@dataclass(frozen=True)
class Plan:
    """What should be: children as Kubernetes objects, the hub's part, the status to report, when to look again."""

    children: tuple[Mapping[str, Any], ...] = ()
    fleet: FleetSpec | None = None
    status: Mapping[str, Any] = field(default_factory=dict)
    again_at: float | None = None
    """Seconds since the epoch."""
