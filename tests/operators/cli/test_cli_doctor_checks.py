"""What the doctor says of a sick cluster: one row for each sickness, and for what must not be called one."""

import copy
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cli_doctor_kit import (
    EDGE,
    KUBE_EDGE,
    NOW,
    ago,
    certificate,
    claim,
    condition,
    container,
    deployment,
    facts,
    node,
    one,
    parts,
    pod,
    resource,
    said,
)

from umiak_operators.cli.doctor import (
    check_access,
    check_certificates,
    check_installation,
    check_nodes,
    check_pods,
    check_resources,
    check_storage,
    check_versions,
)
from umiak_operators.cli.doctor.facts import Figure, Gap, Reach, Secret
from umiak_operators.cli.doctor.gather import packaged

DEFINITIONS = packaged()
SCHEMA = ("spec", "versions", 0, "schema", "openAPIV3Schema", "properties", "spec", "properties")


def live(**changes: Any) -> tuple[dict[str, Any], ...]:
    """The definitions as a server has them, with a change to that of JointInference."""
    found = [copy.deepcopy(dict(body)) for body in DEFINITIONS.values()]
    for body in found:
        body["status"] = {"conditions": [condition("Established", "True")], "storedVersions": ["v1alpha1"]}
    first = next(body for body in found if body["metadata"]["name"].startswith("joint"))
    if "drop" in changes or "add" in changes:
        place: Any = first
        for step in SCHEMA:
            place = place[step]
        place.pop(changes.get("drop"), None)
        place |= changes.get("add", {})
    first["status"] |= changes.get("status", {})
    return tuple(found)


@pytest.mark.parametrize(
    ("version", "level"),
    [("v1.29.0", "ok"), ("v1.34.10+k3s1", "ok"), ("v2.0.0", "ok"), ("v1.28.15", "problem"), ("1.9", "problem")],
)
def test_server_version(version: str, level: str) -> None:
    assert said(check_versions.check(facts(server_version=version))) == [("versions.server", level)]


def test_definitions() -> None:
    good = list(check_versions.check(facts(packaged=DEFINITIONS, definitions=live())))
    assert said(good) == [("versions.definitions", "ok")]
    assert "3 resource definitions" in good[0].found


@pytest.mark.parametrize(
    ("definitions", "level", "words"),
    [
        (live()[1:], "problem", "is not defined"),
        (live(drop="onCloudLoss"), "problem", "spec.onCloudLoss differs"),
        (live(add={"later": {"type": "string"}}), "warning", "spec.later"),
        (live(status={"storedVersions": ["v1", "v1alpha1"]}), "warning", "stored as v1"),
        (live(status={"conditions": [condition("Established", "False")]}), "problem", "not established"),
    ],
)
def test_definitions_that_do_not_fit(definitions: Any, level: str, words: str) -> None:
    found = one(check_versions.check(facts(packaged=DEFINITIONS, definitions=definitions)))
    assert found.level == level
    assert words in found.found
    assert found.next


def test_without_definitions_in_the_package_only_absence_is_told() -> None:
    assert list(check_versions.check(facts(definitions=live(drop="onCloudLoss")))) == []
    assert one(check_versions.check(facts(definitions=live()[1:]))).subject.startswith("CustomResourceDefinition ")


def test_another_version_is_installed() -> None:
    found = one(check_versions.check(facts(version="2.0", deployments=parts())))
    assert (found.check, found.level) == ("versions.installation", "warning")
    assert "version 1.0 is installed, this command is 2.0" in found.found


def test_a_good_installation_has_nothing_to_say() -> None:
    assert {finding.level for finding in check_installation.check(facts(deployments=parts()))} == {"ok"}


@pytest.mark.parametrize(
    ("deployments", "check", "words"),
    [
        (parts(hub=0), "installation.hub", "not available"),
        (parts()[1:], "installation.operator", "is gone"),
        ((*parts()[1:], deployment("operator", replicas=0, available=0)), "installation.operator", "scaled to 0"),
        ((), "installation.absent", "no installation in namespace umiak-system"),
    ],
)
def test_parts_that_are_away(deployments: Any, check: str, words: str) -> None:
    found = one(check_installation.check(facts(deployments=deployments)))
    assert (found.check, found.level) == (check, "problem")
    assert words in found.found
    assert found.why
    assert found.next


