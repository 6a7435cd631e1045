"""Small objects as an API server shows them, for the tables of the doctor's checks."""

import datetime
from collections.abc import Mapping
from typing import Any

from umiak_operators.cli.doctor.facts import Certificate, Facts, Secret
from umiak_operators.cli.doctor.finding import Finding

NOW = 1_900_000_000.0
EDGE = {"node-role.kubernetes.io/edge": ""}
KUBE_EDGE = {**EDGE, "node-role.kubernetes.io/agent": ""}


def ago(seconds: float) -> str:
    """RFC 3339, so many seconds before NOW."""
    return datetime.datetime.fromtimestamp(NOW - seconds, datetime.UTC).isoformat().replace("+00:00", "Z")


def condition(
    kind: str, status: str, reason: str = "Because", message: str = "", since: float = 1000
) -> dict[str, Any]:
    said = {"type": kind, "status": status, "reason": reason, "message": message}
    return {**said, "lastTransitionTime": ago(since)}


def deployment(part: str, available: int = 1, replicas: int = 1, **spec: Any) -> dict[str, Any]:
    """A part of the installation; `spec` is its pod's."""
    metadata = {"name": f"umiak-{part}", "namespace": "umiak-system", "labels": {"app.kubernetes.io/version": "1.0"}}
    status = {"availableReplicas": available, "replicas": replicas}
    body = {"kind": "Deployment", "metadata": metadata, "status": status}
    return {**body, "spec": {"replicas": replicas, "template": {"spec": spec}}}


def parts(**available: int) -> tuple[dict[str, Any], ...]:
    """All five parts, available unless said otherwise."""
    tls = {"volumes": [{"name": "tls", "secret": {"secretName": "gate-tls"}}]}
    return tuple(
        deployment(part, available.get(part, 1), **(tls if part in ("broker", "gateway") else {}))
        for part in ("operator", "hub", "signer", "broker", "gateway")
    )


def pod(name: str = "yard-edge-1-abc", namespace: str = "yard", **more: Any) -> dict[str, Any]:
    """A pod; `more`: labels, status, spec, deletionTimestamp."""
    metadata = {"name": name, "namespace": namespace, "labels": more.pop("labels", {})}
    if "deletionTimestamp" in more:
        metadata["deletionTimestamp"] = more.pop("deletionTimestamp")
    return {"kind": "Pod", "metadata": metadata, "spec": more.pop("spec", {}), "status": more.pop("status", {})}


def container(name: str = "hub", **state: Any) -> dict[str, Any]:
    """A container's status: waiting, running, terminated, last (terminated before), restarts, ready."""
    states = {key: state[key] for key in ("waiting", "running", "terminated") if key in state}
    found = {
        "name": name,
        "image": state.get("image", "umiak/hub:1"),
        "state": states,
        "ready": state.get("ready", False),
    }
    last = {"terminated": state["last"]} if "last" in state else {}
    return {**found, "lastState": last, "restartCount": state.get("restarts", 0)}


def node(name: str, labels: Mapping[str, str] | None = None, *conditions: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "labels": dict(labels or {})}
    return {
        "kind": "Node",
        "metadata": metadata,
        "status": {"conditions": list(conditions) or [condition("Ready", "True")]},
    }


def resource(kind: str = "JointInference", name: str = "yard", **status: Any) -> dict[str, Any]:
    """One of ours in namespace yard, generation 2, seen unless said otherwise."""
    metadata = {"name": name, "namespace": "yard", "generation": 2, "creationTimestamp": ago(5000)}
    spec = {"edge": {"nodes": {"matchLabels": EDGE}}}
    return {"kind": kind, "metadata": metadata, "spec": spec, "status": {"observedGeneration": 2, **status}}


def claim(name: str, phase: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "umiak-system"}
    status = {"phase": phase, "capacity": {"storage": "20Gi"}}
    return {"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec, "status": status}


def certificate(**changes: Any) -> Secret:
    """A good certificate for gate.example."""
    known: dict[str, Any] = {
        "names": ("gate.example",), "begins": NOW - 1000, "ends": NOW + 90 * 86_400, "self_signed": False,
        "gap_in_chain": False, "fits_key": True, "authority": "none", "fingerprint": "aa",
    }  # fmt: skip
    return Secret(frozenset(("tls.crt", "tls.key")), certificate=Certificate(**{**known, **changes}))


def facts(**known: Any) -> Facts:
    """Facts of a cluster of which nothing is known but `known`."""
    return Facts(**{"now": NOW, "version": "1.0", **known})


def said(findings: Any) -> list[tuple[str, str]]:
    """(check, level) of each."""
    return [(finding.check, finding.level) for finding in findings]


def one(findings: Any) -> Finding:
    """The only finding that is not ok."""
    (found,) = [finding for finding in findings if finding.level != "ok"]
    return found
