"""Real KubeEdge: edges that reach the cloud over one thin link, are cut off, lose containers and EdgeCore, and return.

The order of the tests is the order of a day; each leaves the edges online and answering.
"""

import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster, until
from cluster_kit import ROOT, Camera, Site, note, page
from delay import Delay
from hosts import Host
from kubeedge import EdgeNode

pytestmark = pytest.mark.timeout(1200, func_only=True)
NAMES = ("edge-1", "edge-2")
ROUTER = "http://127.0.0.1:8600"
OFFLINE_SECONDS = 150
"""Longer than NotReady (about 40 s) and the eviction of pods that do not tolerate it (a minute here, not five)."""
OUTSIDE = (30443, 30883)
"""Ports of gateway and broker."""
WHO = ("edge", "cloud")
LARGER = "docs/examples/03-model-patch/umiak.yaml"


@pytest.fixture(scope="module")
def edges(site: Site, archives: dict[str, Path]) -> dict[str, EdgeNode]:
    """Two KubeEdge nodes, each in a network of its own; the plain node is no edge any more."""
    found: Cluster = site.cluster
    found.kubectl("label", "node", "plain-1", "node-role.kubernetes.io/edge-", "--overwrite")
    found.kubectl("cordon", "plain-1")
    found.start_kubeedge()
    for name in NAMES:
        found.join(name).containerd.load(archives["edge"])
    return found.edges


@pytest.fixture(scope="module")
def yard(site: Site, edges: dict[str, EdgeNode], photos: Path) -> Iterator[None]:
    """The page's resource; nothing is left of it afterwards."""
    began = time.time()
    block, *_ = page("install-kubeedge.md")["Install"]
    commands = [line for line in block.splitlines() if line.startswith("kubectl")]
    site.shell(commands[0])
    camera = Camera(ROUTER, photos, site.folder, "--frames", "1", at=edges["edge-1"].link.edge)
    first = site.first_answer(camera) - began
    camera.finish(30)
    site.shell(commands[1], 300)
    note(kubeedge_apply_to_first_answer_seconds=first, kubeedge_apply_to_ready_seconds=time.time() - began)
    yield
    site.shell("kubectl delete ji,mp --all -n yard --wait --timeout=60s")
    until(lambda: site.gone(), 120, "left behind: ", lambda: site.shell("kubectl get all,secret,pvc -n yard"))


def host(node: EdgeNode) -> Host:
    return node.link.edge


def uids(site: Site) -> dict[str, str]:
    """Pods of edges: name -> uid."""
    found = site.items("pods", "yard", "-l", "umiak.dev/component=edge")
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in found}


def frames(lines: list[dict[str, Any]]) -> list[str]:
    return [line["answer"]["frame"] for line in lines]


def hard(lines: list[dict[str, Any]]) -> set[str]:
    """Frames that some rule called hard: each has to reach the cloud, at once or later."""
    return {line["answer"]["frame"] for line in lines if line["answer"]["rule"]}


def stored(site: Site) -> Counter[str]:
    return Counter(str(sample.frame) for sample in site.samples())


def log_of(node: EdgeNode) -> list[dict[str, Any]]:
    """The whole answer log of an edge, asked on its own host."""
    rows: list[dict[str, Any]] = []
    while True:
        after = rows[-1]["row"] if rows else 0
        text = host(node).run("curl", "-sS", "--fail", f"{ROUTER}/v1/answers?after={after}&limit=1000")
        more = json.loads(text)["answers"]
        if not more:
            return rows
        rows += more


def test_photos_are_answered_and_hard_ones_reach_the_cloud(
    site: Site, edges: dict[str, EdgeNode], yard: None, photos: Path
) -> None:
    cameras = [
        Camera(ROUTER, photos, site.folder, "--frames", "40", "--pace", "0.4", at=host(edges[name])) for name in NAMES
    ]
    lines = [line for camera in cameras for line in camera.finish(300)]
    assert len(set(frames(lines))) == 80, "both edges answered every photo, under names of their own"
    assert "edge" in {line["answer"]["answered_by"] for line in lines}
    wanted = hard(lines)
    assert wanted
    until(lambda: wanted <= set(stored(site)), 120, "hard examples did not reach the hub")
    resident = edges["edge-1"].containerd.memory("yard-edge-") / 2**20
    note(kubeedge_edge_pod_resident_mebibytes=resident)


