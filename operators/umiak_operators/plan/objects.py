"""Small builders of Kubernetes objects; every pod they make is admitted at PodSecurity `restricted`."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from umiak_operators.plan import names

Obj = dict[str, Any]

USER: Final = 65532
"""The one numeric user and group of every container."""
_TMP = "tmp"


def labels(owner: Mapping[str, str], component: str, edge: str | None = None) -> dict[str, str]:
    """Labels of a child; `owner` holds those that name the owner."""
    found = {
        "app.kubernetes.io/name": "umiak",
        "app.kubernetes.io/managed-by": names.MANAGER,
        **owner,
        names.COMPONENT: component,
    }
    return found if edge is None else {**found, names.EDGE: names.label_value(edge)}


def owner_labels(kind: str, name: str) -> dict[str, str]:
    """Labels that name an owner."""
    return {names.OWNER_KIND: kind, names.OWNER_NAME: name}


def meta(name: str, namespace: str, its_labels: Mapping[str, str], annotations: Mapping[str, str] | None = None) -> Obj:
    """Metadata of an object; no empty annotations."""
    found: Obj = {"name": name, "namespace": namespace, "labels": dict(its_labels)}
    return {**found, "annotations": dict(annotations)} if annotations else found


def secret(metadata: Obj, files: Mapping[str, bytes]) -> Obj:
    """A Secret of files."""
    data = {key: base64.b64encode(value).decode() for key, value in sorted(files.items())}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}


def service(metadata: Obj, selector: Mapping[str, str], port: int) -> Obj:
    """A ClusterIP Service with one port named `http`."""
    ports = [{"name": "http", "port": port, "targetPort": "http", "protocol": "TCP"}]
    spec = {"type": "ClusterIP", "selector": dict(selector), "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def claim(metadata: Obj, size: str, storage_class: str | None) -> Obj:
    """A claim for one writer."""
    spec: Obj = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


RECREATE: Final[Obj] = {"type": "Recreate"}
"""The old pod is gone before the new one starts: its volume has one writer."""
OLD_FIRST: Final[Obj] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
"""The same, one pod after the other. Not `Recreate`: no Deployment that was rolled before can be turned into that,
since the API server keeps the rollingUpdate that it once filled in."""


def deployment(
    metadata: Obj, selector: Mapping[str, str], template: Obj, replicas: int, strategy: Obj | None = None
) -> Obj:
    """A Deployment; without a strategy the new pod starts before the old one ends."""
    spec: Obj = {
        "replicas": replicas,
        "revisionHistoryLimit": 1,
        "selector": {"matchLabels": dict(selector)},
        "template": template,
    }
    if strategy is not None:
        spec["strategy"] = strategy
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def job(metadata: Obj, template: Obj, retries: int, seconds: int) -> Obj:
    """A Job of one pod that gives up after `retries` failures or `seconds` of life."""
    spec = {"backoffLimit": retries, "activeDeadlineSeconds": seconds, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def template(its_labels: Mapping[str, str], digest: str, spec: Obj) -> Obj:
    """A pod template; `digest` covers what its containers read at start."""
    metadata = {"labels": dict(its_labels), "annotations": {names.TEMPLATE_HASH: digest}}
    return {"metadata": metadata, "spec": spec}


def pod_spec(containers: Sequence[Obj], volumes: Sequence[Obj], grace: int) -> Obj:
    """What every pod of ours has in common. `grace` in seconds."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": list(containers),
        "volumes": [*volumes, {"name": _TMP, "emptyDir": {}}],
    }


def container(role: str, image: str, command: Sequence[str], resources: Obj, mounts: Sequence[Obj]) -> Obj:
    """A container that may write only where a volume is mounted."""
    return {
        "name": role,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [*mounts, {"name": _TMP, "mountPath": "/tmp"}],
    }


def readiness() -> Obj:
    """An exec probe: listeners of an edge pod are on its loopback, where the kubelet cannot knock."""
    return {
        "exec": {"command": ["python3", "-m", "umiak_workers.probe", "--config", names.CONFIG_PATH]},
        "periodSeconds": 10,
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    }


def secret_volume(name: str, secret_name: str, items: Mapping[str, str] | None) -> Obj:
    """Chosen keys of a Secret as files (key -> file), None for all of them, readable by our group alone."""
    source: Obj = {"secretName": secret_name, "defaultMode": 0o440}
    if items is not None:
        source["items"] = [{"key": key, "path": path} for key, path in sorted(items.items())]
    return {"name": name, "secret": source}


def mount(volume: str, path: str, read_only: bool = False) -> Obj:
    """A volume at a path."""
    found: Obj = {"name": volume, "mountPath": path}
    return {**found, "readOnly": True} if read_only else found
