"""How a child is dressed and how it is seen again."""

from typing import Any

import pytest

from umiak_operators.api.resource import Key, Resource
from umiak_operators.runtime.children import APPLIED, dress, readiness_of, seen

OWNER = Resource(Key("JointInference", "site", "yard"), "uid-1", 3, {})
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "s", "labels": {"a": "b"}},
    "stringData": {"x": "y"},
}


def test_what_is_dressed_is_seen_as_its_owners_child() -> None:
    found = seen({**dress(SECRET, OWNER), "kind": "Secret"})
    assert found is not None
    assert found.owner == OWNER.key
    assert found.owner_uid == "uid-1"
    assert found.place == ("Secret", "site", "s")


def test_dressing_keeps_what_was_there_and_alters_nothing() -> None:
    before = repr(SECRET)
    body = dress(SECRET, OWNER)
    assert body["metadata"]["labels"]["a"] == "b"
    assert body["data"] == {"x": "eQ=="}
    assert repr(SECRET) == before


def test_the_applied_hash_moves_with_every_change() -> None:
    without = {**SECRET, "metadata": {"name": "s"}}
    other_owner = Resource(OWNER.key, "uid-2", 3, {})
    hashes = {dress(body, owner)["metadata"]["annotations"][APPLIED] for body, owner in
              ((SECRET, OWNER), (without, OWNER), (SECRET, other_owner))}  # fmt: skip
    assert len(hashes) == 3
    assert dress(SECRET, OWNER) == dress(SECRET, OWNER)


@pytest.mark.parametrize(
    "labels", [{}, {"umiak.dev/owner-kind": "Pod", "umiak.dev/owner-name": "x"}, {"umiak.dev/owner-kind": "ModelPatch"}]
)
def test_a_stranger_is_no_child(labels: dict[str, str]) -> None:
    assert seen({"kind": "Secret", "metadata": {"name": "s", "labels": labels}}) is None


def deployment(generation: int = 1, **status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": generation}, "spec": {"replicas": 2}, "status": status}


READINESS = [
    ("Deployment", deployment(), "Progressing"),
    ("Deployment", deployment(observedGeneration=1, updatedReplicas=2, availableReplicas=2), "Ready"),
    ("Deployment", deployment(observedGeneration=1, updatedReplicas=1, availableReplicas=2), "Progressing"),
    (
        "Deployment",
        deployment(generation=2, observedGeneration=1, updatedReplicas=2, availableReplicas=2),
        "Progressing",
    ),
    ("Deployment", deployment(conditions=[{"type": "ReplicaFailure", "status": "True", "message": "quota"}]), "Failed"),
    (
        "Deployment",
        deployment(conditions=[{"type": "Progressing", "status": "False", "message": "deadline"}]),
        "Failed",
    ),
    ("Job", {"status": {}}, "Progressing"),
    ("Job", {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}, "Succeeded"),
    ("Job", {"status": {"conditions": [{"type": "Failed", "status": "True", "message": "backoff"}]}}, "Failed"),
    ("Job", {"status": {"conditions": [{"type": "Suspended", "status": "True"}]}}, "Progressing"),
    ("ModelPatch", {"status": {"conditions": [{"type": "Succeeded", "status": "True"}]}}, "Succeeded"),
    ("ModelPatch", {}, "Progressing"),
    ("Secret", {}, "Ready"),
]


@pytest.mark.parametrize(
    ("kind", "body", "readiness"), READINESS, ids=[f"{n}-{r[0]}-{r[2]}" for n, r in enumerate(READINESS)]
)
def test_readiness(kind: str, body: dict[str, Any], readiness: str) -> None:
    assert readiness_of(kind, body)[0] == readiness


def test_a_failure_says_why() -> None:
    body = deployment(conditions=[{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}])
    assert readiness_of("Deployment", body)[1] == "exceeded quota"