def push_model(site: Site) -> None:
    """The commands of the example's page, but for the port."""
    key = "kubectl get secret umiak-keys -n umiak-system -o go-template='{{index .data \"operator.key\"}}'"
    file = site.folder / "operator.token"
    site.shell(f"{key} | base64 -d | umiak token > {file}")
    with site.forwarded("service/umiak-hub", "umiak-system", 8800) as hub:
        site.shell(f"umiak model push builtin:yard-cloud --hub {hub} --token-file {file}")


def test_a_model_release_arrives(site: Site, edges: dict[str, EdgeNode], yard: None, photos: Path) -> None:
    (patch,) = [part for part in (ROOT / LARGER).read_text().split("\n---\n") if "kind: ModelPatch" in part]
    wanted = patch.split("to: ")[1].split()[0]
    # the line outlives resources: a round of an earlier one may have moved its head
    head = site.get("ji", "yard")["status"]["line"]["digest"]
    patch = re.sub(r"from: \S+", f"from: {head}", patch)
    push_model(site)
    before = {name: edges[name].link.sent()[1] for name in NAMES}
    began = time.monotonic()
    site.cluster.kubectl("apply", "-f", "-", feed=patch)
    until(lambda: site.condition("mp", "larger", "Succeeded").get("status") == "True", 180, "not rolled out")
    note(
        kubeedge_release_to_both_edges_seconds=time.monotonic() - began,
        kubeedge_release_bytes_per_edge=max(edges[name].link.sent()[1] - before[name] for name in NAMES),
    )
    for name in NAMES:
        (line,) = Camera(ROUTER, photos, site.folder, "--frames", "1", "--first", "900", at=host(edges[name])).finish(
            60
        )
        assert line["answer"]["model"] == wanted


def test_offline_nothing_is_lost_and_no_pod_is_replaced(
    site: Site, edges: dict[str, EdgeNode], yard: None, photos: Path
) -> None:
    """CloudCore stopped and the link cut for minutes; a container killed, EdgeCore restarted, meanwhile."""
    edge, pods = edges["edge-1"], uids(site)
    site.cluster.apply(bystander())
    site.cluster.kubectl("wait", "--for=condition=Ready", "pod/bystander", "--timeout=60s")
    before = stored(site)
    camera = Camera(ROUTER, photos, site.folder, "--pace", "0.5", "--first", "2000", at=host(edge))
    until(lambda: len(camera.answers()) > 5, 60, "the camera does not start")

    assert site.cluster.cloudcore
    site.cluster.cloudcore.stop()
    edge.link.cut()
    cut = time.time()
    until(lambda: len(since(camera, cut + 20)) > 5, 90, "no answers offline")
    edge.containerd.kill("yard-edge-", "edge")
    killed = time.time()
    until(lambda: bool(since(camera, killed)), 60, "no answer after the model server was killed")
    first = since(camera, killed)[0]
    back = first["began"] + first["seconds"] - killed
    edge.containerd.kill("yard-edge-", "router")
    router_killed = time.time()
    until(lambda: bool(since(camera, router_killed)), 60, "no answer after the router was killed")
    edge.stop_edgecore()
    edge.start()
    restarted = time.time()
    until(lambda: len(since(camera, restarted + 20)) > 5, 90, "no answer after EdgeCore's restart")
    until(lambda: site.condition("ji", "yard", "EdgesReporting").get("status") == "False", 60, "said to be reporting")
    left = cut + OFFLINE_SECONDS - time.time()
    time.sleep(max(0.0, left))
    gone = site.get("pod", "bystander", "default")["metadata"].get("deletionTimestamp")
    assert gone, "a pod without our tolerations is marked for deletion by now: the test is long enough"

    offline = time.time() - cut
    edge.link.mend()
    site.cluster.cloudcore.start()
    mended = time.time()
    until(
        lambda: site.condition("ji", "yard", "EdgesReporting").get("status") == "True", 120, "still said to be silent"
    )
    reporting = time.time() - mended
    lines = camera.stop()
    wanted = hard(lines)
    drained = until(lambda: wanted <= set(stored(site)), 300, "the backlog was not delivered")

    numbers = [line["sequence"] for line in lines]
    assert numbers == list(range(2000, 2000 + len(numbers))), "a photo went unanswered"
    first = Counter(row["answer"]["frame"] for row in log_of(edge) if row["answer"]["revision"] == 0)
    assert all(first[frame] == 1 for frame in frames(lines)), "one revision 0 for each frame"
    after = stored(site)
    assert all(count == 1 for count in after.values()), "each hard example is stored once"
    assert set(after) >= set(before) | wanted
    assert uids(site) == pods, "a pod was replaced"
    away = [line for line in lines if cut + 5 < line["began"] < cut + offline - 5]
    quiet = [line for line in away if not any(when - 5 < line["began"] < when + 20 for when in (killed, router_killed))]
    assert quiet
    assert all(line["tries"] == 1 for line in quiet), "without a kill every photo is answered at the first push"
    assert {line["answer"]["answered_by"] for line in away} == {"edge"}
    note(
        offline_minutes_survived=offline / 60,
        offline_photos_answered=len(away),
        offline_photos_pushed_again=sum(line["tries"] > 1 for line in away),
        offline_photos_lost=numbers[-1] - numbers[0] + 1 - len(set(numbers)),
        offline_hard_examples_delivered_later=len(hard(away)),
        offline_slowest_answer_seconds=max(line["seconds"] for line in away),
        offline_model_server_restart_to_answer_seconds=back,
        reconnect_to_truthful_status_seconds=reporting,
        reconnect_to_backlog_delivered_seconds=drained + reporting,
    )


