"""What a Deployment or Job asks for, as far as processes on one machine can give it. Pure."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from umiak_operators.plan import names
from umiak_workers.contract.errors import ConfigError

_WORKERS = "umiak_workers."


@dataclass(frozen=True)
class Mount:
    """A volume as one container sees it."""

    volume: str
    path: str
    sub_path: str = ""


@dataclass(frozen=True)
class ContainerSpec:
    """One container: what it runs and what it sees."""

    name: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    mounts: tuple[Mount, ...]
    probed: bool
    """It has a readiness probe, so it has a listener."""

    @property
    def role(self) -> str:
        """The part of the workers it runs (`edge` of `python3 -m umiak_workers.edge`), else its own name."""
        modules = [after for before, after in zip(self.argv, self.argv[1:], strict=False) if before == "-m"]
        return modules[0].removeprefix(_WORKERS) if modules and modules[0].startswith(_WORKERS) else self.name


@dataclass(frozen=True)
class Volume:
    """Where a mount's content comes from.

    secret: `source` is the Secret's name and `items` its (key, file) pairs, None for all. claim and host: a folder
    that stays. empty: a folder that goes with the pod.
    """

    name: str
    kind: Literal["secret", "claim", "host", "empty"]
    source: str = ""
    items: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True)
class PodSpec:
    """One pod: containers that start and stop together and share folders."""

    kind: Literal["Deployment", "Job"]
    namespace: str
    name: str
    component: str
    edge: str | None
    containers: tuple[ContainerSpec, ...]
    volumes: tuple[Volume, ...]
    fingerprint: str
    """Changes exactly when the pod has to be replaced."""
    grace: float = 5.0
    backoff_limit: int = 6
    deadline: float | None = None
    """A Job's seconds of life over all its tries; None: no limit."""
    paused: bool = False
    """Zero replicas wanted."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Those under our own prefix."""

    @property
    def id(self) -> str:
        """Names the pod in this world: `<namespace>.<name>`."""
        return pod_id(self.namespace, self.name)


def pod_id(namespace: str, name: str) -> str:
    """How folders, logs and ports name the pod of a Deployment or Job."""
    return f"{namespace}.{name}"


def pod_spec(body: Mapping[str, Any]) -> PodSpec:
    """Read a Deployment or Job; raises ConfigError that names what processes cannot do."""
    meta, spec, template = body["metadata"], body["spec"], body["spec"]["template"]
    where = f"{body['kind']} {meta['name']}"
    pod = template["spec"]
    _refuse_init_containers(where, pod)
    labels = {**(meta.get("labels") or {}), **(template.get("metadata", {}).get("labels") or {})}
    return PodSpec(
        kind=body["kind"],
        namespace=meta.get("namespace", "default"),
        name=meta["name"],
        component=labels.get(names.COMPONENT, ""),
        edge=labels.get(names.EDGE),
        containers=tuple(_container(where, item) for item in pod["containers"]),
        volumes=tuple(_volume(where, item) for item in pod.get("volumes") or ()),
        fingerprint=names.short_hash(template),
        grace=min(10.0, float(pod.get("terminationGracePeriodSeconds", 5))),
        backoff_limit=int(spec.get("backoffLimit", 6)),
        deadline=spec.get("activeDeadlineSeconds"),
        paused=spec.get("replicas", 1) == 0,
        annotations=own_annotations(meta),
    )


def _refuse_init_containers(where: str, pod: Mapping[str, Any]) -> None:
    """One that runs as root hands a node's folder to the pod's user; folders of this world are the user's already."""
    for item in pod.get("initContainers") or ():
        if (item.get("securityContext") or {}).get("runAsUser") != 0:
            raise ConfigError(f"{where}: init container {item['name']} is not run by the local runtime")


def own_annotations(meta: Mapping[str, Any]) -> dict[str, str]:
    """The annotations that decisions may see."""
    found = (meta.get("annotations") or {}).items()
    return {key: str(value) for key, value in found if key.startswith(f"{names.PREFIX}/")}


def _container(where: str, item: Mapping[str, Any]) -> ContainerSpec:
    argv = (*item.get("command", ()), *item.get("args", ()))
    if not argv:
        raise ConfigError(f"{where}: container {item['name']} states no command")
    return ContainerSpec(
        item["name"],
        tuple(str(part) for part in argv),
        tuple((entry["name"], _env_value(where, entry)) for entry in item.get("env") or ()),
        tuple(Mount(one["name"], one["mountPath"], one.get("subPath", "")) for one in item.get("volumeMounts") or ()),
        "readinessProbe" in item,
    )


def _env_value(where: str, entry: Mapping[str, Any]) -> str:
    if "valueFrom" in entry:
        raise ConfigError(f"{where}: {entry['name']} comes from the cluster, which the local runtime does not have")
    return str(entry.get("value", ""))


def _volume(where: str, item: Mapping[str, Any]) -> Volume:
    name = item["name"]
    if "secret" in item:
        listed = item["secret"].get("items")
        items = None if listed is None else tuple((one["key"], one["path"]) for one in listed)
        return Volume(name, "secret", item["secret"]["secretName"], items)
    if "persistentVolumeClaim" in item:
        return Volume(name, "claim", item["persistentVolumeClaim"]["claimName"])
    if "hostPath" in item:
        return Volume(name, "host", item["hostPath"]["path"])
    if "emptyDir" in item:
        return Volume(name, "empty")
    raise ConfigError(f"{where}: volume {name} is of a kind that the local runtime does not have")


def secret_data(body: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a Secret by key (`data` is base64, `stringData` is text and wins)."""
    found = {key: _decoded(body, key, value) for key, value in (body.get("data") or {}).items()}
    found.update({key: str(value).encode() for key, value in (body.get("stringData") or {}).items()})
    return found


def _decoded(body: Mapping[str, Any], key: str, value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise ConfigError(f"Secret {body['metadata']['name']}: {key} is not base64") from error


def in_folders(text: str, folders: Sequence[tuple[str, str]]) -> str:
    """`text` with a mount path at its start replaced by the real folder; `folders` = (mount path, folder)."""
    for path, folder in sorted(folders, key=lambda pair: -len(pair[0])):
        if text == path or text.startswith(path.rstrip("/") + "/"):
            return folder + text[len(path.rstrip("/")) :]
    return text
