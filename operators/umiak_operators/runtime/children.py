"""What makes an object a child of its owner, and how a child is seen. The same for every runtime that keeps objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from umiak_operators.api.resource import API_VERSION, Key, Kind, Resource
from umiak_operators.plan import names
from umiak_operators.plan.model import Child, Readiness
from umiak_operators.runtime.structure import as_stored, body_hash

APPLIED = f"{names.PREFIX}/applied"
"""Annotation: hash of what was last asked for, so that a field that left the plan is noticed as well as a new one."""


@dataclass(frozen=True)
class Seen:
    """A child as an index remembers it: never its body."""

    kind: str
    namespace: str
    name: str
    uid: str
    owner: Key
    owner_uid: str
    """uid of the controlling owner reference; empty if there is none."""
    readiness: Readiness
    message: str
    annotations: Mapping[str, str]
    body_hash: str
    version: str
    deleting: bool

    @property
    def place(self) -> tuple[str, str, str]:
        """(kind, namespace, name)"""
        return self.kind, self.namespace, self.name

    def child(self) -> Child:
        """The part that decisions see."""
        return Child(self.kind, self.name, self.uid, self.readiness, self.message, self.annotations)


def dress(body: Mapping[str, Any], owner: Resource) -> dict[str, Any]:
    """The child as it is to be stored: in the owner's namespace, with labels, owner reference and applied hash."""
    stored = as_stored(body)
    meta = dict(stored.get("metadata") or {})
    labels = {**(meta.get("labels") or {}), names.OWNER_KIND: owner.key.kind, names.OWNER_NAME: owner.key.name}
    meta |= {"namespace": owner.key.namespace, "labels": labels, "ownerReferences": [owner_reference(owner)]}
    stored["metadata"] = meta
    meta["annotations"] = {**(meta.get("annotations") or {}), APPLIED: body_hash(stored)}
    return stored


def owner_reference(owner: Resource) -> dict[str, Any]:
    """Garbage collection takes the child when the owner goes. Without blockOwnerDeletion: that needs more rights."""
    key = owner.key
    return {"apiVersion": API_VERSION, "kind": key.kind, "name": key.name, "uid": owner.uid, "controller": True}


def seen(body: Mapping[str, Any]) -> Seen | None:
    """A live object as a child; None if it does not carry the labels of one."""
    meta = body["metadata"]
    owner = owner_of(meta)
    if owner is None:
        return None
    kind = str(body["kind"])
    readiness, message = readiness_of(kind, body)
    ours = {k: v for k, v in (meta.get("annotations") or {}).items() if k.startswith(f"{names.PREFIX}/")}
    return Seen(
        kind=kind,
        namespace=owner.namespace,
        name=meta["name"],
        uid=meta.get("uid", ""),
        owner=owner,
        owner_uid=controller_uid(meta),
        readiness=readiness,
        message=message,
        annotations=ours,
        body_hash=body_hash(body),
        version=str(meta.get("resourceVersion", "")),
        deleting="deletionTimestamp" in meta,
    )


def owner_of(meta: Mapping[str, Any]) -> Key | None:
    """The owner that an object's labels name."""
    labels = meta.get("labels") or {}
    kind, name = labels.get(names.OWNER_KIND), labels.get(names.OWNER_NAME)
    if kind not in get_args(Kind) or not name:
        return None
    return Key(cast(Kind, kind), meta.get("namespace", "default"), name)


def controller_uid(meta: Mapping[str, Any]) -> str:
    """uid of the owner reference that controls an object, or empty."""
    references = meta.get("ownerReferences") or ()
    return next((str(item["uid"]) for item in references if item.get("controller")), "")


def readiness_of(kind: str, body: Mapping[str, Any]) -> tuple[Readiness, str]:
    """(readiness, a message for a person) of a live object."""
    status = body.get("status") or {}
    conditions = {item["type"]: item for item in status.get("conditions") or ()}
    if kind == "Deployment":
        return _deployment(body, status, conditions)
    if kind == "Job":
        return _finished(conditions, "Complete", "Failed")
    if kind in get_args(Kind):
        return _finished(conditions, "Succeeded", "")
    return "Ready", ""


def _deployment(
    body: Mapping[str, Any], status: Mapping[str, Any], conditions: Mapping[str, Any]
) -> tuple[Readiness, str]:
    for kind, value in (("ReplicaFailure", "True"), ("Progressing", "False")):
        if (found := conditions.get(kind)) and found.get("status") == value:
            return "Failed", str(found.get("message", ""))
    replicas = (body.get("spec") or {}).get("replicas", 1)
    current = status.get("observedGeneration", 0) >= body["metadata"].get("generation", 0)
    available = status.get("availableReplicas", 0)
    if current and status.get("updatedReplicas", 0) >= replicas and available >= replicas:
        return "Ready", ""
    return "Progressing", f"{available} of {replicas} available"


def _finished(conditions: Mapping[str, Any], success: str, failure: str) -> tuple[Readiness, str]:
    for kind, verdict in ((success, "Succeeded"), (failure, "Failed")):
        if (found := conditions.get(kind)) and found.get("status") == "True":
            return ("Succeeded" if verdict == "Succeeded" else "Failed"), str(found.get("message", ""))
    return "Progressing", ""
