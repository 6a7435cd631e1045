"""The local runtime's decisions: back-off, simulated nodes, rights on the broker, what a pod template asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_operators.api.resource import Key, Resource
from umiak_operators.runtime.local.acl import allowed, covers, grants
from umiak_operators.runtime.local.backoff import Backoff
from umiak_operators.runtime.local.nodes import simulated
from umiak_operators.runtime.local.template import in_folders, pod_spec, secret_data
from umiak_workers.contract import topics
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.identity import Principal


def test_backoff_doubles_up_to_its_bound_and_forgives_a_good_run() -> None:
    backoff, waits = Backoff(first=1, most=6, forgiven_after=10), []
    for _ in range(5):
        wait, backoff = backoff.after(good_for=0.1)
        waits.append(wait)
    assert waits == [1, 2, 4, 6, 6]
    wait, backoff = backoff.after(good_for=10)
    assert (wait, backoff.failures) == (1, 1)


@given(st.lists(st.floats(0, 100), max_size=200))
def test_backoff_never_leaves_its_bounds(runs: list[float]) -> None:
    backoff = Backoff()
    for good_for in runs:
        wait, backoff = backoff.after(good_for)
        assert backoff.first <= wait <= backoff.most


def joint(name: str, labels: dict[str, str]) -> Resource:
    spec = {"edge": {"nodes": {"matchLabels": labels}}}
    return Resource(Key("JointInference", "default", name), "u", 1, spec)


def test_nodes_carry_what_resources_select() -> None:
    one, two = simulated([joint("a", {"site": "north"}), joint("b", {"camera": "yes"})], 2)
    assert (one.name, two.name) == ("edge-1", "edge-2")
    for node in (one, two):
        assert {"site": "north", "camera": "yes"}.items() <= node.labels.items()


def test_contradicting_selectors_share_the_nodes() -> None:
    nodes = simulated([joint("a", {"site": "north"}), joint("b", {"site": "south"})], 3)
    assert [node.labels["site"] for node in nodes] == ["north", "south", "north"]


def test_nodes_without_or_with_odd_resources_still_exist() -> None:
    odd = Resource(Key("JointInference", "default", "odd"), "u", 1, {"edge": "what"})
    assert [node.name for node in simulated([odd], 1)] == ["edge-1"]
    assert len(simulated([], 2)) == 2


ROUTER = Principal("yard", "gate", "edge-1", "router")


def test_a_router_speaks_for_its_own_edge_alone() -> None:
    assert allowed(ROUTER, "write", topics.presence("yard", "gate", "edge-1"))
    assert allowed(ROUTER, "write", topics.summary("yard", "gate", "edge-1"))
    assert not allowed(ROUTER, "write", topics.presence("yard", "gate", "edge-2"))
    assert not allowed(ROUTER, "write", topics.settings_hint("yard", "gate"))
    assert not allowed(ROUTER, "read", topics.EVERY_SUMMARY)
    assert allowed(ROUTER, "read", topics.settings_hint("yard", "gate"))


def test_an_agent_hears_the_lines_of_its_namespace() -> None:
    agent = Principal("yard", "gate", "edge-1", "agent")
    assert allowed(agent, "read", topics.line_hint("yard/scene"))
    assert not allowed(agent, "read", topics.line_hint("other/scene"))
    assert not any(grant.access == "write" for grant in grants(agent))


@pytest.mark.parametrize("role", ["edge", "cloud", "trainer", "signer"])
def test_who_needs_no_broker_gets_no_right(role: str) -> None:
    assert grants(Principal("yard", "gate", "-", role)) == ()


def test_the_viewer_only_listens() -> None:
    viewer = Principal("-", "-", "-", "viewer")
    assert allowed(viewer, "read", topics.EVERY_SUMMARY)
    assert not allowed(viewer, "write", topics.summary("yard", "gate", "edge-1"))


def matches(pattern: list[str], topic: list[str]) -> bool:
    """MQTT 3.1.1, 4.7: what a filter matches, written the slow way."""
    if not pattern:
        return not topic
    if pattern[0] == "#":
        return True
    return bool(topic) and pattern[0] in ("+", topic[0]) and matches(pattern[1:], topic[1:])


LEVEL = st.sampled_from(["a", "b"])
TOPIC = st.lists(LEVEL, min_size=1, max_size=4)
FILTER = st.builds(
    lambda levels, tail: levels + tail,
    st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=4),
    st.sampled_from([[], ["#"]]),
)


@given(FILTER, FILTER, TOPIC)
def test_a_filter_covers_another_only_if_it_matches_all_of_its_topics(
    granted: list[str], asked: list[str], topic: list[str]
) -> None:
    if covers("/".join(granted), "/".join(asked)) and matches(asked, topic):
        assert matches(granted, topic)


@given(FILTER, TOPIC)
def test_for_a_plain_topic_covering_is_matching(granted: list[str], topic: list[str]) -> None:
    assert covers("/".join(granted), "/".join(topic)) == matches(granted, topic)


def deployment(**changes: object) -> dict[str, object]:
    container = {
        "name": "edge",
        "command": ["python3", "-m", "umiak_workers.edge", "--config", "/etc/umiak/config.json"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/umiak"}],
        "readinessProbe": {},
    } | changes
    pod = {"containers": [container], "volumes": [{"name": "config", "secret": {"secretName": "s"}}]}
    labels = {"umiak.dev/component": "edge", "umiak.dev/edge": "edge-1"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "kind": "Deployment",
        "metadata": {"name": "gate", "namespace": "yard", "annotations": {"umiak.dev/x": "1", "other": "2"}},
        "spec": {"replicas": 1, "template": template},
    }


def test_a_deployment_is_read_as_a_pod() -> None:
    spec = pod_spec(deployment())
    assert (spec.id, spec.component, spec.edge) == ("yard.gate", "edge", "edge-1")
    assert spec.containers[0].role == "edge"
    assert spec.containers[0].probed
    assert spec.annotations == {"umiak.dev/x": "1"}


def test_the_fingerprint_follows_the_template_and_nothing_else() -> None:
    same = deployment()
    same["metadata"] = {"name": "gate", "namespace": "yard"}
    assert pod_spec(deployment()).fingerprint == pod_spec(same).fingerprint
    assert pod_spec(deployment()).fingerprint != pod_spec(deployment(env=[{"name": "A", "value": "1"}])).fingerprint


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"command": []}, "no command"),
        ({"env": [{"name": "NODE", "valueFrom": {"fieldRef": {}}}]}, "NODE"),
    ],
)
def test_what_processes_cannot_do_is_named(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        pod_spec(deployment(**changes))


def test_secrets_are_decoded_and_bad_ones_named() -> None:
    body = {"metadata": {"name": "s"}, "data": {"a": "aGk="}, "stringData": {"b": "ho"}}
    assert secret_data(body) == {"a": b"hi", "b": b"ho"}
    with pytest.raises(ConfigError, match="Secret s: a"):
        secret_data({"metadata": {"name": "s"}, "data": {"a": "???"}})


def test_the_longest_mount_path_wins_and_only_whole_parts_match() -> None:
    folders = [("/var/lib/umiak", "/x"), ("/var/lib/umiak/in", "/y")]
    assert in_folders("/var/lib/umiak", folders) == "/x"
    assert in_folders("/var/lib/umiak/in/box", folders) == "/y/box"
    assert in_folders("/var/lib/umiak-other", folders) == "/var/lib/umiak-other"
    assert in_folders("--state=/var/lib/umiak", folders) == "--state=/var/lib/umiak"
