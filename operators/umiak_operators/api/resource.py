"""A custom resource as it arrives, before its spec is understood."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["JointInference", "LifelongLearning", "ModelPatch"]
GROUP = "umiak.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
PLURALS: Mapping[str, str] = {
    "JointInference": "jointinferences",
    "LifelongLearning": "lifelonglearnings",
    "ModelPatch": "modelpatches",
}


@dataclass(frozen=True, order=True)
class Key:
    """Names one resource."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Resource:
    """One custom resource: identity, generation, and its raw spec and status."""

    key: Key
    uid: str
    generation: int
    spec: Mapping[str, Any]
    status: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    deleting: bool = False
    created: str = ""
    """RFC 3339; orders resources that compete for one line."""

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Resource":
        """From a Kubernetes object (dict)."""
        meta = body["metadata"]
        return cls(
            Key(body["kind"], meta.get("namespace", "default"), meta["name"]),
            meta.get("uid", ""),
            meta.get("generation", 0),
            body.get("spec") or {},
            body.get("status") or {},
            meta.get("labels") or {},
            "deletionTimestamp" in meta,
            meta.get("creationTimestamp", ""),
        )
