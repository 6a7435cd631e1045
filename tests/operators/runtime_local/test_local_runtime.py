"""The seam's local side: plans come true as processes and files, and go without a trace, with the hub away."""

import asyncio
import base64
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from umiak_operators.api.resource import Key
from umiak_operators.plan.model import Plan, Platform
from umiak_operators.runtime.clock import SystemClock
from umiak_operators.runtime.fleet import Fleet, FleetTimes
from umiak_operators.runtime.local.container import Surroundings
from umiak_operators.runtime.local.finished import Finished
from umiak_operators.runtime.local.folders import Folders
from umiak_operators.runtime.local.mounts import Rooms
from umiak_operators.runtime.local.pods import Pods
from umiak_operators.runtime.local.ports import PortBook
from umiak_operators.runtime.local.process import Reaper
from umiak_operators.runtime.local.runtime import LocalRuntime
from umiak_operators.runtime.local.store import Store

KEY = Key("JointInference", "yard", "gate")
CHILD = Key("ModelPatch", "yard", "gate-abc")


@dataclass
class Bench:
    """A runtime without a hub, and what it said."""

    root: Path
    runtime: LocalRuntime
    store: Store
    pods: Pods
    rung: list[Key] = field(default_factory=list)
    admitted: list[dict[str, bytes]] = field(default_factory=list)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    folders, reaper, rung = Folders(tmp_path), Reaper(), list[Key]()
    admitted: list[dict[str, bytes]] = []
    reaper.start()
    rooms = Rooms(folders, PortBook(folders.ports, None), {})
    store = Store(folders.resources)
    times, clock = FleetTimes(request=1), SystemClock()
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        Fleet("http://127.0.0.1:9", "token", times, clock, random.Random(1)) as fleet,
    ):
        finished = Finished(folders.resources / "jobs.json")
        pods = Pods(rooms, folders, Surroundings(reaper, http), finished, lambda owner: owner and rung.append(owner))
        platform = Platform({}, {}, {}, b"key", ("trusted",))

        def admit(secrets: Any) -> None:
            admitted[:] = [dict(one) for one in secrets]

        runtime = LocalRuntime(store, pods, fleet, platform, 2, rung.append, admit, lambda: None)
        yield Bench(tmp_path, runtime, store, pods, rung, admitted)
        await pods.stop_all()
    reaper.close(10)


def joint(threshold: float = 0.1) -> dict[str, Any]:
    spec = {"threshold": threshold, "edge": {"nodes": {"matchLabels": {"site": "north"}}}}
    meta = {"namespace": "yard", "name": "gate"}
    return {"apiVersion": "umiak.dev/v1alpha1", "kind": "JointInference", "metadata": meta, "spec": spec}


def workload(kind: str, name: str, text: str) -> dict[str, Any]:
    mounts = [{"name": "config", "mountPath": "/etc/umiak"}]
    container = {"name": "edge", "command": ["python3", "-c", text, "/etc/umiak/config.json"], "volumeMounts": mounts}
    items = [{"key": "edge.json", "path": "config.json"}, {"key": "edge.token", "path": "token"}]
    volume = {"name": "config", "secret": {"secretName": "gate", "items": items}}
    annotations = {"umiak.dev/watermark": "7"}
    meta = {"namespace": "yard", "name": name, "annotations": annotations}
    spec = {"template": {"spec": {"containers": [container], "volumes": [volume]}}}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec}


def secret(config: bytes) -> dict[str, Any]:
    data = {"edge.json": base64.b64encode(config).decode(), "edge.token": base64.b64encode(b"t").decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "yard", "name": "gate"}, "data": data}


def patch() -> dict[str, Any]:
    meta = {"namespace": "yard", "name": "gate-abc", "annotations": {"umiak.dev/base-digest": "sha256:1"}}
    return {"apiVersion": "umiak.dev/v1alpha1", "kind": "ModelPatch", "metadata": meta, "spec": {"model": {}}}


SLEEP = "import time; time.sleep(600)"


async def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.02)


async def apply(bench: Bench, *children: dict[str, Any], status: dict[str, Any] | None = None) -> None:
    found = await bench.runtime.observe(KEY)
    assert found
    await bench.runtime.apply(found[0], Plan(children=children, status=status or {}))


async def seen(bench: Bench) -> dict[str, str]:
    found = await bench.runtime.observe(KEY)
    assert found
    return {f"{child.kind}/{child.name}": child.readiness for child in found[1].children}


async def test_what_is_not_stored_is_not_seen(bench: Bench) -> None:
    assert await bench.runtime.observe(KEY) is None


async def test_a_resource_is_seen_with_its_neighbours_and_nodes_while_the_hub_is_away(bench: Bench) -> None:
    other = joint() | {"metadata": {"namespace": "yard", "name": "other"}}
    far = joint() | {"metadata": {"namespace": "far", "name": "other"}}
    assert bench.runtime.set_files([joint(), other, far]) == 3
    assert len(set(bench.rung)) == 3
    found = await bench.runtime.observe(KEY)
    assert found
    resource, observed = found
    assert resource.generation == 1
    assert [one.key.name for one in observed.related] == ["other"]
    assert [(node.name, node.labels["site"]) for node in observed.nodes] == [("edge-1", "north"), ("edge-2", "north")]
    assert observed.fleet is None


