"""One Deployment per edge node, with its own Secrets and its own state volume.

Identity, camera and state belong to a node: they survive pods and templates, and no other node ever sees them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from umiak_operators.api.joint_inference import JointInference, Source, Video
from umiak_operators.api.resource import Resource
from umiak_operators.plan import addresses, live, names, objects
from umiak_operators.plan.model import Node, Observed, Platform
from umiak_operators.plan.objects import Obj
from umiak_operators.plan.pods import STATE, Brought, Part, Pod, needs, offered, shown, sized
from umiak_workers.contract.config import (
    AgentConfig,
    DirectorySource,
    EdgeConfig,
    HttpSource,
    ModelSource,
    Regions,
    RouterConfig,
    Tiling,
    VideoSource,
)
from umiak_workers.contract.identity import Principal

_EDGE_NEEDS: Final = needs("250m", "256Mi", "1Gi")
_ROUTER_NEEDS: Final = needs("50m", "128Mi", "512Mi")
_AGENT_NEEDS: Final = needs("20m", "96Mi", "512Mi")
_GIVE_FOLDER: Final = f"import os; os.chown({names.STATE_FOLDER!r}, {objects.USER}, {objects.USER})"

_TOLERATIONS: Final = (
    {"key": names.EDGE_ROLE, "operator": "Exists"},
    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
)
"""Without seconds: an edge that is offline for an hour keeps its pod."""


@dataclass(frozen=True)
class Site:
    """What all edges of one JointInference have in common."""

    resource: Resource
    spec: JointInference
    platform: Platform

    @property
    def namespace(self) -> str:
        return self.resource.key.namespace

    @property
    def name(self) -> str:
        return self.resource.key.name

    @property
    def line(self) -> str:
        """The full name of the model line."""
        return f"{self.namespace}/{self.spec.edge.model.line}"


def matching(spec: JointInference, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The nodes that become edges, by name; whether they are ready does not matter."""
    wanted = spec.edge.nodes.match_labels.items()
    found = (node for node in nodes if all(node.labels.get(key) == value for key, value in wanted))
    return tuple(sorted(found, key=lambda node: node.name))


def may_keep_state(seen: Observed) -> bool:
    """hostPath is for namespaces that say so."""
    by_claim = seen.platform.state_volume == "persistentVolumeClaim"
    return by_claim or seen.namespace_labels.get(names.HOST_PATH_ALLOWED) == "allowed"


def edge_objects(site: Site, node: Node) -> list[Obj]:
    """Secrets, Deployment and, where claims are used, the claim of one edge."""
    name = names.edge_pod(site.name, node.name)
    own = objects.labels(objects.owner_labels("JointInference", site.name), "edge", node.name)
    metadata = objects.meta(name, site.namespace, own)
    pod = edge_pod(site, node, name, own)
    template = pod.template()
    _place(template["spec"], node)
    _own_folder(template["spec"], site.platform)
    _join_group(template["spec"], site.spec.edge.source)
    found = [
        *pod.secrets(site.namespace, site.platform.operator_key),
        objects.deployment(metadata, own, template, replicas=1, strategy=objects.RECREATE),
    ]
    if site.platform.state_volume == "persistentVolumeClaim":
        found.append(objects.claim(metadata, site.platform.state_size, site.platform.storage_class))
    return found


def edge_pod(site: Site, node: Node, name: str, own: Mapping[str, str]) -> Pod:
    """Model server, router and agent around one state volume."""
    known = addresses.of_edge(
        site.platform,
        site.namespace,
        site.name,
        with_cloud=site.spec.cloud is not None,
        opened=_opened(site.spec) is not None,
    )
    parts = (_edge(site, node), _router(site, node), _agent(site, node))
    trusted = addresses.authorities(site.platform, known)
    gpu = site.spec.edge.runtime.gpu
    return Pod(name, own, parts, known, _state(site, node, name), authorities=trusted, gpu=gpu)


def _principal(site: Site, node: Node, role: str) -> Principal:
    return Principal(site.namespace, site.name, node.name, role)


def _edge(site: Site, node: Node) -> Part:
    runtime, regions = site.spec.edge.runtime, site.spec.hard_examples.regions
    tiling = Tiling(side=regions.side, by=regions.by) if regions else None
    return Part(
        "edge",
        site.platform.images["edge"],
        EdgeConfig(
            line=site.line,
            task=site.spec.task,
            threads=runtime.threads,
            gpu=runtime.gpu is not None,
            regions=tiling,
        ),
        _principal(site, node, "edge"),
        sized(_EDGE_NEEDS, runtime.resources),
        devices=offered(runtime.gpu),
        environment=shown(runtime.gpu),
    )