def test_a_gateway_that_was_never_asked_for_is_not_missed() -> None:
    without = [body for body in parts() if body["metadata"]["name"] != "umiak-gateway"]
    known = {"deployments": tuple(without), "configs": frozenset(("umiak-platform",))}
    assert {finding.level for finding in check_installation.check(facts(**known))} == {"ok"}
    known["configs"] = frozenset(("umiak-platform", "umiak-gateway"))
    assert one(check_installation.check(facts(**known))).check == "installation.gateway"


def test_an_address_that_never_comes() -> None:
    service = {"metadata": {"name": "umiak-gateway", "namespace": "umiak-system"}, "spec": {"type": "LoadBalancer"}}
    found = one(check_installation.check(facts(deployments=parts(), services=(service,))))
    assert found.check == "installation.address"
    assert "gateway.service.type=NodePort" in found.next[0]


NOT_YET = condition("PodScheduled", "True", since=1000)
PODS: list[tuple[dict[str, Any], str, str, str]] = [
    (
        {"containerStatuses": [container(waiting={"reason": "ImagePullBackOff", "message": "manifest unknown"})]},
        "pod-image", "image umiak/hub:1 cannot be pulled", "never pushed",
    ),
    (
        {"containerStatuses": [container(waiting={"reason": "ErrImagePull", "message": "401 unauthorized"})]},
        "pod-image", "cannot be pulled", "credentials",
    ),
    (
        {"initContainerStatuses": [container(waiting={"reason": "CreateContainerConfigError",
                                                      "message": 'secret "umiak-hub" not found'})]},
        "pod-config", 'secret "umiak-hub" not found', "until what it names is there",
    ),
    (
        {"containerStatuses": [container(waiting={"reason": "CrashLoopBackOff"}, last={"exitCode": 3}, restarts=7)]},
        "pod-crash", "ends again and again with code 3; last words: no such folder", "starts it again",
    ),
    (
        {"containerStatuses": [container(waiting={"reason": "CrashLoopBackOff"},
                                         last={"exitCode": 137, "reason": "OOMKilled"}, restarts=7)]},
        "pod-memory", "needs more memory", "never gets far",
    ),
    (
        {"containerStatuses": [container(running={"startedAt": ago(20)}, last={"exitCode": 1}, restarts=7)]},
        "pod-crash", "ends again and again", "starts it again",
    ),
    (
        {"conditions": [condition("PodScheduled", "False", message="0/2 nodes: 2 Insufficient memory.")]},
        "pod-unscheduled", "Insufficient memory", "room",
    ),
    (
        {"conditions": [condition("PodScheduled", "False", message="1 node(s) had untolerated taint {a: b}.")]},
        "pod-unscheduled", "taint", "does not tolerate",
    ),
    (
        {"phase": "Pending", "conditions": [NOT_YET], "initContainerStatuses": [container("installation", running={})]},
        "pod-starting", "installation, which goes first", "wait until it is done",
    ),
    (
        {"phase": "Failed", "containerStatuses": [container(terminated={"exitCode": 2, "finishedAt": ago(600)})]},
        "pod-failed", "ended with code 2 10 min ago; last words: no such folder", "not done",
    ),
    ({"phase": "Pending", "conditions": [NOT_YET]}, "pod-starting", "has not started for 17 min", "volume"),
    (
        {"phase": "Running", "conditions": [NOT_YET, condition("Ready", "False")],
         "containerStatuses": [container("edge", running={"startedAt": ago(900)})]},
        "pod-unready", "not ready: edge", "model",
    ),
    ({"phase": "Failed", "reason": "Evicted", "message": "low"}, "pod-evicted", "Evicted: low", "short"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "check", "words", "why"), PODS, ids=[f"{row[1]}-{n}" for n, row in enumerate(PODS)])
