"""A real kubelet: the page's own commands install Umiak, photos are answered, a Job trains, a model is rolled out."""

import base64
import json
import re
import time
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from cluster import CLOUD_ADDRESS, CLOUD_NODE, PLAIN_EDGE, until
from cluster_kit import SYSTEM, Camera, Site, note, page
from hosts import Failed
from processes import Processes

pytestmark = pytest.mark.timeout(1500, func_only=True)
DOCTOR = "umiak doctor"
TRAINED = 420
"""Seconds that a round may take on a shared machine."""


def forwarded(site: Site) -> AbstractContextManager[str]:
    """The router's address, as the page says."""
    return site.forwarded(f"deployment/yard-edge-{PLAIN_EDGE}", "yard", 8600)


def test_every_pod_runs_where_only_restricted_ones_are_admitted(site: Site) -> None:
    privileged = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "no", "namespace": SYSTEM},
        "spec": {"hostNetwork": True, "containers": [{"name": "c", "image": "umiak/hub:0.1.0"}]},
    }
    with pytest.raises(Failed, match='violates PodSecurity "restricted'):
        site.cluster.apply(privileged)
    pods = site.items("pods", SYSTEM)
    assert {pod["metadata"]["labels"]["umiak.dev/component"] for pod in pods} >= {
        "operator", "hub", "signer", "broker", "gateway",
    }  # fmt: skip
    for pod in pods:
        assert all(one["ready"] for one in pod["status"]["containerStatuses"]), site.pods()
    assert "Phase:          Succeeded" in site.shell(f"helm test umiak -n {SYSTEM}")


DIAL = """
import json, socket, sys, time
def reached(where):
    for _ in range(8):  # the node's firewall needs a moment to learn of a new pod
        try:
            socket.create_connection(where.rsplit(":", 1), 2).close()
            return "open"
        except OSError as error:
            said = type(error).__name__
        time.sleep(1)
    return said
print(json.dumps({where: reached(where) for where in sys.argv[1:]}))
"""


def test_policies_let_in_who_belongs_there_and_nobody_else(site: Site) -> None:
    """Beside all other tests here, which show that they are in nobody's way."""
    if site.cluster.firewall is None:
        pytest.skip("needs kube-router on PATH, which the Go module proxy does not have: no policy is enforced here")
    site.cluster.kubectl("create", "namespace", "stranger")
    ours = {"app.kubernetes.io/name": "umiak"}
    hub, inside, outside = "umiak-hub:8800", "umiak-broker:1883", "umiak-gateway:443"
    refused = ("TimeoutError", "ConnectionRefusedError")
    seen = dialled(site, {}, hub, inside, outside)
    assert seen[outside] == "open"
    assert seen[hub] in refused
    assert seen[inside] in refused
    assert dialled(site, {**ours, "umiak.dev/component": "trainer"}, hub) == {hub: "open"}
    assert dialled(site, {**ours, "umiak.dev/component": "edge"}, hub)[hub] in refused
    site.cluster.kubectl("delete", "namespace", "stranger", "--timeout=60s")


def dialled(site: Site, labels: dict[str, str], *services: str) -> dict[str, str]:
    """What became of a connection from a pod with these labels, in another namespace, to each service:port."""
    image = site.items("pods", SYSTEM, "-l", "umiak.dev/component=hub")[0]["spec"]["containers"][0]["image"]
    addresses = {f"{site.get('service', name, SYSTEM)['spec']['clusterIP']}:{port}": f"{name}:{port}"
                 for name, port in (service.split(":") for service in services)}  # fmt: skip
    container = {"name": "dial", "image": image, "command": ["python3", "-c", DIAL, *addresses]}
    spec = {"nodeName": CLOUD_NODE, "restartPolicy": "Never", "containers": [container]}
    metadata = {"name": "dial", "namespace": "stranger", "labels": labels}
    site.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    ended = ("Succeeded", "Failed")
    until(lambda: site.get("pod", "dial", "stranger")["status"]["phase"] in ended, 90, "still dials: ", site.pods)
    said: dict[str, str] = json.loads(site.shell("kubectl logs -n stranger dial"))
    site.shell("kubectl delete pod dial -n stranger --wait")
    return {addresses[where]: how for where, how in said.items()}


def test_the_page_leads_to_a_first_answer(site: Site, photos: Path) -> None:
    apply, *others = page("install-kubernetes.md")["3. Ask for something"][0].splitlines()
    began = time.time()
    site.shell(apply)
    answers: list[dict[str, Any]] = []
    until(lambda: bool(answers or answers.extend(asked(site, min(photos.iterdir())))), 120, "no answer: ", site.pods)
    first = time.time() - began
    site.shell("\n".join(others), 300)
    note(kubelet_apply_to_first_answer_seconds=first, kubelet_apply_to_ready_seconds=time.time() - began)
    assert answers[0]["answer"]["revision"] == 0


def asked(site: Site, photo: Path) -> list[dict[str, Any]]:
    """What the edge says of a photo; nothing while it cannot be asked."""
    try:
        with forwarded(site) as router:
            found: list[dict[str, Any]] = json.loads(site.shell(f"umiak infer {photo} --router {router} --json"))
            return found
    except AssertionError:
        return []


def test_the_page_pushes_photos(site: Site) -> None:
    (block,) = page("install-kubernetes.md")["4. Push photos"]
    site.shell(f"export NODE={PLAIN_EDGE}; trap 'kill $(jobs -p); rm -rf dusk' EXIT\n{block}", 600)


