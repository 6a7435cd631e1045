"""The whole control loop over twins: every path from an applied resource to a condition, without a process."""

from typing import Any

from umiak_operators.runtime.cluster.api import ApiError

DIGESTS = [f"sha256:{number:064x}" for number in range(16)]


def names(fleet: Any, kind: str) -> list[str]:
    return [body["metadata"]["name"] for body in fleet.server.objects(kind)]


async def test_a_joint_inference_becomes_ready(fleet: Any) -> None:
    fleet.joint()
    await fleet.settle()
    assert fleet.condition("JointInference", "yard") == ("True", "Available")
    assert fleet.condition("JointInference", "yard", "EdgesReporting") == ("True", "AllReporting")
    assert names(fleet, "Deployment") == ["yard-cloud", "yard-edge-e1", "yard-edge-e2"]
    (spec,) = fleet.hub.specs.values()
    assert spec.edges == ("e1", "e2")


async def test_when_all_is_quiet_nothing_is_written(fleet: Any) -> None:
    fleet.joint()
    await fleet.settle()
    before = len(fleet.server.writes)
    fleet.clock.advance(100_000)
    await fleet.settle()
    fleet.restart()
    await fleet.settle()
    assert fleet.server.writes[before:] == []


async def test_status_waits_for_pods_and_says_so(fleet: Any) -> None:
    fleet.joint()
    await fleet.settle(pods=False)
    assert fleet.condition("JointInference", "yard") == ("False", "EdgesProgressing")


async def test_a_new_generation_is_never_ready_on_the_strength_of_old_children(fleet: Any) -> None:
    fleet.joint()
    await fleet.settle()
    said: list[tuple[int, str]] = []
    cloud = {"labeller": {"uri": "builtin:yard-labeller", "digest": DIGESTS[2]}, "replicas": 2}
    fleet.joint(cloud=cloud)
    for _ in range(20):
        await fleet.reconciler.drain()
        (body,) = fleet.server.objects("JointInference")
        said.append((body["status"]["observedGeneration"], fleet.condition("JointInference", "yard")[1]))
        fleet.clock.advance(5)
    assert set(said) == {(2, "CloudProgressing")}
    await fleet.settle()
    assert fleet.condition("JointInference", "yard") == ("True", "Available")


async def test_a_hub_that_is_away_keeps_the_last_figures(fleet: Any) -> None:
    fleet.joint()
    await fleet.settle()
    fleet.hub.add_samples("site/yard", 7)
    await fleet.settle()
    fleet.hub.away = True
    fleet.reconciler.ring(fleet.key("JointInference", "yard"))
    await fleet.settle()
    (body,) = fleet.server.objects("JointInference")
    assert body["status"]["replay"] == {"samples": 7, "watermark": 7}
    assert fleet.condition("JointInference", "yard") == ("True", "Available")
    assert fleet.condition("JointInference", "yard", "FleetObserved") == ("Unknown", "HubUnreachable")


async def test_what_could_not_be_told_is_told_later(fleet: Any) -> None:
    fleet.hub.away = True
    fleet.joint()
    await fleet.settle()
    assert fleet.hub.specs == {}
    fleet.hub.away = False
    fleet.reconciler.ring(fleet.key("JointInference", "yard"))
    await fleet.settle()
    assert len(fleet.hub.specs) == 1


async def test_an_edge_whose_node_went_is_pruned_and_nothing_else(fleet: Any) -> None:
    fleet.joint()
    await fleet.settle()
    before = names(fleet, "Secret")
    fleet.server.remove("Node", "", "e2")
    await fleet.settle()
    assert names(fleet, "Deployment") == ["yard-cloud", "yard-edge-e1"]
    assert [name for name in before if name not in names(fleet, "Secret")] == [
        f"yard-edge-e2-{role}" for role in ("agent", "edge", "router")
    ]
    claims = names(fleet, "PersistentVolumeClaim")
    assert claims == ["yard-edge-e1", "yard-edge-e2"], "undelivered examples outlive a node that registers anew"


async def test_a_node_and_children_that_went_unseen_are_noticed(fleet: Any) -> None:
    fleet.joint()
    await fleet.settle()
    fleet.server.remove("Node", "", "e2", unseen=True)
    fleet.server.remove("Secret", "site", "yard-cloud", unseen=True)
    await fleet.settle()
    assert "yard-edge-e2" in names(fleet, "Deployment"), "nobody told"
    await fleet.cluster.relist()
    await fleet.settle()
    assert names(fleet, "Deployment") == ["yard-cloud", "yard-edge-e1"]
    assert "yard-cloud" in names(fleet, "Secret")


async def test_a_refused_child_keeps_nothing_from_the_hub(fleet: Any) -> None:
    fleet.joint()
    await fleet.settle()
    fleet.server.refused = "Deployment"
    fleet.node("e3", site="yard")
    await fleet.reconciler.drain()
    assert fleet.condition("JointInference", "yard") == ("False", "ChildRefused")
    (spec,) = fleet.hub.specs.values()
    assert spec.edges == ("e1", "e2", "e3")
    fleet.server.refused = ""
    await fleet.settle()
    assert fleet.condition("JointInference", "yard") == ("True", "Available")


