"""The cloud worker of a JointInference: a stateless Deployment behind a Service, never on an edge node."""

from typing import Final

from umiak_operators.api.joint_inference import Cloud, Model
from umiak_operators.plan import addresses, names, objects
from umiak_operators.plan.edges import Site
from umiak_operators.plan.objects import Obj
from umiak_operators.plan.pods import Part, Pod, needs, offered, shown, sized
from umiak_workers.contract.config import RESOURCE_KEY_FILE, CloudConfig, Fusion, ModelSource
from umiak_workers.contract.identity import Principal, resource_key

_NEEDS: Final = needs("500m", "1Gi", "4Gi")
_GRACE: Final = 15


def cloud_objects(site: Site, cloud: Cloud) -> list[Obj]:
    """Secret, Deployment and Service."""
    name = names.cloud_pod(site.name)
    own = objects.labels(objects.owner_labels("JointInference", site.name), "cloud")
    metadata = objects.meta(name, site.namespace, own)
    known = addresses.of_cloud(site.platform)
    trusted = addresses.authorities(site.platform, known)
    pod = Pod(name, own, (_part(site, cloud),), known, {"emptyDir": {}}, _GRACE, trusted, cloud.gpu)
    template = pod.template()
    keep_off_edges(template["spec"])
    return [
        *pod.secrets(site.namespace, site.platform.operator_key),
        # a node with one GPU has none for the new pod until the old one is gone; meanwhile the edges answer
        objects.deployment(metadata, own, template, cloud.replicas, objects.OLD_FIRST if cloud.gpu else None),
        objects.service(metadata, own, names.PORTS["cloud"]),
    ]


def keep_off_edges(spec: Obj) -> None:
    """Edge nodes come and go; what others depend on stays off them."""
    term = {"matchExpressions": [{"key": names.EDGE_ROLE, "operator": "DoesNotExist"}]}
    required = {"nodeSelectorTerms": [term]}
    spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def _part(site: Site, cloud: Cloud) -> Part:
    config = CloudConfig(
        namespace=site.namespace,
        resource=site.name,
        line=site.line,
        task=site.spec.task,
        sam=_source(cloud.sam),
        labeller=_source(cloud.labeller),
        fusion=Fusion(**cloud.fusion.model_dump()),
        batch=cloud.batch,
        gpu=cloud.gpu is not None,
    )
    return Part(
        role="cloud",
        image=site.platform.images["cloud"],
        config=config,
        principal=Principal(site.namespace, site.name, "-", "cloud"),
        resources=sized(_NEEDS, cloud.resources),
        devices=offered(cloud.gpu),
        environment=shown(cloud.gpu),
        port=names.PORTS["cloud"],
        keys={RESOURCE_KEY_FILE: resource_key(site.platform.operator_key, site.namespace, site.name).hex().encode()},
    )


def _source(model: Model | None) -> ModelSource | None:
    return None if model is None else ModelSource(uri=model.uri, digest=model.digest)