def test_pods_in_plain_words(status: dict[str, Any], check: str, words: str, why: str) -> None:
    sick = pod("umiak-hub-1", "umiak-system", status=status)
    logs = {("umiak-system", "umiak-hub-1", "hub"): "no such folder"}
    found = one(check_pods.check(facts(pods=(sick,), last_words=logs)))
    assert found.check == f"installation.{check}"
    assert words in found.found
    assert why in found.why
    assert not any("{pod}" in command or "{at}" in command for command in found.next)
    assert found.next


HEALTHY = [
    {"phase": "Failed", "containerStatuses": [container(terminated={"exitCode": 2, "finishedAt": ago(900_000)})]},
    {"phase": "Succeeded"},
    {"phase": "Running", "conditions": [condition("Ready", "True")]},
    {"phase": "Pending", "conditions": [condition("PodScheduled", "True", since=20)]},
    {"phase": "Running", "conditions": [condition("Ready", "False", since=20)], "containerStatuses": [container()]},
    {
        "phase": "Running",
        "containerStatuses": [container(running={"startedAt": ago(9000)}, last={"exitCode": 1}, restarts=9)],
    },
]


@pytest.mark.parametrize("status", HEALTHY)
def test_pods_that_are_well_or_only_young(status: dict[str, Any]) -> None:
    assert list(check_pods.check(facts(pods=(pod(status=status),)))) == []


def test_pods_with_the_same_trouble_are_one_finding() -> None:
    status = {"containerStatuses": [container(waiting={"reason": "ImagePullBackOff"})]}
    found = one(check_pods.check(facts(pods=tuple(pod(f"yard-edge-{n}", status=status) for n in range(9)))))
    assert found.subject == "9 pods in yard"
    assert found.check == "resources.pod-image"
    assert "and 6 more" in found.found


def test_a_pod_that_waits_for_a_secret_s_volume() -> None:
    message = 'MountVolume.SetUp failed for volume "config-hub" : secret "umiak-hub" not found'
    about = {"kind": "Pod", "namespace": "umiak-system", "name": "umiak-hub-1"}
    event = {"involvedObject": about, "reason": "FailedMount", "message": message, "lastTimestamp": ago(5)}
    waiting = pod("umiak-hub-1", "umiak-system", status={"phase": "Pending", "conditions": [NOT_YET]})
    found = one(check_pods.check(facts(pods=(waiting,), events=(event,))))
    assert (found.check, found.found) == ("installation.pod-volume", f"FailedMount: {message}")


def test_a_pod_that_is_long_marked_for_deletion() -> None:
    leaving = pod(spec={"nodeName": "edge-1"}, deletionTimestamp=ago(900))
    found = one(check_pods.check(facts(pods=(leaving,))))
    assert (found.check, found.level) == ("resources.pod-terminating", "warning")
    assert "offline edge" in found.why


@pytest.mark.parametrize(
    ("message", "fix"),
    [
        ('violates PodSecurity "restricted:latest": hostPath volumes', "pod-security.kubernetes.io/enforce=privileged"),
        ("exceeded quota: small", "kubectl describe resourcequota -n yard"),
    ],
)
def test_pods_that_are_refused(message: str, fix: str) -> None:
    edge = {"metadata": {"name": "yard-edge", "namespace": "yard"}, "spec": {"replicas": 1}, "status": {}}
    about = {"kind": "ReplicaSet", "namespace": "yard", "name": "yard-edge-5d9"}
    event = {"involvedObject": about, "reason": "FailedCreate", "message": message}
    found = one(check_pods.check(facts(deployments=(edge,), events=(event,))))
    assert (found.check, found.subject) == ("resources.pod-refused", "Deployment yard/yard-edge")
    assert fix in found.next[0]
    healthy = {**edge, "status": {"replicas": 1}}
    assert list(check_pods.check(facts(deployments=(healthy,), events=(event,)))) == [], "an old event is no finding"