def _router(site: Site, node: Node) -> Part:
    spec, source = site.spec, site.spec.edge.source
    config = RouterConfig(
        namespace=site.namespace,
        resource=site.name,
        edge=node.name,
        line=site.line,
        task=spec.task,
        directory=DirectorySource(path=source.directory.path) if source.directory else None,
        http=HttpSource() if source.http else None,
        video=_video(source.video, node) if source.video else None,
        rules=live.rules(spec),
        deadline_milliseconds=spec.deadline_milliseconds,
        regions=_regions(spec),
    )
    image, principal = site.platform.images["edge"], _principal(site, node, "router")
    opened = _opened(spec)
    return Part(
        "router",
        image,
        config,
        principal,
        _ROUTER_NEEDS,
        port=names.PORTS["router"] if opened else None,
        node_port=opened,
        brought=_brought(source),
        devices=(source.video.device.resource,) if source.video and source.video.device else (),
        settled=live.settled(config),
    )


def _video(asked: Video, node: Node) -> VideoSource:
    """What a router needs of it. Each node has its own camera, so the stream's address may hold the node's name."""
    return VideoSource(
        uri=asked.uri.replace("{edge}", node.name) if asked.uri else None,
        file=asked.file,
        device=asked.device.path if asked.device else None,
        frames_per_second=asked.frames_per_second,
        transport=asked.transport,
        credentials=names.CAMERA_FOLDER if asked.credentials_secret else None,
        loop=asked.loop,
        realtime=asked.realtime,
    )


def _brought(source: Source) -> tuple[Brought, ...]:
    secret = source.video.credentials_secret if source.video else None
    return (Brought("camera", secret, names.CAMERA_FOLDER, ("username", "password")),) if secret else ()


def _regions(spec: JointInference) -> Regions | None:
    """What a router needs of them; which tiles there are, and how hard they are told, is the edge server's."""
    asked = spec.hard_examples.regions
    return Regions.model_validate(asked.model_dump(exclude={"side", "by"})) if asked else None


def _opened(spec: JointInference) -> tuple[str, int] | None:
    """Address and port of the node that lead to the router."""
    http = spec.edge.source.http
    return (str(http.host_ip), http.host_port) if http and http.host_port else None


def _agent(site: Site, node: Node) -> Part:
    model = site.spec.edge.model
    config = AgentConfig(
        namespace=site.namespace,
        resource=site.name,
        edge=node.name,
        line=site.line,
        initial=ModelSource(uri=model.uri, digest=model.digest),
        trusted_keys=site.platform.trusted_keys,
    )
    image, principal = site.platform.images["edge"], _principal(site, node, "agent")
    return Part("agent", image, config, principal, _AGENT_NEEDS, probed=False)


def _state(site: Site, node: Node, name: str) -> Obj:
    if site.platform.state_volume == "persistentVolumeClaim":
        return {"persistentVolumeClaim": {"claimName": name}}
    path = f"{site.platform.host_path_root}/{site.namespace}/{site.name}/{node.name}"
    return {"hostPath": {"path": path, "type": "DirectoryOrCreate"}}


def _place(spec: Obj, node: Node) -> None:
    """Exactly this node, whatever its labels say; name resolution of the host, as edges have no cluster DNS."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node.name]}]}
    required = {"nodeSelectorTerms": [term]}
    spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    spec["tolerations"] = [dict(toleration) for toleration in _TOLERATIONS]
    spec["dnsPolicy"] = "Default"


def _join_group(spec: Obj, source: Source) -> None:
    """A device's file belongs to a group of the node, and its plugin does not change that."""
    device = source.video.device if source.video else None
    if device:
        spec["securityContext"]["supplementalGroups"] = [device.group]


def _own_folder(spec: Obj, platform: Platform) -> None:
    """fsGroup does not reach a hostPath: give the folder itself, nothing in it, to our user before the first start."""
    if platform.state_volume != "hostPath":
        return
    giver = objects.container(
        "own-folder",
        platform.images["edge"],
        ["python3", "-c", _GIVE_FOLDER],
        needs("10m", "32Mi", "64Mi").model_dump(mode="json", exclude_none=True),
        [objects.mount(STATE, names.STATE_FOLDER)],
    )
    giver["securityContext"] |= {
        "runAsUser": 0,
        "runAsNonRoot": False,
        "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]},
    }
    spec["initContainers"] = [giver]