def test_over_a_thin_link(site: Site, edges: dict[str, EdgeNode], yard: None, photos: Path) -> None:
    """5 Mbit/s each way by the kernel's token bucket, 80 ms of round trip by Toxiproxy: an emulation, and called so."""
    edge = edges["edge-2"]
    delay = Delay(edge.link, site.cluster.programs["toxiproxy"], site.folder / "delay")
    edge.link.shape(5)
    delay.start(OUTSIDE, 40)
    try:
        edge.containerd.kill("yard-edge-", "router")  # it dials again, the long way
        Camera(ROUTER, photos, site.folder, "--frames", "5", "--first", "6000", at=host(edge)).finish(120)
        up, down = edge.link.sent()
        camera = Camera(
            ROUTER, photos, site.folder, "--frames", "60", "--pace", "0.5", "--first", "7000", at=host(edge)
        )
        lines = camera.finish(300)
        more_up, more_down = edge.link.sent()
        assert delay.used(OUTSIDE[0]), "no connection went the long way"
    finally:
        delay.stop(OUTSIDE)
        edge.link.unshape()
    whole = {who: [line["seconds"] * 1000 for line in lines if line["answer"]["answered_by"] == who] for who in WHO}
    assert len(lines) == 60
    assert whole["edge"]
    assert whole["cloud"], "no hard photo was answered with the cloud within the deadline"
    assert min(whole["cloud"]) > 80, "an answer of the cloud takes longer than the round trip"
    note(
        thin_link_photos=len(lines),
        thin_link_answered_with_cloud=len(whole["cloud"]),
        thin_link_edge_milliseconds_p50=statistics.median(whole["edge"]),
        thin_link_cloud_milliseconds_p50=statistics.median(whole["cloud"]),
        thin_link_kilobytes_up=(more_up - up) / 1000,
        thin_link_kilobytes_down=(more_down - down) / 1000,
    )


def since(camera: Camera, moment: float) -> list[dict[str, Any]]:
    """Answers to photos that were taken after a moment."""
    return [line for line in camera.answers() if line["began"] > moment]


def bystander() -> dict[str, Any]:
    """A pod of somebody else on the same node, with the tolerations that every pod gets."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bystander", "namespace": "default"},
        "spec": {
            "nodeName": "edge-1",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "sleep",
                    "image": "umiak/edge:0.1.0",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", "import time; time.sleep(1e6)"],
                }
            ],
        },
    }