DEFAULT = {"metadata": {"name": "std", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
CLAIMS: list[tuple[tuple[Any, ...], tuple[Any, ...], str]] = [
    ((claim("umiak-hub", "Pending"),), (), "no default one (known: none)"),
    ((claim("umiak-hub", "Pending", storageClassName="fast"),), (DEFAULT,), "no storage class fast"),
    ((claim("umiak-hub", "Lost"),), (DEFAULT,), "is Lost"),
    ((), (DEFAULT,), "is gone"),
]


@pytest.mark.parametrize(("claims", "classes", "words"), CLAIMS)
def test_claims(claims: Any, classes: Any, words: str) -> None:
    found = one(check_storage.check(facts(deployments=(deployment("hub"),), claims=claims, storage_classes=classes)))
    assert (found.check, found.level) == ("storage.claim", "problem")
    assert words in found.found


def test_a_bound_claim_and_room_at_the_hub() -> None:
    figures = tuple(Figure(name, {}, value) for name, value in (
        ("umiak_hub_state_bytes", 2.0**30), ("umiak_hub_state_limit_bytes", 20 * 2.0**30)
    ))  # fmt: skip
    known = {"deployments": (deployment("hub"),), "claims": (claim("umiak-hub", "Bound"),)}
    found = list(check_storage.check(facts(**known, figures=figures)))
    assert said(found) == [("storage.claim", "ok"), ("storage.hub", "ok")]
    full = tuple(Figure(figure.name, {}, 20 * 2.0**30) for figure in figures)
    assert one(check_storage.check(facts(**known, figures=full))).check == "storage.hub"


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({}, "does not say umiak.dev/host-path=allowed"),
        ({"umiak.dev/host-path": "allowed", "pod-security.kubernetes.io/enforce": "baseline"}, "admits no hostPath"),
        ({"umiak.dev/host-path": "allowed", "pod-security.kubernetes.io/enforce": "privileged"}, ""),
    ],
)
def test_host_paths(labels: dict[str, str], words: str) -> None:
    space = {"metadata": {"name": "yard", "labels": labels}}
    known = {"resources": (resource(),), "namespaces": (space,)}
    found = list(check_storage.check(facts(**known, platform={"stateVolume": "hostPath"})))
    assert said(found) == [("storage.host-path", "problem" if words else "ok")]
    assert words in found[0].found
    assert list(check_storage.check(facts(**known, platform={"stateVolume": "persistentVolumeClaim"}))) == []


def test_edges_and_clocks_that_are_well() -> None:
    nodes = (node("cloud-1"), node("edge-1", KUBE_EDGE))
    found = list(check_nodes.check(facts(nodes=nodes, server_ahead=0.4)))
    assert said(found) == [("nodes.clock", "ok"), ("nodes.edges", "ok")]
    assert found[1].found == "edge nodes: 1, by KubeEdge: 1"


AWAY = condition("Ready", "Unknown", message="Kubelet stopped posting node status.", since=600)
NODES: list[tuple[tuple[Any, ...], str, str, str]] = [
    ((node("one"),), "nodes.edges", "problem", "no node carries node-role.kubernetes.io/edge"),
    ((node("edge-1", EDGE),), "nodes.cloud", "problem", "every node is an edge"),
    ((node("cloud-1"), node("edge-1", EDGE, AWAY)), "nodes.ready", "warning", "not ready since 10 min"),
    ((node("cloud-1", {}, AWAY), node("edge-1", EDGE)), "nodes.ready", "problem", "not ready since 10 min"),
    (
        (node("cloud-1", {}, condition("Ready", "True"), condition("DiskPressure", "True", message="full")),
         node("edge-1", EDGE)),
        "nodes.pressure", "problem", "DiskPressure: full",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "check", "level", "words"), NODES)
def test_nodes(nodes: Any, check: str, level: str, words: str) -> None:
    found = one(check_nodes.check(facts(nodes=nodes, resources=(resource(),))))
    assert (found.check, found.level) == (check, level)
    assert words in found.found


def test_an_absent_kubeedge_node_is_explained() -> None:
    found = one(check_nodes.check(facts(nodes=(node("cloud-1"), node("edge-1", KUBE_EDGE, AWAY)))))
    assert "kubectl shows what was last known of them" in found.why
    assert "edgecore" in found.next[0]


