"""`umiak doctor` at a deliberately broken installation on a real API server: what a person reads, and what it may do.

Then the person types the very commands that were printed, mends the rest, and it has nothing to say any more.
"""

import datetime
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import control_plane
import provision
import pytest
import yaml
from apiserver_kit import ROOT, Kube, client, eventually, joint_inference, path

from umiak_operators.cli.doctor.finding import Report
from umiak_operators.plan.model import Platform
from umiak_operators.plan.platform import platform_objects
from umiak_operators.runtime.local.keys import load_or_make
from umiak_workers.contract.endpoints import BROKER, HUB

SYSTEM, STRANGER = "umiak-system", "stranger"
EDGE = "node-role.kubernetes.io/edge"
YARD = path("jointinferences", "yard", "yard")
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[control_plane.ControlPlane]:
    """A control plane of its own, without any resource definition of ours."""
    assets = provision.existing()
    if assets is None:
        text = "kube-apiserver, etcd, kube-controller-manager, kube-scheduler, kubectl and kwok (make kube)"
        pytest.fail(f"missing {text}") if os.environ.get("CI") else pytest.skip(f"needs {text}")
    tokens = {user: f"token-of-{user}-0123456789" for user in ("admin", control_plane.OPERATOR, STRANGER)}
    found = control_plane.ControlPlane(assets, tmp_path_factory.mktemp("kube"), tokens)
    try:
        found.start()
        found.start_controllers()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def kube(plane: control_plane.ControlPlane) -> Iterator[Kube]:
    """The administrator, with a node that is no edge."""
    with client(plane) as http:
        found = Kube(plane, http)
        found.node("cloud-1", {})
        yield found


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def deployment(
    name: str, space: str, component: str, volumes: list[dict[str, Any]], **container: Any
) -> dict[str, Any]:
    """A Deployment with our labels; kwok makes its pods Ready."""
    labels = {"app.kubernetes.io/name": "umiak", "umiak.dev/component": component}
    image = f"registry.example/umiak/{component}:9"
    spec = {"containers": [{"name": component, "image": image, **container}], "volumes": volumes}
    if component == "operator":
        command = ["python3", "-m", "umiak_operators.cli.installation", "--keys=umiak-keys", "--make-keys"]
        spec["initContainers"] = [{"name": "installation", "image": image, "command": command}]
    template = {"metadata": {"labels": labels}, "spec": spec}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": space, "labels": labels},
    }
    return {**body, "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}}


def hub_and_signer(folder: Path, *kinds: str) -> list[dict[str, Any]]:
    """The product's own objects."""
    images = {role: f"registry.example/umiak/{role}:9" for role in ("hub", "signer")}
    keys, addresses = load_or_make(folder), {HUB: "https://127.0.0.1:1/hub", BROKER: "mqtts://127.0.0.1:1"}
    platform = Platform(images, addresses, {}, keys.operator, (keys.trusted,))
    return [dict(body) for body in platform_objects(platform, keys.signing, SYSTEM) if body["kind"] in kinds]


def doctor(kube: Kube, *arguments: str, user: str = control_plane.OPERATOR) -> subprocess.CompletedProcess[str]:
    """The command, with nothing but a user's rights."""
    config = str(kube.plane.kubeconfig(user))
    command = [sys.executable, "-m", "umiak_operators.cli.doctor.command", "--kubeconfig", config, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def report(kube: Kube, *arguments: str, user: str = control_plane.OPERATOR) -> Report:
    done = doctor(kube, "-o", "json", *arguments, user=user)
    found = Report.model_validate_json(done.stdout)
    assert done.returncode == found.exit_code
    return found


def bad(found: Report) -> dict[tuple[str, str], str]:
    """(check, subject) -> words of every problem."""
    return {(one.check, one.subject): one.found for one in found.findings if one.level == "problem"}


@pytest.fixture(scope="module")
def broken(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Kube:
    """Everything that goes wrong in a first week."""
    rights = [body for body in yaml.safe_load_all((ROOT / "docs/reference/doctor-rbac.yaml").read_text()) if body]
    kube.apply(namespace(SYSTEM), namespace("yard", **{"pod-security.kubernetes.io/enforce": "baseline"}), *rights)
    who = f"--user={control_plane.OPERATOR}"
    kube.run("create", "clusterrolebinding", "umiak-doctor", "--clusterrole=umiak-doctor", who)
    kube.run("create", "rolebinding", "umiak-doctor", "-n", SYSTEM, "--role=umiak-doctor", who)
    for name in ("jointinferences", "lifelonglearnings"):  # the third is missing
        kube.run("apply", "-f", str(ROOT / "crds" / f"{name}.umiak.dev.yaml"))
    kube.run("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    tls = [{"name": "tls", "secret": {"secretName": "umiak-tls"}}]
    host = [{"name": "state", "hostPath": {"path": "/var/lib/umiak"}}]
    told = {"hub": "https://127.0.0.1:1/hub", "broker": "mqtts://127.0.0.1:1", "stateVolume": "hostPath"}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "umiak-platform", "namespace": SYSTEM}}
    kube.apply(
        deployment("umiak-operator", SYSTEM, "operator", []),
        deployment("umiak-broker", SYSTEM, "broker", tls),
        deployment("umiak-gateway", SYSTEM, "gateway", tls),
        deployment("yard-edge", "yard", "edge", host),
        {**config, "data": {"platform.yaml": yaml.safe_dump(told)}},
        *hub_and_signer(tmp_path_factory.mktemp("keys"), "Deployment", "PersistentVolumeClaim", "Service"),
        joint_inference("yard", edge={**joint_inference("yard")["spec"]["edge"], "nodes": {"matchLabels": {EDGE: ""}}}),
    )
    verdict(kube, "False", "NoMatchingNodes", f"0 nodes carry {EDGE}=, edge.minReady is 1")
    renew(kube, 0)
    renew(kube, -200)
    eventually(lambda: available(kube, "umiak-broker"), what="the broker's pod")
    (pod,) = kube.items(path("pods", SYSTEM), "umiak.dev/component=broker")
    back_off = {"reason": "ImagePullBackOff", "message": "Back-off pulling image: manifest unknown"}
    statuses = [
        {**one, "ready": False, "started": False, "state": {"waiting": back_off}}
        for one in pod["status"]["containerStatuses"]
    ]
    kube.http.patch(
        path("pods", SYSTEM, pod["metadata"]["name"]) + "/status",
        content=json.dumps({"status": {"containerStatuses": statuses}}),
        headers=MERGE,
    ).raise_for_status()
    eventually(lambda: "PodSecurity" in json.dumps(kube.items(path("events", "yard"))), what="the refusal")
    return kube


def available(kube: Kube, name: str) -> bool:
    return bool((kube.get(path("deployments", SYSTEM, name)) or {}).get("status", {}).get("availableReplicas"))


def verdict(kube: Kube, status: str, reason: str, message: str) -> None:
    """What an operator would write, with nobody here to be one."""
    when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": when}
    generation = (kube.get(YARD) or {})["metadata"]["generation"]
    body = {"status": {"observedGeneration": generation, "conditions": [said]}}
    kube.http.patch(f"{YARD}/status", content=json.dumps(body), headers=MERGE).raise_for_status()


def renew(kube: Kube, ahead: float) -> None:
    """The node's kubelet renews its lease, by its own clock."""
    when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead)
    spec = {"holderIdentity": "cloud-1", "renewTime": when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    live = kube.get(f"{LEASES}/cloud-1")
    if live is None:
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "cloud-1"}, "spec": spec}
        kube.http.post(LEASES, json=body).raise_for_status()
    else:
        kube.http.put(f"{LEASES}/cloud-1", json={**live, "spec": spec}).raise_for_status()


