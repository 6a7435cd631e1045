"""The index remembers the newest, rings those concerned, and nobody else."""

from typing import Any

from umiak_operators.api.resource import Key, Resource
from umiak_operators.runtime.children import dress
from umiak_operators.runtime.cluster.index import Index

YARD, LEARN, ELSEWHERE = (
    Key("JointInference", "site", "yard"),
    Key("LifelongLearning", "site", "learn"),
    Key("JointInference", "other", "yard"),
)


def owner(key: Key, version: int = 1, uid: str = "u", **more: Any) -> dict[str, Any]:
    meta = {"namespace": key.namespace, "name": key.name, "uid": uid, "generation": 1, "resourceVersion": str(version)}
    return {"kind": key.kind, "metadata": {**meta, **more.pop("metadata", {})}, "spec": {}, **more}


def child(name: str = "c", version: int = 1, uid: str = "cu", owner_uid: str = "u", **more: Any) -> dict[str, Any]:
    body = dress({"kind": "Secret", "metadata": {"name": name}, **more}, Resource(YARD, owner_uid, 1, {}))
    body["metadata"] |= {"uid": uid, "resourceVersion": str(version)}
    return body


def filled() -> Index:
    index = Index()
    for key in (YARD, LEARN, ELSEWHERE):
        index.saw_owner(owner(key, uid=f"uid-{key}"), 0.0)
    return index


def test_a_new_owner_rings_its_namespace() -> None:
    index = filled()
    new = Key("ModelPatch", "site", "step")
    assert index.saw_owner(owner(new), 0.0) == {new, YARD, LEARN}
    assert [resource.key for resource in index.related(YARD)] == [LEARN, new]


def test_figures_of_a_status_ring_only_their_own() -> None:
    index = filled()
    uid = f"uid-{YARD}"
    assert index.saw_owner(owner(YARD, 2, uid, status={"replay": {"samples": 1}}), 0.0) == {YARD}
    verdict = {"conditions": [{"type": "Ready", "status": "True", "reason": "Available"}]}
    assert index.saw_owner(owner(YARD, 3, uid, status=verdict), 0.0) == {YARD, LEARN}
    assert index.saw_owner(owner(YARD, 4, uid, status=verdict), 0.0) == set()


def test_an_older_version_changes_nothing() -> None:
    index = filled()
    uid = f"uid-{YARD}"
    index.saw_owner(owner(YARD, 9, uid, status={"a": 2}), 0.0)
    assert index.saw_owner(owner(YARD, 8, uid, status={"a": 1}), 0.0) == set()
    assert (index.owner(YARD) or Resource(YARD, "", 0, {})).status == {"a": 2}


def test_another_owner_of_the_same_name_is_not_lost_with_the_old_one() -> None:
    index = filled()
    index.saw_owner(owner(YARD, 5, "new"), 0.0)
    assert index.lost_owner(YARD, f"uid-{YARD}") == set()
    assert index.owner(YARD) is not None
    assert index.lost_owner(YARD, "new") == {YARD, LEARN}
    assert index.owner(YARD) is None
    assert index.related(LEARN) == ()


def test_a_child_rings_its_owner_when_it_matters() -> None:
    index = filled()
    assert index.saw_child(child()) == {YARD}
    assert index.saw_child(child(version=2)) == set(), "a new version with nothing new"
    assert index.saw_child(child(version=3, data={"a": "Yg=="})) == {YARD}
    assert index.lost_child(("Secret", "site", "c"), "another uid") == set()
    assert index.lost_child(("Secret", "site", "c"), "cu") == {YARD}
    assert index.children(YARD) == ()


def test_a_child_that_lost_its_labels_rings_its_former_owner() -> None:
    index = filled()
    index.saw_child(child())
    bare = child(version=2)
    bare["metadata"]["labels"] = {}
    assert index.saw_child(bare) == {YARD}
    assert index.children(YARD) == ()


def test_children_of_a_former_owner_or_on_their_way_out_are_not_observed() -> None:
    index = filled()
    index.saw_child(child("mine", owner_uid=f"uid-{YARD}"))
    index.saw_child(child("former", owner_uid="long gone"))
    leaving = child("leaving", owner_uid=f"uid-{YARD}")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    index.saw_child(leaving)
    resource = index.owner(YARD)
    assert resource is not None
    assert [found.name for found in index.observed_children(resource)] == ["mine"]


def test_a_nodes_heartbeat_rings_nobody() -> None:
    index = filled()
    beat = {
        "metadata": {"name": "n", "labels": {"a": "b"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert index.saw_node(beat, gone=False) == {YARD, ELSEWHERE}
    assert index.saw_node({**beat, "status": {**beat["status"], "images": []}}, gone=False) == set()
    assert index.saw_node({**beat, "status": {}}, gone=False) == {YARD, ELSEWHERE}
    assert index.saw_node(beat, gone=True) == {YARD, ELSEWHERE}
    assert index.nodes() == ()


def test_a_namespace_rings_those_in_it() -> None:
    index = filled()
    body = {"metadata": {"name": "site", "labels": {"umiak.dev/host-path": "allowed"}}}
    assert index.saw_namespace(body, gone=False) == {YARD, LEARN}
    assert index.saw_namespace(body, gone=False) == set()
    assert index.namespace("site").labels == {"umiak.dev/host-path": "allowed"}
    ending = {"metadata": {**body["metadata"], "deletionTimestamp": "now"}}
    assert index.saw_namespace(ending, gone=False) == {YARD, LEARN}
    assert index.namespace("site").ending