def test_selectors_of_ones_own_need_no_role() -> None:
    own = resource()
    own["spec"]["edge"]["nodes"]["matchLabels"] = {"site": "yard"}
    found = list(check_nodes.check(facts(nodes=(node("one", {"site": "yard"}), node("two")), resources=(own,))))
    assert said(found) == [("nodes.edges", "warning")]


FOREVER = [{"key": f"node.kubernetes.io/{why}", "effect": "NoExecute"} for why in ("not-ready", "unreachable")]


@pytest.mark.parametrize(
    ("tolerations", "good"),
    [
        (FOREVER, True),
        ([{"operator": "Exists"}], True),
        ([{**one, "tolerationSeconds": 300} for one in FOREVER], False),
        (FOREVER[:1], False),
        ([], False),
    ],
)
def test_tolerations_of_edge_pods(tolerations: list[dict[str, Any]], good: bool) -> None:
    sick = pod(labels={"umiak.dev/edge": "edge-1"}, spec={"nodeName": "edge-1", "tolerations": tolerations})
    found = said(check_nodes.check(facts(nodes=(node("cloud-1"), node("edge-1", EDGE)), pods=(sick,))))
    assert (("nodes.tolerations", "problem") in found) is not good


def lease(ahead: float) -> dict[str, Any]:
    fields = {"f:spec": {"f:renewTime": {}}}
    noted = [{"time": ago(30), "fieldsV1": fields}, {"time": ago(0), "fieldsV1": {"f:metadata": {}}}]
    return {"metadata": {"name": "edge-1", "managedFields": noted}, "spec": {"renewTime": ago(30 - ahead)}}


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [(0, "ok", "agrees with the API server's: 1"), (60, "warning", "60 s ahead of"), (-7200, "problem", "2 h behind")],
)
def test_clocks_of_nodes(ahead: float, level: str, words: str) -> None:
    (found,) = [
        item for item in check_nodes.check(facts(nodes=(), leases=(lease(ahead),))) if item.check == "nodes.clock"
    ]
    assert found.level == level
    assert words in found.found


@pytest.mark.parametrize(("ahead", "level"), [(3, "ok"), (30, "warning"), (-30, "warning"), (4000, "problem")])
def test_this_machine_s_clock(ahead: float, level: str) -> None:
    assert said(check_nodes.check(facts(server_ahead=ahead))) == [("nodes.clock", level)]


TOLD = {"hub": "https://gate.example/hub", "broker": "mqtts://gate.example:8883"}
CERTIFICATES: list[tuple[Secret | None, str, str, str]] = [
    (None, "certificates.tls", "problem", "is not there"),
    (Secret(frozenset(), ("tls.key is empty",)), "certificates.tls", "problem", "tls.key is empty"),
    (certificate(ends=NOW - 9000), "certificates.expiry", "problem", "expired 2 h ago"),
    (certificate(ends=NOW + 5 * 86_400), "certificates.expiry", "warning", "expires in 5 days"),
    (certificate(begins=NOW + 9000), "certificates.expiry", "problem", "is valid only in 2 h"),
    (certificate(names=("other.example",)), "certificates.names", "problem", "edges dial gate.example"),
    (certificate(fits_key=False), "certificates.key", "problem", "does not belong"),
    (certificate(gap_in_chain=True), "certificates.chain", "warning", "gap"),
    (certificate(self_signed=True), "certificates.chain", "warning", "signed by itself"),
    (certificate(authority="other"), "certificates.chain", "warning", "did not sign it"),
]


@pytest.mark.parametrize(("secret", "check", "level", "words"), CERTIFICATES)
def test_certificates(secret: Secret | None, check: str, level: str, words: str) -> None:
    found = one(check_certificates.check(facts(deployments=parts(), platform=TOLD, secrets={"gate-tls": secret})))
    assert (found.check, found.level, found.subject) == (check, level, "Secret umiak-system/gate-tls")
    assert words in found.found
    assert found.why
    assert found.next


