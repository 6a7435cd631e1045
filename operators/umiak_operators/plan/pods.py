"""A pod of workers: each container sees its own config, token and keys; endpoint map, authorities and state volume are
shared.

The config's content and the authorities are inside the template's hash, so that a change of them replaces the pod;
endpoints, tokens, keys and what changes live are not.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from umiak_operators.api.joint_inference import Gpu
from umiak_operators.api.quantity import Amounts, Resources, amount
from umiak_operators.plan import names
from umiak_operators.plan.objects import (
    Obj,
    container,
    meta,
    mount,
    pod_spec,
    readiness,
    secret,
    secret_volume,
    template,
)
from umiak_workers.contract.config import CA_FILE, CONFIG_FILE, ENDPOINTS_FILE, TOKEN_FILE, Config
from umiak_workers.contract.identity import Principal, token

STATE = "state"
"""Name of the state volume in every pod that has one."""


@dataclass(frozen=True)
class Brought:
    """A Secret that somebody else keeps: `keys`, or all of them, are files of `folder`."""

    volume: str
    secret: str
    folder: str
    keys: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Part:
    """One container: what it runs, reads and may use."""

    role: str
    image: str
    config: Config
    principal: Principal
    resources: Resources
    state: bool = True
    """Whether it gets `--state`."""
    probed: bool = True
    """Whether it listens, so can be asked for readiness."""
    port: int | None = None
    """The port that others reach it at; None: loopback only, or no listener."""
    node_port: tuple[str, int] | None = None
    """Address and port of the node that lead to `port`."""
    keys: Mapping[str, bytes] = field(default_factory=dict)
    """Key files by file name."""
    brought: tuple[Brought, ...] = ()
    devices: tuple[str, ...] = ()
    """Extended resources of the node, one of each: a camera, a GPU."""
    environment: Mapping[str, str] = field(default_factory=dict)
    settled: Mapping[str, Any] | None = None
    """What of the config a running container cannot take over live; None: all of it."""


@dataclass(frozen=True)
class Pod:
    """A group of parts, each with a Secret of its own.

    Of its own, because KubeEdge answers only one of several questions for the same Secret that are asked at once, and
    the others wait for a minute: containers that mounted parts of one Secret started that late.
    """

    name: str
    labels: Mapping[str, str]
    parts: tuple[Part, ...]
    endpoints: Mapping[str, str]
    state_volume: Obj | None
    """The volume's source, for example `{"emptyDir": {}}`."""
    grace: int = 10
    authorities: str = ""
    """Certificates (PEM) that its clients trust as well."""
    gpu: Gpu | None = None
    """What the node must bring for the part that computes on it."""

    def digest(self) -> str:
        """Hash of what the parts read once at start."""
        trusted = {CA_FILE: self.authorities} if self.authorities else {}
        return names.short_hash({**{part.role: _settled(part) for part in self.parts}, **trusted})

    def template(self) -> Obj:
        """The pod template; callers add where it may run."""
        volumes = [
            secret_volume(_config_volume(part), self._secret_name(part), self._items(part)) for part in self.parts
        ]
        volumes += [
            secret_volume(its.volume, its.secret, _files_of(its)) for part in self.parts for its in part.brought
        ]
        if self.state_volume is not None:
            volumes.append({"name": STATE, **self.state_volume})
        containers = [_container(part) for part in self.parts]
        spec = pod_spec(containers, volumes, self.grace)
        if self.gpu and self.gpu.runtime_class_name:
            spec["runtimeClassName"] = self.gpu.runtime_class_name
        return template(self.labels, self.digest(), spec)

    def secrets(self, namespace: str, operator_key: bytes) -> list[Obj]:
        """What the parts read, a Secret for each."""
        return [
            secret(meta(self._secret_name(part), namespace, self.labels), self._files(part, operator_key))
            for part in self.parts
        ]

    def _secret_name(self, part: Part) -> str:
        return self.name if len(self.parts) == 1 else f"{self.name}-{part.role}"

    def _files(self, part: Part, operator_key: bytes) -> dict[str, bytes]:
        trusted = {CA_FILE: self.authorities.encode()} if self.authorities else {}
        return {
            ENDPOINTS_FILE: _json(dict(self.endpoints)),
            f"{part.role}.json": _json(part.config.model_dump(mode="json")),
            f"{part.role}.{TOKEN_FILE}": token(operator_key, part.principal).encode(),
            **trusted,
            **part.keys,
        }

    def _items(self, part: Part) -> dict[str, str]:
        config, its_token = f"{part.role}.json", f"{part.role}.{TOKEN_FILE}"
        shared = (ENDPOINTS_FILE, CA_FILE) if self.authorities else (ENDPOINTS_FILE,)
        return {config: CONFIG_FILE, its_token: TOKEN_FILE, **{name: name for name in (*shared, *part.keys)}}


def _files_of(brought: Brought) -> dict[str, str] | None:
    return None if brought.keys is None else {key: key for key in brought.keys}


def sized(default: Resources, wanted: Resources) -> Resources:
    """`wanted` where it says something, else `default`, which gives way: a request above its limit is no pod."""
    return Resources(
        requests=_amounts(wanted.requests, default.requests, min, wanted.limits),
        limits=_amounts(wanted.limits, default.limits, max, wanted.requests),
    )


def offered(gpu: Gpu | None) -> tuple[str, ...]:
    """The GPU as an extended resource of the node, where it is one."""
    return (gpu.resource,) if gpu and gpu.resource else ()


def shown(gpu: Gpu | None) -> Mapping[str, str]:
    """What NVIDIA's container runtime wants to be told by, where no device plugin does so."""
    if gpu is None or gpu.resource is not None:
        return {}
    return {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}


def needs(cpu: str, memory: str, most_memory: str) -> Resources:
    """Requests of both, a limit of memory alone: a throttled server is slow, one without memory is gone."""
    return Resources(requests=Amounts(cpu=cpu, memory=memory), limits=Amounts(memory=most_memory))


def _amounts(wanted: Amounts, default: Amounts, pick: Callable[..., str], bound: Amounts) -> Amounts:
    return Amounts(
        cpu=wanted.cpu or _within(default.cpu, pick, bound.cpu),
        memory=wanted.memory or _within(default.memory, pick, bound.memory),
    )


def _within(default: str | None, pick: Callable[..., str], bound: str | None) -> str | None:
    return default if default is None or bound is None else pick(default, bound, key=amount)


def _settled(part: Part) -> Mapping[str, Any]:
    return part.config.model_dump(mode="json") if part.settled is None else part.settled


def _config_volume(part: Part) -> str:
    return f"config-{part.role}"


def _container(part: Part) -> Obj:
    mounts = [mount(_config_volume(part), names.CONFIG_FOLDER, read_only=True)]
    mounts += [mount(its.volume, its.folder, read_only=True) for its in part.brought]
    if part.state:
        mounts.append(mount(STATE, names.STATE_FOLDER))
    resources = part.resources.model_dump(mode="json", exclude_none=True)
    resources["limits"] |= dict.fromkeys(part.devices, "1")
    found = container(part.role, part.image, names.command(part.role, part.state), resources, mounts)
    if part.environment:
        found["env"] = [{"name": name, "value": value} for name, value in sorted(part.environment.items())]
    if part.port is not None:
        port = {"name": "http", "containerPort": part.port, "protocol": "TCP"}
        if part.node_port is not None:
            port["hostIP"], port["hostPort"] = part.node_port
        found["ports"] = [port]
    if part.probed:
        found["readinessProbe"] = readiness()
    return found


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()