def test_the_doctor_finds_nothing_wrong_and_then_what_is(site: Site) -> None:
    """Of real kubelets, containers and certificates; then of an image that no node has and nobody can pull."""
    assert not problems(site)
    site.cluster.kubectl("set", "image", "-n", SYSTEM, "deployment/umiak-gateway", "*=umiak/gateway:nowhere")
    until(lambda: "umiak/gateway:nowhere" in str(problems(site)), 120, "not found: ", lambda: site.shell(DOCTOR))
    site.cluster.kubectl("rollout", "undo", "-n", SYSTEM, "deployment/umiak-gateway")
    site.cluster.kubectl("rollout", "status", "-n", SYSTEM, "deployment/umiak-gateway", "--timeout=60s")
    until(lambda: not problems(site), 120, "still ill: ", lambda: site.shell(DOCTOR))


def problems(site: Site) -> list[dict[str, Any]]:
    """What `umiak doctor` calls a problem."""
    findings = json.loads(site.shell(f"{DOCTOR} --output json || true"))["findings"]
    return [finding for finding in findings if finding["level"] == "problem"]


def test_images_are_pushed_and_pulled(site: Site) -> None:
    """The page's command fills a real registry, and a kubelet runs what it pulled from there."""
    registry = f"{CLOUD_ADDRESS}:5000"
    processes = Processes(site.folder)
    crane = str(site.cluster.programs["crane"])
    processes.start("crane", [*site.cluster.cloud.prefix, crane, "registry", "serve", "--address", registry])
    try:
        _, push = page("install-kubernetes.md")["1. Images"]
        own = push.strip().replace("registry.example/team", f"{registry}/team")
        said = site.shell(f"{own} IMAGES='broker gateway' ARGS=--plain-http", 300)
        pushed = [line for line in said.splitlines() if line.startswith(registry)]  # make may say where it is
        assert pushed == [f"{registry}/team/umiak/{name}:0.1.0" for name in ("broker", "gateway")]
        site.cluster.node.containerd.trust(registry)
        site.cluster.kubectl(
            "set", "image", "-n", SYSTEM, "deployment/umiak-gateway", f"*={registry}/team/umiak/gateway:0.1.0"
        )
        site.cluster.kubectl("rollout", "status", "-n", SYSTEM, "deployment/umiak-gateway", "--timeout=120s")
        site.cluster.kubectl("rollout", "undo", "-n", SYSTEM, "deployment/umiak-gateway")
        site.cluster.kubectl("rollout", "status", "-n", SYSTEM, "deployment/umiak-gateway", "--timeout=60s")
    finally:
        processes.stop()


def test_easy_photos_stay_at_the_edge_and_hard_ones_are_seen_by_the_cloud(site: Site, photos: Path) -> None:
    with forwarded(site) as router:
        lines = Camera(router, photos, site.folder, "--frames", "60", "--pace", "0.2").finish(300)
    who = Counter(line["answer"]["answered_by"] for line in lines)
    assert sum(who.values()) == 60
    assert who["edge"], who
    assert len(who) > 1, "no photo was answered with the cloud"
    note(kubelet_edge_pod_resident_mebibytes=site.resident_mebibytes(site.cluster.plain.containerd))


def test_a_job_trains_and_its_model_reaches_the_edge(site: Site, photos: Path) -> None:
    """The page's own example: 60 hard photos at dusk, then a Job; what it makes is better there and is rolled out."""
    before = site.get("ji", "yard")["status"]["line"]["digest"]
    (command,) = page("install-kubernetes.md")["Learn from what was hard"]
    site.shell(command)
    with forwarded(site) as router:
        camera = Camera(router, photos, site.folder, "--pace", "0.25", "--first", "1000")
        until(lambda: bool(site.items("jobs")), TRAINED, "no Job: ", lambda: site.shell("kubectl get umiak -n yard"))
        camera.stop()
        logs = "kubectl logs -n yard -l umiak.dev/component=trainer --tail=20"
        until(
            lambda: "lastRound" in site.get("ll", "yard")["status"], TRAINED, "no verdict: ", lambda: site.shell(logs)
        )
        last = site.get("ll", "yard")["status"]["lastRound"]
        assert last["outcome"] == "Promoted", last
        assert last["base"] == before
        after = Camera(router, photos, site.folder, "--pace", "1", "--first", "5000")
        took = until(lambda: site.runs(after) == last["candidate"], 120, "the edge did not take the model")
        after.stop()
    until(lambda: site.get("ji", "yard")["status"]["line"]["digest"] == last["candidate"], 60, "the head did not move")
    (patch,) = site.items("mp")
    until(lambda: site.condition("mp", patch["metadata"]["name"], "Succeeded").get("status") == "True", 60, "not done")
    note(kubelet_verdict_to_edge_seconds=took, kubelet_round_samples=last["samples"])


def test_logs_are_read_with_kubectl(site: Site) -> None:
    for container in ("edge", "router", "agent"):
        text = site.shell(f"kubectl logs -n yard deployment/yard-edge-{PLAIN_EDGE} -c {container}")
        assert f'"role": "{container}"' in text
        assert not re.search(r"[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{40,}", text), "a token in a log"
    assert '"event": "ready"' in site.shell("kubectl logs -n yard deployment/yard-cloud")


def test_deleting_the_resources_leaves_nothing(site: Site) -> None:
    site.shell("kubectl delete ll,ji,mp --all -n yard --wait --timeout=60s")
    until(lambda: site.gone(), 90, "left behind: ", lambda: site.shell("kubectl get all,secret,pvc -n yard"))
    key = base64.b64decode(site.get("secret", "umiak-keys", SYSTEM)["data"]["operator.key"])
    assert key, "the installation's keys are nobody's child"
    site.cluster.kubectl("delete", "namespace", "yard", "--timeout=60s")