def test_a_person_reads_what_is_wrong_and_what_to_type(broken: Kube) -> None:
    done = doctor(broken)
    assert done.returncode == 1, done.stderr
    print(done.stdout)
    for said in (
        "Kubernetes v1.",
        "CustomResourceDefinition modelpatches.umiak.dev: is not defined in this cluster",
        "do  kubectl apply -f crds/",
        "Deployment umiak-system/umiak-hub: not available",
        "image registry.example/umiak/broker:9 cannot be pulled (ImagePullBackOff)",
        "the registry has no such image",
        "PersistentVolumeClaim umiak-system/umiak-hub: Pending: it names no storage class",
        "do  kubectl label namespace yard umiak.dev/host-path=allowed",
        'violates PodSecurity "baseline',
        f"no node carries {EDGE}",
        "Node cloud-1: its clock is 3 min behind the API server's",
        "Secret umiak-system/umiak-keys: the Secret of keys is not there",
        "Secret umiak-system/umiak-tls: the certificate's Secret is not there",
        "https://127.0.0.1:1/hub is not reached from this machine",
        f"JointInference yard/yard: Ready=False/NoMatchingNodes: 0 nodes carry {EDGE}=",
    ):
        assert said in done.stdout


def test_it_only_reads_and_the_rights_suffice(broken: Kube) -> None:
    offset = broken.audit_end()
    found = report(broken)
    assert not [one for one in found.findings if one.section == "access"]
    events = broken.audit(offset)
    assert {event["verb"] for event in events} <= {"get", "list"}
    assert len(events) > 10
    assert broken.decided(offset, "forbid") == set()