async def test_children_run_are_seen_and_pruned(bench: Bench) -> None:
    bench.runtime.set_files([joint()])
    await apply(bench, workload("Deployment", "gate", SLEEP), secret(b"{}"), patch(), status={"observedGeneration": 1})
    await until(lambda: bench.pods.state("yard.gate").readiness == "Ready")
    assert await seen(bench) == {"Deployment/gate": "Ready", "ModelPatch/gate-abc": "Progressing"}
    assert bench.admitted == [{"edge.json": b"{}", "edge.token": b"t"}]
    stored = bench.store.get(CHILD)
    assert stored
    assert CHILD in bench.rung
    resource = bench.store.get(KEY)
    assert resource
    assert resource.status == {"observedGeneration": 1}

    await apply(bench)
    assert await seen(bench) == {}
    assert bench.pods.running == ()
    assert bench.store.get(CHILD) is None
    assert bench.admitted == []


async def test_a_changed_secret_reaches_the_files_without_a_restart(bench: Bench) -> None:
    bench.runtime.set_files([joint()])
    await apply(bench, secret(b"one"), workload("Deployment", "gate", SLEEP))
    await until(lambda: bench.pods.state("yard.gate").readiness == "Ready")
    pid = bench.pods.state("yard.gate").containers[0].pid
    await apply(bench, secret(b"two"), workload("Deployment", "gate", SLEEP))
    config = bench.root / "pods" / "yard.gate" / "config" / "config.json"
    assert config.read_bytes() == b"two"
    assert bench.pods.state("yard.gate").containers[0].pid == pid


async def test_a_resource_made_by_a_plan_shows_its_annotations_even_after_a_restart(bench: Bench) -> None:
    bench.runtime.set_files([joint()])
    await apply(bench, patch())
    again = Store(bench.root / "resources")
    again.load()
    for store in (bench.store, again):
        assert store.annotations(CHILD)["umiak.dev/base-digest"] == "sha256:1"
    found = await bench.runtime.observe(KEY)
    assert found
    (child,) = found[1].children
    assert child.annotations["umiak.dev/base-digest"] == "sha256:1"


async def test_no_replicas_wanted_is_what_there_is(bench: Bench) -> None:
    bench.runtime.set_files([joint()])
    await apply(bench, secret(b"{}"), workload("Deployment", "gate", SLEEP))
    await until(lambda: bench.pods.state("yard.gate").readiness == "Ready")
    paused = workload("Deployment", "gate", SLEEP)
    paused["spec"]["replicas"] = 0
    bench.rung.clear()
    await apply(bench, secret(b"{}"), paused)
    assert bench.pods.running == ()
    assert KEY in bench.rung
    assert await seen(bench) == {"Deployment/gate": "Ready"}


async def test_an_ended_job_is_a_child_until_the_plan_drops_it_even_after_a_restart(bench: Bench) -> None:
    bench.runtime.set_files([joint()])
    await apply(bench, secret(b"{}"), workload("Job", "gate-round", "pass"))
    await until(lambda: bench.pods.state("yard.gate-round").readiness == "Succeeded")
    jobs = json.loads((bench.root / "resources" / "jobs.json").read_text())
    assert jobs["yard.gate-round"]["annotations"]["umiak.dev/watermark"] == "7"
    bench.runtime._kept.clear()  # what a restart forgets
    found = await bench.runtime.observe(KEY)
    assert found
    (child,) = found[1].children
    assert (child.name, child.readiness, child.annotations["umiak.dev/watermark"]) == ("gate-round", "Succeeded", "7")
    await apply(bench)
    assert await seen(bench) == {}


async def test_news_of_one_resource_rings_those_beside_it(bench: Bench) -> None:
    other = joint() | {"metadata": {"namespace": "yard", "name": "other"}}
    bench.runtime.set_files([joint(), other])
    bench.rung.clear()
    verdict = {"conditions": [{"type": "Ready", "status": "True"}]}
    await apply(bench, status=verdict)
    assert bench.rung == [Key("JointInference", "yard", "other")]
    bench.rung.clear()
    await apply(bench, status=verdict)
    await apply(bench, status={**verdict, "figures": 7})
    assert bench.rung == []


async def test_a_resource_that_left_the_files_goes_with_everything_it_had(bench: Bench) -> None:
    bench.runtime.set_files([joint()])
    await apply(bench, secret(b"{}"), workload("Deployment", "gate", SLEEP), patch())
    found = await bench.runtime.observe(KEY)
    assert found
    bench.rung.clear()
    bench.runtime.set_files([])
    assert {KEY, CHILD} <= set(bench.rung)
    assert await bench.runtime.observe(KEY) is None
    await bench.runtime.forget(KEY)
    await bench.runtime.apply(found[0], Plan(children=(workload("Deployment", "gate", SLEEP),)))  # a plan made too late
    assert bench.pods.running == ()
    assert bench.store.all() == ()
    assert bench.admitted == []
