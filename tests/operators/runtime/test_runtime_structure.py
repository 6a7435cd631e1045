"""When is a live object what was wanted: by table, and by the properties that keep writes from going on for ever."""

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_operators.runtime.structure import as_stored, body_hash, missing, quantity

SAME: list[tuple[str, Any, Any]] = [
    ("defaults are the server's", {"spec": {"a": 1}}, {"spec": {"a": 1, "b": 2}, "status": {}}),
    ("empty is absent", {"spec": {"selector": {}, "text": "", "list": [], "none": None}}, {"spec": {}}),
    (
        "containers by name",
        {"containers": [{"name": "b"}]},
        {"containers": [{"name": "a"}, {"name": "b", "tty": False}]},
    ),
    ("env by name in any order", {"env": [{"name": "a"}, {"name": "b"}]}, {"env": [{"name": "b"}, {"name": "a"}]}),
    (
        "mounts by path",
        {"volumeMounts": [{"mountPath": "/b"}]},
        {"volumeMounts": [{"mountPath": "/a"}, {"mountPath": "/b"}]},
    ),
    (
        "a port's protocol is TCP",
        {"ports": [{"containerPort": 1}]},
        {"ports": [{"containerPort": 1, "protocol": "TCP"}]},
    ),
    ("service ports", {"ports": [{"port": 1}]}, {"ports": [{"port": 1, "protocol": "TCP", "targetPort": 9}]}),
    ("owners by uid", {"ownerReferences": [{"uid": "2"}]}, {"ownerReferences": [{"uid": "1"}, {"uid": "2"}]}),
    ("cpu", {"limits": {"cpu": "0.5"}}, {"limits": {"cpu": "500m"}}),
    ("cpu as a number", {"limits": {"cpu": 2}}, {"limits": {"cpu": "2"}}),
    ("memory", {"requests": {"memory": "1024Mi"}}, {"requests": {"memory": "1Gi"}}),
    ("atomic lists by position", {"items": [{"key": "a"}]}, {"items": [{"key": "a", "mode": 1}]}),
]
OTHER: list[tuple[str, Any, Any, str]] = [
    ("a value", {"spec": {"a": 1}}, {"spec": {"a": 2}}, "spec.a"),
    ("a missing key", {"spec": {"a": {"b": 1}}}, {"spec": {}}, "spec.a"),
    ("false is not absent", {"mount": False}, {}, "mount"),
    ("zero is not absent", {"replicas": 0}, {}, "replicas"),
    ("zero is not false", {"a": 0}, {"a": False}, "a"),
    ("one is not true", {"a": True}, {"a": 1}, "a"),
    ("a missing container", {"containers": [{"name": "b"}]}, {"containers": [{"name": "a"}]}, "containers.b"),
    ("in a container", {"containers": [{"name": "b", "v": 1}]}, {"containers": [{"name": "b"}]}, "containers.b.v"),
    ("a longer atomic list", {"command": ["a"]}, {"command": ["a", "b"]}, "command"),
    ("order of an atomic list", {"command": ["a", "b"]}, {"command": ["b", "a"]}, "command.0"),
    ("udp is not tcp", {"ports": [{"port": 1, "protocol": "UDP"}]}, {"ports": [{"port": 1}]}, "ports.0"),
    ("quantities elsewhere are text", {"labels": {"a": "1000m"}}, {"labels": {"a": "1"}}, "labels.a"),
    ("another type", {"a": {"b": 1}}, {"a": [1]}, "a"),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "live"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_holds(wanted: Any, live: Any) -> None:
    assert missing(wanted, live) is None


@pytest.mark.parametrize(("wanted", "live", "path"), [row[1:] for row in OTHER], ids=[row[0] for row in OTHER])
def test_says_where_it_does_not_hold(wanted: Any, live: Any, path: str) -> None:
    assert missing(wanted, live) == path


QUANTITIES = [
    ("500m", "0.5"), ("1", "1"), (2, "2"), (0.5, "0.5"), ("1Gi", "1073741824"), ("1G", "1000000000"), ("1e3", "1000"),
    ("-1k", "-1000"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), QUANTITIES)
def test_quantities(text: Any, value: str) -> None:
    assert quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["lots", "", "1Xi", None, {}, "1.2.3"])
def test_what_is_no_quantity(text: Any) -> None:
    assert quantity(text) is None


scalars = st.one_of(st.booleans(), st.integers(-5, 5), st.text("ab", min_size=1, max_size=2))
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(("a", "spec", "command")), inner, max_size=3),
        st.lists(inner, max_size=3),
        st.lists(
            st.fixed_dictionaries({"name": st.sampled_from("xyz"), "v": scalars}), unique_by=lambda i: i["name"]
        ).map(lambda items: {"containers": items}),
    ),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(("a", "b", "spec")), trees, max_size=3)


@given(bodies)
def test_everything_holds_itself(body: Any) -> None:
    assert missing(body, copy.deepcopy(body)) is None


@given(bodies, bodies)
def test_what_a_server_adds_to_maps_changes_nothing(body: Any, more: Any) -> None:
    assert missing(body, {**{f"server-{key}": value for key, value in more.items()}, **body}) is None


@given(bodies, st.data())
def test_any_changed_leaf_is_found(body: Any, data: st.DataObject) -> None:
    paths = list(leaves(body))
    if paths:
        changed = copy.deepcopy(body)
        put(changed, data.draw(st.sampled_from(paths)), "something else")
        assert missing(changed, body) is not None


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Any:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from leaves(value, (*path, number))
    else:
        yield path


def put(node: Any, path: tuple[Any, ...], value: Any) -> None:
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value


def test_a_secret_is_compared_as_it_is_stored() -> None:
    stored = as_stored({"kind": "Secret", "data": {"a": "eA=="}, "stringData": {"b": "y"}, "status": {}})
    assert stored == {"kind": "Secret", "data": {"a": "eA==", "b": "eQ=="}}


def test_the_hash_is_over_what_can_be_edited() -> None:
    body: dict[str, Any] = {"metadata": {"name": "a", "labels": {"x": "1"}}, "spec": {"a": 1}}
    seen = copy.deepcopy(body)
    seen["metadata"] |= {"resourceVersion": "7", "uid": "u", "generation": 3, "managedFields": []}
    seen["status"] = {"ready": 1}
    assert body_hash(seen) == body_hash(body)
    for edited in ({**body, "spec": {"a": 2}}, {**body, "metadata": {"name": "a", "labels": {}}}, {**body, "data": {}}):
        assert body_hash(edited) != body_hash(body)