def test_without_rights_it_names_each_that_is_missing(broken: Kube) -> None:
    found = report(broken, user=STRANGER)
    assert found.exit_code == 2
    asked = [one.next[0] for one in found.findings if one.check == "access.rights"]
    assert "kubectl auth can-i list nodes" in asked
    assert "kubectl auth can-i list pods -A" in asked
    for question in asked:
        answer = broken.run(*shlex.split(question)[1:], f"--as={STRANGER}", check=False)
        assert answer.stdout.strip().endswith("no"), f"{question}: {answer.stdout}{answer.stderr}"
    wrong = broken.plane.folder / "wrong.kubeconfig"
    wrong.write_text(broken.plane.kubeconfig("admin").read_text().replace(broken.plane.tokens["admin"], "nobody"))
    done = doctor(broken, "--kubeconfig", str(wrong))
    assert done.returncode == 2
    assert "does not accept these credentials" in done.stdout


def test_one_resource_alone(broken: Kube) -> None:
    found = report(broken, "--resource", "ji/yard", "-n", "yard")
    assert ("resources.ready", "JointInference yard/yard") in bad(found)
    assert ("storage.host-path", "Namespace yard") in bad(found)
    absent = report(broken, "--resource", "jointinference/nobody", "-n", "yard")
    assert "there is no JointInference nobody in namespace yard" in [one.found for one in absent.findings]


def typed(kube: Kube, found: Report, check: str, subject: str) -> None:
    """The first command of a finding, as it was printed."""
    (finding,) = [one for one in found.findings if (one.check, one.subject, one.level) == (check, subject, "problem")]
    words = [str(ROOT / "crds") if word == "crds/" else word for word in shlex.split(finding.next[0])]
    assert words[0] == "kubectl"
    kube.run(*words[1:])


def test_what_it_prints_can_be_typed(broken: Kube) -> None:
    found = report(broken)
    typed(broken, found, "versions.definitions", "CustomResourceDefinition modelpatches.umiak.dev")
    typed(broken, found, "storage.host-path", "Namespace yard")
    broken.run("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    again = report(broken)
    assert ("versions.definitions", "CustomResourceDefinition modelpatches.umiak.dev") not in bad(again)
    assert "enforces PodSecurity baseline" in bad(again)["storage.host-path", "Namespace yard"]
    typed(broken, again, "storage.host-path", "Namespace yard")
    assert ("storage.host-path", "Namespace yard") not in bad(report(broken))


def volume(name: str, size: str) -> dict[str, Any]:
    spec = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": f"/never/used/{name}"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def test_once_all_is_mended_it_has_nothing_to_say(broken: Kube, tmp_path: Path) -> None:
    kube = broken
    kube.node("edge-1", {EDGE: ""})
    kube.apply(volume("for-hub", "20Gi"), volume("for-signer", "64Mi"), *hub_and_signer(tmp_path, "Secret"))
    keys = [f"--from-file={tmp_path}/{name}" for name in ("operator.key", "signing.key")]
    kube.run("create", "secret", "generic", "umiak-keys", "-n", SYSTEM, *keys)
    certificate(tmp_path)
    cert = [f"--cert={tmp_path}/tls.crt", f"--key={tmp_path}/tls.key"]
    kube.run("create", "secret", "tls", "umiak-tls", "-n", SYSTEM, *cert)
    kube.run("delete", "pods", "-n", SYSTEM, "-l", "umiak.dev/component=broker")
    kube.run("rollout", "restart", "-n", "yard", "deployment/yard-edge")
    verdict(kube, "True", "Available", "edges and cloud are available")
    renew(kube, 0)
    for part in ("operator", "hub", "signer", "broker", "gateway"):
        eventually(lambda name=f"umiak-{part}": available(kube, name), 90, what=part)
    for _ in range(12):  # controllers of a busy machine take their time
        found = report(kube)
        if found.exit_code == 0:
            break
    assert bad(found) == {}
    assert found.exit_code == 0
    assert {one.check for one in found.findings if one.level == "warning"} <= {
        "certificates.gateway", "certificates.broker", "certificates.chain", "certificates.expiry",
    }  # fmt: skip
    text = doctor(kube).stdout
    print(text)
    assert "nodes whose clock agrees with the API server's: 1" in text
    secrets = [(tmp_path / name).read_text().strip() for name in ("operator.key", "signing.key", "tls.key")]
    assert not any(line in text for secret in secrets for line in secret.splitlines() if "KEY" not in line)


def certificate(folder: Path) -> None:
    """A self-signed certificate for 127.0.0.1."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - day, now + 30 * day
    )
    where = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = builder.add_extension(where, critical=False).sign(key, hashes.SHA256())
    (folder / "tls.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    (folder / "tls.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