@pytest.mark.parametrize(
    "secret", [certificate(), certificate(names=("*.example",)), certificate(self_signed=True, authority="fits")]
)
def test_good_certificates(secret: Secret) -> None:
    known = facts(deployments=parts(), platform=TOLD, secrets={"gate-tls": secret})
    assert said(check_certificates.check(known)) == [("certificates.tls", "ok")]


def test_a_certificate_of_the_installation_is_made_anew_by_the_operator() -> None:
    init = [{"command": ["python3", "--tls=gate-tls", "--make-tls", "--keys=mine"]}]
    known = (deployment("operator", initContainers=init), *parts()[1:])
    secrets = {"gate-tls": certificate(ends=NOW - 1), "mine": Secret(frozenset(("operator.key", "signing.key")))}
    found = one(check_certificates.check(facts(deployments=known, platform=TOLD, secrets=secrets)))
    assert "rollout restart -n umiak-system deployment/umiak-operator" in found.next[0]


def test_a_renewed_certificate_that_nobody_has_read() -> None:
    old = (Reach("gateway", TOLD["hub"], fingerprint="bb"), Reach("broker", TOLD["broker"], fingerprint="aa"))
    found = one(check_certificates.check(facts(deployments=parts(), secrets={"gate-tls": certificate()}, reaches=old)))
    assert (found.check, found.found) == ("certificates.stale", "another one is still shown by gateway")


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (None, "not there"),
        (Secret(frozenset(("operator.key",))), "lacks signing.key"),
        (Secret(frozenset(("operator.key", "signing.key")), ("operator.key is not hex text",)), "not hex"),
    ],
)
def test_keys(secret: Secret | None, words: str) -> None:
    found = one(check_certificates.check(facts(deployments=parts(), secrets={"umiak-keys": secret, "umiak-hub": None})
                                         if secret is None else facts(secrets={"umiak-keys": secret})))  # fmt: skip
    assert (found.check, found.level) == ("certificates.keys", "problem")
    assert words in found.found


def test_a_worker_s_secret_is_missed() -> None:
    known = {"umiak-keys": Secret(frozenset(("operator.key", "signing.key"))), "umiak-hub": None}
    found = one(check_certificates.check(facts(deployments=parts(), secrets=known)))
    assert (found.check, found.subject) == ("certificates.worker", "Secret umiak-system/umiak-hub")


REACHES: list[tuple[dict[str, str], str]] = [
    ({"failure": "name"}, "does not resolve from this machine"),
    ({"failure": "refused", "message": "Connection refused"}, "not reached from this machine: nobody listens"),
    ({"failure": "timeout"}, "no answer in time"),
    ({"failure": "tls", "message": "WRONG_VERSION_NUMBER"}, "speaks no TLS"),
    ({"failure": "answer", "message": "HTTP 502"}, "answers HTTP 502"),
    ({"untrusted": "self-signed certificate"}, "does not trust: self-signed certificate"),
]


@pytest.mark.parametrize(("how", "words"), REACHES)
def test_addresses_that_do_not_answer_here_are_a_warning(how: dict[str, Any], words: str) -> None:
    found = one(check_certificates.check(facts(reaches=(Reach("gateway", TOLD["hub"], **how),))))
    assert (found.check, found.level) == ("certificates.gateway", "warning")
    assert words in found.found
    assert "this machine" in found.found


def test_plain_addresses_are_warned_of() -> None:
    found = one(check_certificates.check(facts(platform={"hub": "http://h/hub", "broker": "mqtts://b"})))
    assert (found.check, found.level) == ("certificates.insecure", "warning")
    assert "http://h/hub" in found.found


