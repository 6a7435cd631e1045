"""Children of a JointInference: one pod per edge, each with its own secrets and state; a hash moves when it must."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umiak_operators.plan import names
from umiak_operators.plan.desired import desired
from umiak_operators.plan.model import Node, Platform
from umiak_workers.contract.config import AgentConfig, CloudConfig, EdgeConfig, RouterConfig, parse_config
from umiak_workers.contract.endpoints import Endpoints
from umiak_workers.contract.errors import IdentityError
from umiak_workers.contract.identity import Principal, token, verify, verify_within

NOW = 1e9
ROLES = ("edge", "router", "agent")


def hashes(plan: Any) -> dict[str, str]:
    """Template hash by Deployment."""
    return {
        item["metadata"]["name"]: item["spec"]["template"]["metadata"]["annotations"][names.TEMPLATE_HASH]
        for item in plan.children
        if item["kind"] == "Deployment"
    }


def kinds(plan: Any) -> list[tuple[str, str]]:
    return sorted((item["kind"], item["metadata"]["name"]) for item in plan.children)


def test_children_of_two_edges_and_a_cloud(world: Any) -> None:
    edge = ("Deployment", "PersistentVolumeClaim")
    expected = [(kind, f"yard-edge-{node}") for node in ("n1", "n2") for kind in edge]
    expected += [("Secret", f"yard-edge-{node}-{role}") for node in ("n1", "n2") for role in ROLES]
    expected += [(kind, "yard-cloud") for kind in ("Deployment", "Secret", "Service")]
    assert kinds(desired(world.joint(), world.seen(), NOW)) == sorted(expected)


def test_authorities_travel_to_every_container_that_dials_tls(world: Any) -> None:
    def made(**platform: Any) -> Any:
        return desired(world.joint(), world.seen(platform=replace(world.platform, **platform)), NOW)

    def listed(plan: Any, name: str) -> list[bool]:
        (pod,) = [
            item["spec"]["template"]["spec"]
            for item in plan.children
            if (item["kind"], item["metadata"]["name"]) == ("Deployment", name)
        ]
        items = [volume["secret"]["items"] for volume in pod["volumes"] if "secret" in volume]
        return [{"key": "ca.crt", "path": "ca.crt"} in found for found in items]

    def held(plan: Any) -> set[str]:
        secrets = [item for item in plan.children if item["kind"] == "Secret"]
        return {item["metadata"]["name"] for item in secrets if "ca.crt" in item["data"]}

    before, after, other = made(), made(ca="PEM"), made(ca="another")
    assert held(before) == set()
    assert held(after) == {f"yard-edge-{node}-{role}" for node in ("n1", "n2") for role in ROLES}
    assert listed(before, "yard-edge-n1") == [False] * 3
    assert listed(after, "yard-edge-n1") == [True] * 3
    assert listed(after, "yard-cloud") == [False], "it dials the hub inside, without TLS"
    assert hashes(before)["yard-cloud"] == hashes(after)["yard-cloud"]
    assert len({hashes(plan)["yard-edge-n1"] for plan in (before, after, other)}) == 3, "they are read once, at start"
    outside = made(ca="PEM", inside={})
    assert listed(outside, "yard-cloud") == [True]
    plain = {"umiak://hub": "http://gate.test", "umiak://broker": "mqtt://gate.test"}
    assert held(made(ca="PEM", endpoints=plain)) == set()


def test_only_matching_nodes_become_edges(world: Any) -> None:
    nodes = (
        Node("in", {"zone": "a", "other": "x"}),
        Node("out", {"zone": "b"}),
        Node("off", {"zone": "a"}, ready=False),
    )
    plan = desired(world.joint(), world.seen(nodes=nodes), NOW)
    assert plan.fleet is not None
    assert plan.fleet.edges == ("in", "off")


def test_an_edge_only_resource_has_no_cloud(world: Any) -> None:
    resource = world.joint(cloud=None, hardExamples={"miners": [{"miner": "EdgeOnly"}]})
    plan = desired(resource, world.seen(), NOW)
    assert all("cloud" not in name for _, name in kinds(plan))
    (secret, *_) = [item for item in plan.children if item["kind"] == "Secret"]
    assert "endpoints.json" in secret["data"]


def test_the_task_reaches_edge_router_and_cloud(world: Any, pick: Any, files: Any) -> None:
    models = {"labeller": {"uri": "builtin:better", "digest": world.digest(90)}}
    others = ("image-classification", "object-detection", "keypoint-detection")
    for task, cloud in (*((task, models) for task in others), (None, {"sam": models["labeller"]})):
        plan = desired(world.joint(task=task, cloud=cloud), world.seen(), NOW)
        names = {f"yard-edge-n1-{role}" for role in ("edge", "router")} | {"yard-cloud"}
        content = {key: text for name in names for key, text in files(pick(plan, "Secret", name)).items()}
        found = (
            parse_config(EdgeConfig, content["edge.json"], "edge").task,
            parse_config(RouterConfig, content["router.json"], "router").task,
            parse_config(CloudConfig, content["cloud.json"], "cloud").task,
        )
        assert set(found) == {task or "semantic-segmentation"}


def test_rules_of_boxes_reach_the_router_and_change_live(world: Any, pick: Any, files: Any) -> None:
    cloud = {"labeller": {"uri": "builtin:better", "digest": world.digest(90)}}
    found = []
    for number in (0.25, 0.75):
        rule = {"miner": "IBT", "threshold": 0.5, "nothingFound": number, "certain": number}
        joint = world.joint(task="object-detection", cloud=cloud, hardExamples={"miners": [rule]})
        plan = desired(joint, world.seen(), NOW)
        (live,) = plan.fleet.settings.rules if plan.fleet and plan.fleet.settings else ()
        assert (live.nothing_found, live.certain) == (number, number)
        text = files(pick(plan, "Secret", "yard-edge-n1-router"))["router.json"]
        (config,) = parse_config(RouterConfig, text, "router").rules
        assert (config.miner, config.nothing_found, config.certain) == ("IBT", number, number)
        found.append(pick(plan, "Deployment", "yard-edge-n1")["spec"]["template"])
    assert found[0] == found[1]


def test_each_container_reads_what_the_contract_says(world: Any, pick: Any, files: Any) -> None:
    plan = desired(world.joint(), world.seen(), NOW)
    content = {key: text for role in ROLES for key, text in files(pick(plan, "Secret", f"yard-edge-n1-{role}")).items()}
    router = parse_config(RouterConfig, content["router.json"], "router")
    assert (router.namespace, router.resource, router.edge, router.line) == ("site", "yard", "n1", "site/scene")
    assert router.rules[0].budget == 0.2
    assert parse_config(EdgeConfig, content["edge.json"], "edge").line == "site/scene"
    agent = parse_config(AgentConfig, content["agent.json"], "agent")
    assert (agent.initial.digest, agent.trusted_keys) == (world.digest(1), ("a2V5",))
    cloud = files(pick(plan, "Secret", "yard-cloud"))
    assert parse_config(CloudConfig, cloud["cloud.json"], "cloud").sam is not None
    assert "operator.key" not in cloud
    key = bytes.fromhex(cloud["resource.key"].decode())
    assert str(verify_within(key, content["router.token"].decode())) == "site/yard/n1/router"
    with pytest.raises(IdentityError, match="does not verify"):
        verify_within(key, token(world.platform.operator_key, Principal("site", "other", "n1", "router")))


def test_each_container_has_its_own_token_and_no_other(world: Any, pick: Any, files: Any) -> None:
    plan = desired(world.joint(), world.seen(), NOW)
    for role in ROLES:
        content = files(pick(plan, "Secret", f"yard-edge-n1-{role}"))
        assert set(content) == {"endpoints.json", f"{role}.json", f"{role}.token"}
        principal = verify(world.platform.operator_key, content[f"{role}.token"].decode())
        assert str(principal) == f"site/yard/n1/{role}"
    pod = pick(plan, "Deployment", "yard-edge-n1")["spec"]["template"]["spec"]
    for volume in pod["volumes"]:
        if volume["name"].startswith("config-"):
            role = volume["name"].removeprefix("config-")
            keys = {item["key"]: item["path"] for item in volume["secret"]["items"]}
            assert keys == {f"{role}.json": "config.json", f"{role}.token": "token", "endpoints.json": "endpoints.json"}


def test_no_secret_is_mounted_twice(world: Any) -> None:
    """KubeEdge answers one of several questions for one Secret at a time; the others wait for a minute."""
    for item in desired(world.joint(), world.seen(), NOW).children:
        if item["kind"] == "Deployment":
            volumes = item["spec"]["template"]["spec"]["volumes"]
            mounted = [volume["secret"]["secretName"] for volume in volumes if "secret" in volume]
            assert len(set(mounted)) == len(mounted) > 0


def test_a_pod_of_an_edge_knows_two_outside_addresses_and_its_cloud(world: Any, pick: Any, files: Any) -> None:
    plan = desired(world.joint(), world.seen(), NOW)
    known = Endpoints.parse(files(pick(plan, "Secret", "yard-edge-n1-router"))["endpoints.json"]).known
    assert known["umiak://hub"] == "https://gate.test"
    assert known["umiak://cloud/site/yard"] == "http://yard-cloud.site.svc:8700"
    assert known["umiak://listen/router"].startswith("http://127.0.0.1:")
    inside = Endpoints.parse(files(pick(plan, "Secret", "yard-cloud"))["endpoints.json"]).known
    assert inside["umiak://hub"] == "http://umiak-hub.umiak-system.svc:8800"


def test_a_port_of_the_node_leads_to_the_router_alone(world: Any, pick: Any, files: Any) -> None:
    def listening(plan: Any) -> Any:
        known = Endpoints.parse(files(pick(plan, "Secret", "yard-edge-n1-router"))["endpoints.json"]).known
        return [known[f"umiak://listen/{role}"] for role in ("edge", "router")]

    closed = desired(world.joint(edge=world.edge(source={"http": {}})), world.seen(), NOW)
    opened = desired(world.joint(edge=world.edge(source={"http": {"hostPort": 8601}})), world.seen(), NOW)
    containers = pick(opened, "Deployment", "yard-edge-n1")["spec"]["template"]["spec"]["containers"]
    port = {"name": "http", "containerPort": 8600, "protocol": "TCP", "hostIP": "127.0.0.1", "hostPort": 8601}
    assert {item["name"]: item.get("ports") for item in containers} == {"edge": None, "router": [port], "agent": None}
    assert listening(opened) == ["http://127.0.0.1:8500", "http://0.0.0.0:8600"]
    assert listening(closed) == ["http://127.0.0.1:8500", "http://127.0.0.1:8600"]


def filming(world: Any, pick: Any, files: Any, **video: Any) -> tuple[Any, RouterConfig]:
    """(pod of node n1, config of its router) of edges whose source is a video."""
    plan = desired(world.joint(edge=world.edge(source={"video": video})), world.seen(), NOW)
    text = files(pick(plan, "Secret", "yard-edge-n1-router"))["router.json"]
    pod = pick(plan, "Deployment", "yard-edge-n1")["spec"]["template"]["spec"]
    assert restricted(pod) == []
    return pod, parse_config(RouterConfig, text, "router")


def test_a_stream_has_an_address_for_each_node_and_its_password_from_a_secret(
    world: Any, pick: Any, files: Any
) -> None:
    pod, config = filming(
        world, pick, files, uri="rtsp://camera-{edge}.lan/1", credentialsSecret="gate", transport="udp"
    )
    assert config.video is not None
    assert (config.video.uri, config.video.transport) == ("rtsp://camera-n1.lan/1", "udp")
    assert (config.directory, config.http) == (None, None)
    (volume,) = [item for item in pod["volumes"] if item.get("secret", {}).get("secretName") == "gate"]
    assert [item["key"] for item in volume["secret"]["items"]] == ["password", "username"]
    mounted = {
        container["name"]: [item["mountPath"] for item in container["volumeMounts"] if item["name"] == volume["name"]]
        for container in pod["containers"]
    }
    assert mounted == {"edge": [], "router": [config.video.credentials], "agent": []}


def test_a_device_comes_from_a_plugin_and_a_group_and_never_from_the_host(world: Any, pick: Any, files: Any) -> None:
    device = {"path": "/dev/video2", "resource": "smarter-devices/video2"}
    pod, config = filming(world, pick, files, device=device, framesPerSecond=5)
    assert config.video is not None
    assert (config.video.device, config.video.frames_per_second) == ("/dev/video2", 5)
    limits = {item["name"]: item["resources"]["limits"] for item in pod["containers"]}
    assert limits["router"]["smarter-devices/video2"] == "1"
    assert "smarter-devices/video2" not in {**limits["edge"], **limits["agent"]}
    assert pod["securityContext"]["supplementalGroups"] == [44]
    assert not [item for item in pod["volumes"] if "/dev" in str(item)]
    pod, config = filming(world, pick, files, file="videos/gate.mp4", loop=True, realtime=True)
    assert config.video is not None
    assert (config.video.file, config.video.loop, config.video.realtime) == ("videos/gate.mp4", True, True)
    assert "supplementalGroups" not in pod["securityContext"]
    assert config.video.credentials is None


def test_a_gpu_goes_to_the_container_that_computes_and_its_runtime_to_the_pod(
    world: Any, pick: Any, files: Any
) -> None:
    gpu = {"resource": "nvidia.com/gpu", "runtimeClassName": "nvidia"}
    edge = world.edge(runtime={"gpu": gpu})
    plan = desired(world.joint(edge=edge, cloud={**world.joint().spec["cloud"], "gpu": gpu}), world.seen(), NOW)
    pod = pick(plan, "Deployment", "yard-edge-n1")["spec"]["template"]["spec"]
    limits = {item["name"]: item["resources"]["limits"] for item in pod["containers"]}
    assert [role for role in limits if "nvidia.com/gpu" in limits[role]] == ["edge"]
    assert pod["runtimeClassName"] == "nvidia"
    assert restricted(pod) == []
    assert parse_config(EdgeConfig, files(pick(plan, "Secret", "yard-edge-n1-edge"))["edge.json"], "edge").gpu
    cloud = pick(plan, "Deployment", "yard-cloud")["spec"]
    (container,) = cloud["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert cloud["template"]["spec"]["runtimeClassName"] == "nvidia"
    assert parse_config(CloudConfig, files(pick(plan, "Secret", "yard-cloud"))["cloud.json"], "cloud").gpu
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    assert cloud["strategy"] == strategy, "the only GPU is free once the old pod is gone"
    assert not [item["name"] for item in [*pod["containers"], container] if "env" in item], "the plugin says which GPU"


def test_a_runtime_class_alone_shows_the_gpu_to_the_container_that_computes(world: Any, pick: Any) -> None:
    edge = world.edge(runtime={"gpu": {"runtimeClassName": "nvidia-legacy"}})
    plan = desired(world.joint(edge=edge), world.seen(), NOW)
    pod = pick(plan, "Deployment", "yard-edge-n1")["spec"]["template"]["spec"]
    told = {item["name"]: {one["name"]: one["value"] for one in item.get("env", ())} for item in pod["containers"]}
    shown = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
    assert told == {"edge": shown, "router": {}, "agent": {}}
    assert pod["runtimeClassName"] == "nvidia-legacy"


def test_without_a_gpu_nothing_asks_for_one(world: Any, pick: Any) -> None:
    plan = desired(world.joint(), world.seen(), NOW)
    for name in ("yard-edge-n1", "yard-cloud"):
        pod = pick(plan, "Deployment", name)["spec"]["template"]["spec"]
        assert "runtimeClassName" not in pod
        assert all(set(item["resources"]["limits"]) == {"memory"} for item in pod["containers"])


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"umiak://cloud": "https://gate.test/cloud/"}, "https://gate.test/cloud/site/yard-cloud"),
        ({"umiak://cloud/site/yard": "http://127.0.0.1:9"}, "http://127.0.0.1:9"),
    ],
)
def test_the_cloud_may_be_behind_a_gateway(
    world: Any, pick: Any, files: Any, extra: dict[str, str], expected: str
) -> None:
    platform = replace(world.platform, endpoints={**world.platform.endpoints, **extra})
    plan = desired(world.joint(), world.seen(platform=platform), NOW)
    known = Endpoints.parse(files(pick(plan, "Secret", "yard-edge-n1-router"))["endpoints.json"]).known
    assert known["umiak://cloud/site/yard"] == expected


def test_an_edge_is_pinned_to_its_node_and_stays_there_offline(world: Any, pick: Any) -> None:
    spec = pick(desired(world.joint(), world.seen(), NOW), "Deployment", "yard-edge-n2")["spec"]
    pod = spec["template"]["spec"]
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}
    endless = {item["key"] for item in pod["tolerations"] if "tolerationSeconds" not in item}
    assert {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"} <= endless
    assert (spec["strategy"], spec["replicas"], pod["dnsPolicy"]) == ({"type": "Recreate"}, 1, "Default")


def test_resources_of_the_spec_win_where_they_speak(world: Any, pick: Any) -> None:
    runtime = {"threads": 3, "resources": {"limits": {"memory": "2Gi", "cpu": 2}}}
    plan = desired(world.joint(edge=world.edge(runtime=runtime)), world.seen(), NOW)
    containers = pick(plan, "Deployment", "yard-edge-n1")["spec"]["template"]["spec"]["containers"]
    assert containers[0]["resources"] == {
        "requests": {"cpu": "250m", "memory": "256Mi"},
        "limits": {"cpu": "2", "memory": "2Gi"},
    }


@pytest.mark.parametrize(
    ("wanted", "requests", "limits"),
    [
        ({"limits": {"cpu": "100m"}}, {"cpu": "100m", "memory": "256Mi"}, {"cpu": "100m", "memory": "1Gi"}),
        ({"limits": {"memory": "200Mi"}}, {"cpu": "250m", "memory": "200Mi"}, {"memory": "200Mi"}),
        ({"requests": {"cpu": 2, "memory": "2G"}}, {"cpu": "2", "memory": "2G"}, {"memory": "2G"}),
        ({"requests": {"memory": "1M"}}, {"cpu": "250m", "memory": "1M"}, {"memory": "1Gi"}),
    ],
)
def test_a_default_gives_way_so_that_no_request_is_above_its_limit(
    world: Any, pick: Any, wanted: dict[str, Any], requests: dict[str, str], limits: dict[str, str]
) -> None:
    plan = desired(world.joint(edge=world.edge(runtime={"resources": wanted})), world.seen(), NOW)
    containers = pick(plan, "Deployment", "yard-edge-n1")["spec"]["template"]["spec"]["containers"]
    assert containers[0]["resources"] == {"requests": requests, "limits": limits}


def test_host_path_needs_a_label_and_one_narrow_init_container(world: Any, pick: Any, condition: Any) -> None:
    platform = replace(world.platform, state_volume="hostPath")
    refused = desired(world.joint(), world.seen(platform=platform), NOW)
    assert condition(refused, "Ready") == ("False", "HostPathNotAllowed")
    assert "kubectl label namespace site umiak.dev/host-path=allowed" in refused.status["conditions"][0]["message"]
    assert all("edge" not in name for _, name in kinds(refused))
    labels = {names.HOST_PATH_ALLOWED: "allowed"}
    allowed = desired(world.joint(), world.seen(platform=platform, namespace_labels=labels), NOW)
    assert condition(allowed, "Ready") == ("False", "EdgesProgressing")
    pod = pick(allowed, "Deployment", "yard-edge-n1")["spec"]["template"]["spec"]
    (state,) = [volume for volume in pod["volumes"] if volume["name"] == "state"]
    assert state["hostPath"] == {"path": "/var/lib/umiak/site/yard/n1", "type": "DirectoryOrCreate"}
    (giver,) = pod["initContainers"]
    assert giver["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
    assert giver["securityContext"]["allowPrivilegeEscalation"] is False
    assert [mount["name"] for mount in giver["volumeMounts"]] == ["state", "tmp"]


def restricted(pod: dict[str, Any]) -> list[str]:
    """What PodSecurity `restricted` would object to."""
    context, found = pod["securityContext"], []
    if not (
        context["runAsNonRoot"] and context["runAsUser"] > 0 and context["seccompProfile"]["type"] == "RuntimeDefault"
    ):
        found.append("pod security context")
    for volume in pod["volumes"]:
        if not {"secret", "emptyDir", "persistentVolumeClaim"} & set(volume):
            found.append(f"volume {volume['name']}")
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        own = container["securityContext"]
        if own["allowPrivilegeEscalation"] or own["capabilities"] != {"drop": ["ALL"]} or "runAsUser" in own:
            found.append(container["name"])
    return found


def test_every_pod_is_restricted_and_writes_only_to_volumes(world: Any) -> None:
    plan = desired(world.joint(), world.seen(), NOW)
    pods = [item["spec"]["template"]["spec"] for item in plan.children if item["kind"] == "Deployment"]
    assert len(pods) == 3
    for pod in pods:
        assert restricted(pod) == []
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert {"memory"} <= set(container["resources"]["limits"])
            assert any(mount["mountPath"] == "/tmp" for mount in container["volumeMounts"])


LIVE: list[dict[str, Any]] = [
    {"deadlineMilliseconds": 500},
    {"hardExamples": {"miners": [{"miner": "ScoreMargin", "budget": 0.7}]}},
    {"replay": {"capacity": 5, "retention": "2h"}},
]
KNOTS = [[0.1, 0.0], [0.9, 0.3]]
SETTLED: list[dict[str, Any]] = [
    {"hardExamples": {"miners": [{"miner": "ScoreMargin", "bytesPerSecond": 20_000}]}},
    {"hardExamples": {"miners": [{"miner": "ScoreMargin", "cost": {"perHour": 2, "perUpload": 0.1}}]}},
    {"hardExamples": {"miners": [{"miner": "ScoreMargin", "threshold": 0.05, "calibration": KNOTS}]}},
    {"hardExamples": {"miners": [{"miner": "Entropy", "budget": 0.2}]}},
    {"hardExamples": {"miners": [{"miner": "ScoreMargin", "threshold": 0.2}]}},
    {"hardExamples": {"miners": [{"miner": "ScoreMargin", "budget": 0.2}], "regions": {"threshold": 0.4}}},
    {"hardExamples": {"miners": [{"miner": "Random", "budget": 0.2}]}},
    {"hardExamples": {"miners": [{"miner": "ScoreMargin", "budget": 0.2}, {"miner": "Random", "budget": 0.1}]}},
]


@pytest.mark.parametrize("change", LIVE)
def test_live_settings_replace_no_pod_but_reach_config_and_hub(
    world: Any, pick: Any, files: Any, change: dict[str, Any]
) -> None:
    before, after = (desired(world.joint(**parts), world.seen(), NOW) for parts in ({}, change))
    assert hashes(before) == hashes(after)
    assert before.fleet != after.fleet
    if "replay" not in change:
        old, new = (files(pick(plan, "Secret", "yard-edge-n1-router"))["router.json"] for plan in (before, after))
        assert old != new


def test_regions_reach_the_edge_server_and_the_router(world: Any, pick: Any, files: Any) -> None:
    hard = {"miners": [{"miner": "AppealHead", "budget": 0.2}], "regions": {"threshold": 0.4, "learning": "None"}}
    by_appeal = hard | {"regions": {"threshold": 0.02, "by": "Appeal", "side": 64, "codec": "JPEG", "quality": 60}}
    found = []
    for parts in ({}, {"hardExamples": hard}, {"hardExamples": by_appeal}):
        plan = desired(world.joint(**parts), world.seen(), NOW)
        for role in ("edge", "router"):
            config = json.loads(files(pick(plan, "Secret", f"yard-edge-n1-{role}"))[f"{role}.json"])
            found.append(config["regions"])
    asked = {"threshold": 0.4, "cell": 2, "codec": "AVIF", "quality": 40, "learning": "None"}
    assert found[:4] == [None, None, {"side": 48, "by": "Margin"}, asked]
    written = {"threshold": 0.02, "codec": "JPEG", "quality": 60, "learning": "WholePhotoLater"}
    assert found[4:] == [{"side": 64, "by": "Appeal"}, asked | written]


NUMBERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"bytesPerSecond": 20_000}, {"bytesPerSecond": 5000}),
    ({"cost": {"perHour": 2, "perUpload": 0.1}}, {"cost": {"perHour": 2, "perMegabyte": 0.1}}),
    ({"threshold": 0.1, "calibration": KNOTS}, {"threshold": 0.2, "calibration": [[0.5, 0.2]]}),
]


@pytest.mark.parametrize(("old", "new"), NUMBERS)
def test_numbers_of_the_same_kind_are_live(world: Any, old: dict[str, Any], new: dict[str, Any]) -> None:
    plans = [
        desired(world.joint(hardExamples={"miners": [{"miner": "Entropy", **rule}]}), world.seen(), NOW)
        for rule in (old, new)
    ]
    assert hashes(plans[0]) == hashes(plans[1])
    assert plans[0].fleet != plans[1].fleet


@pytest.mark.parametrize("change", SETTLED)
def test_other_rules_replace_the_edges_alone(world: Any, change: dict[str, Any]) -> None:
    before, after = (hashes(desired(world.joint(**parts), world.seen(), NOW)) for parts in ({}, change))
    assert {name for name in before if before[name] != after[name]} == {"yard-edge-n1", "yard-edge-n2"}


@pytest.mark.parametrize("fusion", [{"vote": "majority"}, {"views": "closer"}])
def test_fusion_replaces_the_cloud_alone(world: Any, fusion: dict[str, str]) -> None:
    plain = {**world.joint().spec["cloud"], "labeller": {"uri": "builtin:better", "digest": world.digest(90)}}
    fused = plain | {"fusion": fusion}
    before, after = (hashes(desired(world.joint(cloud=cloud), world.seen(), NOW)) for cloud in (plain, fused))
    assert {name for name in before if before[name] != after[name]} == {"yard-cloud"}


def moved(platform: Platform) -> Platform:
    return replace(
        platform,
        endpoints={symbol: f"{url}.elsewhere" for symbol, url in platform.endpoints.items()},
        inside={},
        operator_key=b"another key, twice",
    )


def test_addresses_and_keys_replace_no_pod(world: Any) -> None:
    before = desired(world.joint(), world.seen(), NOW)
    after = desired(world.joint(), world.seen(platform=moved(world.platform)), NOW)
    assert hashes(before) == hashes(after)
    secrets = [[item["data"] for item in plan.children if item["kind"] == "Secret"] for plan in (before, after)]
    assert all(one != other for one, other in zip(*secrets, strict=True))


share = st.floats(0, 1, allow_nan=False)
ruled = st.sampled_from(["ScoreMargin", "MaxProbability", "Entropy", "Random"])
miner = st.one_of(
    st.fixed_dictionaries({"miner": ruled, "budget": share}),
    st.fixed_dictionaries({"miner": ruled, "threshold": share}),
    st.fixed_dictionaries({"miner": ruled, "threshold": share, "calibration": st.just(KNOTS)}),
    st.fixed_dictionaries({"miner": ruled, "bytesPerSecond": st.integers(1, 10**9)}),
    st.fixed_dictionaries({"miner": ruled, "cost": st.just({"perHour": 2, "perUpload": 0.1})}),
    st.fixed_dictionaries({"miner": st.sampled_from(["EdgeOnly", "CloudOnly"])}),
)
spec_parts = st.fixed_dictionaries(
    {"hardExamples": st.fixed_dictionaries({"miners": st.lists(miner, min_size=1, max_size=8)})},
    optional={"deadlineMilliseconds": st.integers(10, 600_000)},
)
node_name = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,80}[a-z0-9])?", fullmatch=True)


@given(
    parts=spec_parts,
    node_names=st.lists(node_name, max_size=5, unique=True),
    name=st.sampled_from(["yard", "a-edge", "1x"]),
)
@settings(deadline=None)
def test_the_same_question_has_the_same_answer(
    world: Any, parts: dict[str, Any], node_names: list[str], name: str
) -> None:
    seen = world.seen(nodes=tuple(Node(node, {"zone": "a"}) for node in node_names))
    plan = desired(world.joint(name, **parts), seen, NOW)
    again = desired(world.joint(name, **parts), replace(seen, nodes=tuple(reversed(seen.nodes))), NOW)
    assert plan == again
    assert len(set(kinds(plan))) == len(plan.children)
    assert json.loads(json.dumps(plan.children)) == list(plan.children)
    settled = desired(replace(world.joint(name, **parts), status=plan.status), seen, NOW + 1000)
    assert settled.status == plan.status
