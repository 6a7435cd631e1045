"""When faults stop, every resource reaches a verdict on its own generation, and nothing is left over (I6, I7)."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from umiak_operators.runtime.cluster.api import ApiError

DIGESTS = [f"sha256:{number:064x}" for number in range(16)]
EVENTS = (
    "joint", "joint", "learn", "patch", "remove", "edit child", "delete child", "new node", "lose node",
    "hub away", "hub back", "server down", "server back", "restart", "samples", "time", "pods", "invalid", "edges",
)  # fmt: skip


@settings(
    max_examples=60,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 10_000), events=st.lists(st.sampled_from(EVENTS), min_size=5, max_size=40))
def test_when_faults_stop_everything_comes_to_rest(
    make_fleet: Callable[[int], Any], seed: int, events: list[str]
) -> None:
    asyncio.run(play(make_fleet(seed), random.Random(seed), events))


async def play(fleet: Any, rng: random.Random, events: list[str]) -> None:
    for event in events:
        happen(fleet, rng, event)
        await fleet.reconciler.drain()
    fleet.hub.away, fleet.server.broken = False, None
    fleet.restart()
    await fleet.settle()
    await fleet.cluster.sweep()
    check(fleet)
    writes = len(fleet.server.writes)
    fleet.clock.advance(10_000)
    await fleet.settle()
    assert fleet.server.writes[writes:] == [], "at rest nothing is written"


def happen(fleet: Any, rng: random.Random, event: str) -> None:
    """One thing that a person, a controller or bad luck does."""
    name = rng.choice(("a", "b"))
    if event in ("joint", "learn", "patch", "remove", "invalid"):
        resource_event(fleet, rng, event, name)
    elif event in ("edit child", "delete child"):
        child_event(fleet, rng, event)
    else:
        world_event(fleet, rng, event, name)


def resource_event(fleet: Any, rng: random.Random, event: str, name: str) -> None:
    if event == "joint":
        fleet.joint(
            name, deadlineMilliseconds=rng.choice((100, 200)), cloud={**cloud(), "replicas": rng.choice((1, 2))}
        )
    elif event == "learn":
        learn = {"jointInferenceRef": {"name": name}, "baseData": {"uri": "yard:day"}, "trigger": {"samples": 5}}
        fleet.put("LifelongLearning", name, learn)
    elif event == "patch":
        move = {"line": name, "from": DIGESTS[1], "to": rng.choice(DIGESTS[2:4])}
        fleet.put("ModelPatch", rng.choice(("one", "two")), {"model": move})
    elif event == "remove":
        fleet.server.remove(rng.choice(("JointInference", "LifelongLearning")), "site", name)
    elif any(body["metadata"]["name"] == name for body in fleet.server.objects("JointInference")):
        fleet.server.edit("JointInference", "site", name, {"spec": {"deadlineMilliseconds": -1}})


def child_event(fleet: Any, rng: random.Random, event: str) -> None:
    children = [body for kind in ("Deployment", "Secret", "Service") for body in fleet.server.objects(kind)]
    if children and event == "edit child":
        place(fleet.server.edit, rng.choice(children), {"metadata": {"labels": {"app.kubernetes.io/name": "mine"}}})
    elif children:
        place(fleet.server.remove, rng.choice(children))


def world_event(fleet: Any, rng: random.Random, event: str, name: str) -> None:
    acts: dict[str, Callable[[], object]] = {
        "new node": lambda: fleet.node(f"n{rng.randrange(3)}", site="yard"),
        "lose node": lambda: fleet.server.remove("Node", "", f"n{rng.randrange(3)}"),
        "hub away": lambda: setattr(fleet.hub, "away", True),
        "hub back": lambda: setattr(fleet.hub, "away", False),
        "server down": lambda: setattr(fleet.server, "broken", ApiError(503, "try later")),
        "server back": lambda: setattr(fleet.server, "broken", None),
        "restart": fleet.restart,
        "samples": lambda: fleet.hub.add_samples(f"site/{name}", rng.randrange(10)),
        "time": lambda: fleet.clock.advance(rng.choice((1.0, 40.0, 1000.0))),
        "pods": fleet.server.run_pods,
        "edges": lambda: fleet.hub.update_edges(fleet.clock.now()),
    }
    acts[event]()


def cloud() -> dict[str, Any]:
    return {"labeller": {"uri": "builtin:yard-labeller", "digest": DIGESTS[2]}}


def place(call: Callable[..., Any], body: dict[str, Any], *more: Any) -> None:
    call(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"], *more)


def check(fleet: Any) -> None:
    living, invalid = set(), set()
    nodes = {None, *(body["metadata"]["name"] for body in fleet.server.objects("Node"))}
    for kind, verdict in (("JointInference", "Ready"), ("LifelongLearning", "Ready"), ("ModelPatch", "Succeeded")):
        for body in fleet.server.objects(kind):
            living.add(body["metadata"]["uid"])
            status = body.get("status", {})
            assert status.get("observedGeneration") == body["metadata"]["generation"], f"{kind}: {status}"
            found = {item["type"]: item for item in status["conditions"]}
            assert found[verdict]["reason"] not in ("", "HubUnreachable", "WaitingForHub")
            if found[verdict]["reason"] == "InvalidSpec":
                invalid.add(body["metadata"]["uid"])
    for kind in ("Deployment", "Secret", "Service", "Job", "PersistentVolumeClaim"):
        for body in fleet.server.objects(kind):
            owners = {item["uid"] for item in body["metadata"]["ownerReferences"]}
            assert owners <= living, "an orphan"
            healed = body["metadata"]["labels"]["app.kubernetes.io/name"] == "umiak"
            assert healed or owners <= invalid, "an edit that was not healed"
            edge = body["metadata"]["labels"].get("umiak.dev/edge")
            assert edge in nodes or owners <= invalid or kind == "PersistentVolumeClaim", (
                "a child of a node that is gone"
            )
    assert set(fleet.hub.specs) <= living, "the hub holds what is gone"