RESOURCES: list[tuple[dict[str, Any], str, str]] = [
    (resource(conditions=[condition("Ready", "True", "Available")], edges={"summary": "2/2", "reporting": 1}),
     "resources.ready", "ok"),
    (resource(conditions=[condition("Ready", "False", "NoMatchingNodes", "0 nodes")]), "resources.ready", "problem"),
    (resource(conditions=[condition("Ready", "False", "EdgesProgressing", since=60)]), "resources.ready", "ok"),
    (resource(conditions=[condition("Ready", "False", "EdgesProgressing", since=6000)]), "resources.ready", "warning"),
    (resource(conditions=[condition("EdgesReporting", "False", "EdgesSilent", "edge-1")]),
     "resources.edges-reporting", "warning"),
    (resource("LifelongLearning", conditions=[condition("RoundSucceeded", "False", "JobFailed", "Job x")]),
     "resources.round-succeeded", "problem"),
    (resource("LifelongLearning", conditions=[condition("RoundSucceeded", "True", "Refused", "TooLittleGain: no")]),
     "resources.round-succeeded", "ok"),
    (resource("ModelPatch", conditions=[condition("Succeeded", "Unknown", "EdgesFailing", "edge-1: golden")]),
     "resources.succeeded", "problem"),
    (resource(conditions=[condition("Ready", "False", "NeverHeardOf", "?")]), "resources.ready", "unknown"),
    (resource(observedGeneration=1), "resources.unseen", "problem"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "check", "level"), RESOURCES, ids=[str(n) for n in range(len(RESOURCES))])
def test_resources(body: dict[str, Any], check: str, level: str) -> None:
    (found,) = check_resources.check(facts(resources=(body,)))
    assert (found.check, found.level) == (check, level)
    assert found.subject == f"{body['kind']} yard/yard"
    assert level == "ok" or (found.why and found.next)
    assert not any("{" in command for command in found.next)


def test_one_trouble_of_the_hub_is_said_once() -> None:
    away = [condition(kind, "Unknown", "HubUnreachable") for kind in ("EdgesReporting", "FleetObserved")]
    found = list(check_resources.check(facts(resources=(resource(conditions=away),))))
    assert said(found) == [("resources.edges-reporting", "warning")]


def test_a_resource_that_does_not_leave() -> None:
    body = resource()
    body["metadata"] |= {"deletionTimestamp": ago(4000), "finalizers": ["stranger.example/hold"]}
    found = one(check_resources.check(facts(resources=(body,))))
    assert found.check == "resources.leaving"
    assert "stranger.example/hold" in found.found


def test_queues_by_the_hub_s_figures() -> None:
    of = {"namespace": "yard", "resource": "yard"}
    figures = (
        Figure("umiak_fleet_queue_items", of, 40.0),
        Figure("umiak_fleet_queue_oldest_seconds", of, 4000.0),
        Figure("umiak_fleet_dropped_total", of, 3.0),
        Figure("umiak_fleet_agents", {**of, "state": "Failed"}, 2.0),
        Figure("umiak_fleet_agents", {**of, "state": "Idle"}, 2.0),
    )
    found = list(check_resources.check(facts(figures=figures)))
    assert said(found) == [
        ("resources.queue", "warning"), ("resources.dropped", "warning"), ("resources.agents", "problem"),
    ]  # fmt: skip
    assert found[0].found == "40 hard examples wait at edges, the oldest for 67 min"
    calm = tuple(Figure(figure.name, figure.labels, 0.0) for figure in figures)
    assert list(check_resources.check(facts(figures=calm))) == []


def test_a_training_job_that_is_tried_again() -> None:
    metadata = {"name": "yard-round-1", "namespace": "yard", "labels": {"umiak.dev/owner-name": "yard"}}
    job = {"metadata": metadata, "status": {"failed": 2, "active": 1}}
    assert one(check_resources.check(facts(jobs=(job,)))).check == "resources.training"
    ended = {**job, "status": {"failed": 1, "conditions": [condition("Failed", "True")]}}
    assert list(check_resources.check(facts(jobs=(ended,)))) == [], "its LifelongLearning says so"


def test_a_missing_right_is_named() -> None:
    gaps = (Gap("nodes", "list nodes"), Gap("pods", "", "no answer"))
    right, other = check_access.check(facts(gaps=gaps))
    assert (right.level, right.next[0]) == ("unknown", "kubectl auth can-i list nodes")
    assert "no answer" in other.found
