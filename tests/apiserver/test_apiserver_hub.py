"""Operator, hub and signer as real processes on the real API server; edges, cloud and trainer speak by HTTP here."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import control_plane
import httpx
import pytest
from apiserver_kit import ROOT, Kube, Operator, Process, custom, eventually, joint_inference, path

sys.path.insert(0, str(ROOT / "tests" / "workers"))

from cryptography.hazmat.primitives import serialization
from hub_kit import OPERATOR_KEY, SIGNING_KEY, TRUSTED, HubKit, hub_config, sample, token_of

from umiak_workers.contract.config import SignerConfig
from umiak_workers.contract.messages import AgentState, RoundReport, RouterState
from umiak_workers.contract.release import release_of

MODELS = ROOT / "workers" / "umiak_workers" / "builtin"
EDGES = ("edge-1", "edge-2")


class HubAndSigner:
    """Both processes, over state that survives them."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = control_plane.free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        ends = {"umiak://listen/hub": self.url, "umiak://hub": self.url}
        pem = SIGNING_KEY.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        keys = {"operator.key": OPERATOR_KEY.hex().encode()}
        self.hub = Process("hub", folder / "hub", hub_config(silence_seconds=600), ends, token_of("hub"), keys)
        config = SignerConfig(poll_seconds=0.2)
        self.signer = Process("signer", folder / "signer", config, ends, token_of("signer"), {"signing.key": pem})

    def start(self) -> None:
        self.start_hub()
        self.signer.start()

    def start_hub(self) -> None:
        self.hub.start()
        eventually(self.answers, 60, f"the hub answers: {self.hub.folder}/log")

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.signer.stop()
        self.hub.stop()

    def seen_from(self, namespace: str) -> HubKit:
        return HubKit(None, self.port, Path(), namespace)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubAndSigner]:
    """One hub and one signer."""
    found = HubAndSigner(tmp_path_factory.mktemp("platform"))
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def settings(hub: HubAndSigner, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The operator knows this hub and shares its key."""
    key = tmp_path_factory.mktemp("key") / "operator.key"
    key.write_text(OPERATOR_KEY.hex())
    return {"hub": hub.url, "operatorKeyFile": str(key), "trustedKeys": list(TRUSTED), "figuresSeconds": 1}


@pytest.fixture
def kit(hub: HubAndSigner, namespace: str) -> Iterator[HubKit]:
    """The hub as this test's namespace sees it."""
    found = hub.seen_from(namespace)
    yield found
    found.stop()


def push(kit: HubKit, model: str) -> str:
    """Upload a built-in model; its digest."""
    return str(kit.client("operator").push_model(MODELS / model))


def started(kube: Kube, kit: HubKit, base: str) -> str:
    """Apply a JointInference, let its line start and its edges report; its API path."""
    model = {"line": "yard", "uri": "builtin:yard-edge", "digest": base}
    edge = {**joint_inference(kit.namespace)["spec"]["edge"], "model": model}
    kube.apply(joint_inference(kit.namespace, edge=edge))
    place = path("jointinferences", kit.namespace, "yard")
    line = eventually(lambda: (kube.get(place) or {}).get("status", {}).get("line", {}).get("digest"), what="a head")
    assert line == base
    follow(kit)
    eventually(lambda: kube.condition(place, "EdgesReporting")[0] == "True", what="heartbeats are seen")
    return place


def follow(kit: HubKit) -> None:
    """What agents and routers do: take the head and say so."""
    envelope = kit.client("agent").head(kit.line)
    assert envelope is not None
    release, now = release_of(envelope), time.time()
    for edge in EDGES:
        state = AgentState(line=kit.line, active=release.to_digest, sequence=release.sequence, state="Idle", at=now)
        as_agent = kit.client(f"{kit.namespace}/yard/{edge}/agent")
        as_agent.put_agent_state(kit.namespace, "yard", edge, state)
        totals = RouterState(
            frames=1, by_reason={"Easy": 1}, queue_items=0, queue_bytes=0, queue_oldest_seconds=0, dropped=0,
            bytes_up=0, bytes_down=0, settings_version=1, at=now,
        )  # fmt: skip
        kit.client(f"{kit.namespace}/yard/{edge}/router").put_router_state(kit.namespace, "yard", edge, totals)


def test_a_model_patch_succeeds_once_every_edge_runs_it(kube: Kube, operator: Operator, kit: HubKit) -> None:
    base, better = push(kit, "yard-edge"), push(kit, "yard-cloud")
    joint = started(kube, kit, base)
    move = {"line": "yard", "from": base, "to": better}
    kube.apply(custom("ModelPatch", kit.namespace, "step", {"model": move}))
    place = path("modelpatches", kit.namespace, "step")
    eventually(lambda: kube.condition(place, "Succeeded")[:2] == ("Unknown", "RollingOut"), what="rolling out")
    follow(kit)
    kube.run("wait", "-n", kit.namespace, "--for=condition=Succeeded", "modelpatch/step", "--timeout=40s")
    body = kube.get(place)
    assert body is not None
    assert body["status"]["edges"] == {"total": 2, "updated": 2, "failed": 0, "summary": "2/2"}
    eventually(lambda: (kube.get(joint) or {})["status"]["line"]["digest"] == better, 45, "the line's head is shown")
    kube.delete(place)
    time.sleep(1)
    assert kit.client("agent").head(kit.line) is not None, "deleting a ModelPatch changes no edge"


def test_a_patch_from_another_head_is_a_conflict(kube: Kube, operator: Operator, kit: HubKit) -> None:
    base, better = push(kit, "yard-edge"), push(kit, "yard-cloud")
    started(kube, kit, base)
    move = {"line": "yard", "from": f"sha256:{'9' * 64}", "to": better}
    kube.apply(custom("ModelPatch", kit.namespace, "wrong", {"model": move}))
    place = path("modelpatches", kit.namespace, "wrong")
    eventually(lambda: kube.condition(place, "Succeeded")[:2] == ("False", "Conflict"), what="a conflict")


def test_samples_start_a_round_and_its_promotion_becomes_a_patch(kube: Kube, operator: Operator, kit: HubKit) -> None:
    base, better = push(kit, "yard-edge"), push(kit, "yard-cloud")
    started(kube, kit, base)
    learn = {"jointInferenceRef": {"name": "yard"}, "baseData": {"uri": "yard:base"}, "trigger": {"samples": 5}}
    kube.apply(custom("LifelongLearning", kit.namespace, "learn", learn))
    place = path("lifelonglearnings", kit.namespace, "learn")
    eventually(lambda: kube.condition(place, "Training")[1] == "TooFewSamples")
    for number in range(5):
        cloud = kit.client(f"{kit.namespace}/yard/-/cloud")
        cloud.put_sample(kit.namespace, "yard", *sample(f"edge-1/http/{number}", f"photo {number}".encode()))
    (job,) = eventually(lambda: kube.names(path("jobs", kit.namespace)), what="a training Job")
    done = path("jobs", kit.namespace, job)
    eventually(lambda: (kube.get(done) or {})["status"].get("succeeded") == 1, what="kwok runs the Job to its end")
    report = RoundReport(
        round=job, outcome="Promoted", reason="Gain", message="better at dusk", base=base, candidate=better,
        watermark=5, samples=5, metrics={"gain": 0.1}, finished_at=time.time(),
    )  # fmt: skip
    kit.client(f"{kit.namespace}/learn/-/trainer").put_round(kit.namespace, "learn", report)
    (patch,) = eventually(lambda: kube.names(path("modelpatches", kit.namespace)), what="a ModelPatch child")
    place_of_patch = path("modelpatches", kit.namespace, patch)
    eventually(lambda: kube.condition(place_of_patch, "Succeeded")[1] == "RollingOut", what="rolling out")
    follow(kit)
    kube.run("wait", "-n", kit.namespace, "--for=condition=Succeeded", f"modelpatch/{patch}", "--timeout=40s")
    eventually(lambda: kube.condition(place, "RoundSucceeded")[:2] == ("True", "Promoted"))
    body = kube.get(place)
    assert body is not None
    assert body["status"]["lastRound"]["candidate"] == better
    assert kube.condition(place, "Training")[1] in ("TooFewSamples", "PatchPending")
    kube.delete(place)
    eventually(lambda: kube.names(path("jobs", kit.namespace)) == [], what="its Job goes with it")
    eventually(lambda: kube.names(path("modelpatches", kit.namespace)) == [], what="and its patch")


def test_figures_stay_while_the_hub_is_away(kube: Kube, operator: Operator, kit: HubKit, hub: HubAndSigner) -> None:
    joint = started(kube, kit, push(kit, "yard-edge"))
    before = (kube.get(joint) or {})["status"]["line"]
    hub.hub.kill()
    try:
        eventually(lambda: kube.condition(joint, "FleetObserved")[0] == "Unknown", 45, "the hub is missed")
        kube.apply(joint_inference(kit.namespace, "second"))
        second = path("jointinferences", kit.namespace, "second")
        eventually(lambda: kube.condition(second, "Ready")[0] == "True", what="services come up without it")
        assert (kube.get(joint) or {})["status"]["line"] == before
    finally:
        hub.start_hub()
    eventually(lambda: kube.condition(joint, "FleetObserved")[0] == "True", 45, "the hub is back")
    eventually(lambda: kube.condition(second, "FleetObserved")[0] == "True", 45, "for the new one too")


def test_what_was_deleted_while_the_operator_was_away_leaves_the_hub(
    kube: Kube, operator: Operator, kit: HubKit
) -> None:
    joint = started(kube, kit, push(kit, "yard-edge"))
    uid = (kube.get(joint) or {})["metadata"]["uid"]
    held = kit.http("operator")
    assert uid in held.get("/v1/owners").json()
    operator.stop()
    kube.delete(joint)
    operator.start()
    eventually(lambda: uid not in held.get("/v1/owners").json(), what="the hub forgets it")
