"""`status.json` of a running local world: `umiak up` writes it, `umiak infer` and the demo read it."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from umiak_workers.contract.wire import Message

STATUS_FILE = "status.json"


def last_world(environment: Mapping[str, str], home: PurePath) -> PurePath:
    """The file that names the state folder of the world that was started last (`$XDG_STATE_HOME/umiak/last-world`)."""
    base = environment.get("XDG_STATE_HOME")
    return (PurePath(base) if base else home / ".local" / "state") / "umiak" / "last-world"


class ContainerStatus(Message):
    """One supervised process."""

    name: str
    pid: int | None = None
    ready: bool = False
    restarts: int = 0
    address: str | None = None
    """URL of its own listener, where it has one."""
    message: str = ""
    """Why it is not ready, or how it ended last."""


class PodStatus(Message):
    """One pod of the local world."""

    name: str
    component: str
    """edge, cloud, trainer, hub, signer"""
    edge: str | None = None
    owner: str = ""
    """`Kind/namespace/name` of the resource it belongs to; empty for the platform's own."""
    containers: tuple[ContainerStatus, ...] = ()


class ResourceStatus(Message):
    """One custom resource with its status as `kubectl get -o json` would show it."""

    kind: str
    namespace: str
    name: str
    generation: int = 1
    status: dict[str, Any] = {}


class World(Message):
    """Everything a client on this machine needs to find its way."""

    version: int = 1
    at: float
    pid: int
    broker: str = ""
    """Which broker runs: `mosquitto` or `amqtt`."""
    endpoints: dict[str, str] = {}
    """Symbolic endpoint -> URL: umiak://hub, umiak://broker, umiak://cloud/<ns>/<name>."""
    routers: dict[str, str] = {}
    """`<namespace>/<resource>/<edge>` -> URL of its router."""
    pods: tuple[PodStatus, ...] = ()
    resources: tuple[ResourceStatus, ...] = ()
    viewer_token_file: str = ""
    """Token of `-/-/-/viewer`."""
    operator_key_file: str = ""
    """The HMAC key of this world; readable by the one who started it."""