async def test_a_hub_that_refuses_is_named_and_keeps_no_child_waiting(fleet: Any) -> None:
    fleet.hub.refusal = "PUT: HTTP 507 no room"
    fleet.joint()
    for _ in range(20):
        await fleet.reconciler.drain()
        fleet.server.run_pods()
        fleet.clock.advance(60)
    assert fleet.condition("JointInference", "yard") == ("True", "Available")
    assert fleet.condition("JointInference", "yard", "FleetObserved") == ("False", "HubRefused")
    fleet.hub.refusal = ""
    await fleet.settle()
    assert fleet.condition("JointInference", "yard", "FleetObserved") == ("True", "HubAnswered")


async def test_an_owner_that_went_leaves_nothing_behind(fleet: Any) -> None:
    fleet.joint()
    await fleet.settle()
    fleet.server.remove("JointInference", "site", "yard")
    await fleet.settle()
    assert fleet.hub.specs == {}
    assert names(fleet, "Deployment") == names(fleet, "Secret") == []


async def test_an_owner_that_went_while_nobody_looked_is_swept(fleet: Any) -> None:
    fleet.joint()
    await fleet.settle()
    operator, fleet.cluster = fleet.cluster, None
    fleet.server.remove("JointInference", "site", "yard")
    del operator
    fleet.restart()
    await fleet.settle()
    assert len(fleet.hub.specs) == 1
    await fleet.cluster.sweep()
    assert fleet.hub.specs == {}


async def test_a_bad_spec_changes_nothing_but_the_verdict(fleet: Any) -> None:
    fleet.joint()
    await fleet.settle()
    before = names(fleet, "Deployment"), dict(fleet.hub.specs)
    fleet.server.edit("JointInference", "site", "yard", {"spec": {"edge": {"minReady": -3}}})
    await fleet.settle()
    assert fleet.condition("JointInference", "yard") == ("False", "InvalidSpec")
    assert (names(fleet, "Deployment"), fleet.hub.specs) == before
    (body,) = fleet.server.objects("JointInference")
    assert body["status"]["observedGeneration"] == body["metadata"]["generation"]
    assert body["status"]["edges"]["summary"] == "2/2", "figures are kept"
    assert "spec.edge.minReady" in body["status"]["conditions"][0]["message"]
    fleet.server.edit("JointInference", "site", "yard", {"spec": {"edge": {"minReady": 1}}})
    await fleet.settle()
    assert fleet.condition("JointInference", "yard") == ("True", "Available")


async def test_a_server_that_is_down_is_asked_again(fleet: Any) -> None:
    fleet.server.broken = ApiError(0, "connection refused")
    fleet.joint()
    for _ in range(5):
        await fleet.reconciler.drain()
        fleet.clock.advance(60)
    assert fleet.server.writes == []
    fleet.server.broken = None
    await fleet.settle()
    assert fleet.condition("JointInference", "yard") == ("True", "Available")


async def test_from_hard_examples_to_updated_edges(fleet: Any) -> None:
    fleet.joint()
    learn = {"jointInferenceRef": {"name": "yard"}, "baseData": {"uri": "yard:day"}, "trigger": {"samples": 10}}
    fleet.put("LifelongLearning", "learn", learn)
    await fleet.settle()
    assert names(fleet, "Job") == []
    fleet.hub.add_samples("site/yard", 12)
    await fleet.settle()
    (job,) = names(fleet, "Job")
    fleet.report("learn", job, DIGESTS[1], DIGESTS[7], 12)
    await fleet.settle()
    (patch,) = fleet.server.objects("ModelPatch")
    assert patch["metadata"]["ownerReferences"][0]["kind"] == "LifelongLearning"
    assert fleet.condition("ModelPatch", patch["metadata"]["name"], "Succeeded") == ("True", "EdgesUpdated")
    (body,) = fleet.server.objects("JointInference")
    assert body["status"]["line"]["digest"] == DIGESTS[7]
    assert fleet.condition("LifelongLearning", "learn", "RoundSucceeded") == ("True", "Promoted")


async def test_figures_alone_are_written_at_most_every_30_seconds(fleet: Any) -> None:
    fleet.joint()
    await fleet.settle()
    fleet.clock.advance(31)
    before = len(fleet.server.writes)
    for _ in range(60):
        fleet.hub.add_samples("site/yard", 1)
        await fleet.reconciler.drain()
        fleet.clock.advance(1)
    assert fleet.server.writes[before:] == ["status JointInference/site/yard"] * 2
    await fleet.settle()
    (body,) = fleet.server.objects("JointInference")
    assert body["status"]["replay"]["samples"] == 60, "the last figure arrives in the end"
