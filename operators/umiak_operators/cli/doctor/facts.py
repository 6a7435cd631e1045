"""What was read of a cluster, before anybody judges it: plain objects, no secret among them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from umiak_operators.api import conditions as api_conditions
from umiak_operators.plan.platform import NAMESPACE

Obj = Mapping[str, Any]
Objects = tuple[Obj, ...]
PARTS: Final = ("operator", "hub", "signer", "broker", "gateway")
KEYS: Final = "umiak-keys"
KEY_FILES: Final = ("operator.key", "signing.key")


@dataclass(frozen=True)
class Gap:
    """What could not be read."""

    what: str
    right: str = ""
    """What `kubectl auth can-i` takes; empty when rights were not the reason."""
    message: str = ""


@dataclass(frozen=True)
class Certificate:
    """A certificate chain, without its key."""

    names: tuple[str, ...]
    begins: float
    ends: float
    self_signed: bool
    gap_in_chain: bool
    """A certificate in the file was not issued by the one after it."""
    fits_key: bool
    authority: Literal["none", "fits", "other"]
    """Whether the Secret's `ca.crt`, which edges are told to trust, issued it; none: there is no such file."""
    fingerprint: str
    """SHA-256 of the first certificate."""


@dataclass(frozen=True)
class Secret:
    """A Secret without its values."""

    keys: frozenset[str]
    """Those that hold something."""
    faults: tuple[str, ...] = ()
    """Why a value cannot be used."""
    certificate: Certificate | None = None
    authorities: str = ""
    """Its `ca.crt` (PEM): public, edges are told to trust it."""


@dataclass(frozen=True)
class Reach:
    """How an outside address answered this machine."""

    part: Literal["gateway", "broker"]
    url: str
    failure: Literal["", "name", "refused", "timeout", "tls", "answer"] = ""
    message: str = ""
    untrusted: str = ""
    """Why this machine does not trust the certificate that was shown."""
    fingerprint: str = ""


@dataclass(frozen=True)
class Figure:
    """One sample of the hub's metrics."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Facts:
    """None: could not be read (there is a Gap that says why)."""

    now: float
    """Seconds since the epoch, by this machine's clock."""
    version: str
    """Of this command."""
    namespace: str = NAMESPACE
    server: str = ""
    server_version: str | None = None
    server_ahead: float | None = None
    """Seconds by which the API server's clock is ahead of this machine's."""
    packaged: Mapping[str, Obj] = field(default_factory=dict)
    """Definitions as this version has them, by name."""
    definitions: Objects | None = None
    namespaces: Objects | None = None
    nodes: Objects | None = None
    leases: Objects | None = None
    resources: Objects | None = None
    deployments: Objects | None = None
    pods: Objects | None = None
    jobs: Objects | None = None
    claims: Objects | None = None
    services: Objects | None = None
    storage_classes: Objects | None = None
    events: Objects = ()
    """Warnings of the namespaces that matter."""
    configs: frozenset[str] | None = None
    """ConfigMaps of the chart that are there."""
    platform: Mapping[str, Any] | None = None
    secrets: Mapping[str, Secret | None] = field(default_factory=dict)
    """None: there is none of that name. A name that is absent was not read."""
    last_words: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    """(namespace, pod, container) -> last line of the log of a container that ends again and again."""
    figures: tuple[Figure, ...] | None = None
    reaches: tuple[Reach, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def api_now(self) -> float:
        """Now by the API server's clock, which dates everything that is read there."""
        return self.now + (self.server_ahead or 0.0)

    def age(self, stamp: str | None) -> float | None:
        """Seconds since an RFC 3339 time of the API server; None without one."""
        when = seconds_of(stamp)
        return None if when is None else self.api_now - when

    def helm(self, *settings: str) -> str:
        """The command that changes values of the installation and keeps the rest."""
        said = "".join(f" --set {setting}" for setting in settings)
        return f"helm upgrade umiak charts/umiak -n {self.namespace} --reset-then-reuse-values{said}"

    def own(self, kind: Objects | None) -> Iterator[Obj]:
        """Those of the installation's namespace."""
        return (body for body in kind or () if namespace_of(body) == self.namespace)

    def deployment(self, part: str) -> Obj | None:
        """The Deployment of a part of the installation."""
        return next((body for body in self.own(self.deployments) if name_of(body) == f"umiak-{part}"), None)

    def events_of(self, body: Obj, kind: str) -> list[Obj]:
        """Warnings about an object, the newest first."""
        wanted = (kind, namespace_of(body), name_of(body))
        found = [event for event in self.events if _about(event) == wanted]
        return sorted(found, key=_when, reverse=True)


def name_of(body: Obj) -> str:
    return str(body["metadata"]["name"])


def namespace_of(body: Obj) -> str:
    return str(body["metadata"].get("namespace", ""))


def labels_of(body: Obj) -> Mapping[str, str]:
    return body["metadata"].get("labels") or {}


def status_of(body: Obj) -> Mapping[str, Any]:
    return body.get("status") or {}


def condition_of(body: Obj, kind: str) -> Mapping[str, Any]:
    """A condition by type; empty if it is not there."""
    return api_conditions.find(status_of(body).get("conditions") or (), kind) or {}


def subject_of(kind: str, body: Obj) -> str:
    """`Kind namespace/name`, or `Kind name`."""
    space = namespace_of(body)
    return f"{kind} {space}/{name_of(body)}" if space else f"{kind} {name_of(body)}"


def seconds_of(stamp: str | None) -> float | None:
    """Seconds since the epoch; None for what is no RFC 3339 time."""
    try:
        return datetime.fromisoformat(stamp).timestamp() if stamp else None
    except ValueError:
        return None


def span(seconds: float) -> str:
    """A duration as a person says it: `42 s`, `7 min`, `3 h`, `12 days`."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} days"


def few(items: list[str], most: int = 3) -> str:
    """Some of many names."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")


def _about(event: Obj) -> tuple[str, str, str]:
    about = event.get("involvedObject") or {}
    return str(about.get("kind", "")), str(about.get("namespace", "")), str(about.get("name", ""))


def _when(event: Obj) -> str:
    series = event.get("series") or {}
    return str(event.get("lastTimestamp") or series.get("lastObservedTime") or event.get("eventTime") or "")
