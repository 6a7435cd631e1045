"""What runs, as one file for machines: `status.json`, replaced in one step."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from umiak_operators.api.resource import Resource
from umiak_operators.runtime.local.container import ContainerState
from umiak_operators.runtime.local.pod import Pod
from umiak_workers.contract import endpoints
from umiak_workers.contract.world import ContainerStatus, PodStatus, ResourceStatus, World


@dataclass(frozen=True)
class Known:
    """What does not change while a world runs: which broker, and where credentials lie."""

    broker: str
    viewer_token: str
    operator_key: str


def world(
    pods: Iterable[Pod], resources: Iterable[Resource], outside: Mapping[str, str], files: Known, at: float
) -> World:
    """The picture at `at` (seconds since the epoch), without ended Jobs. `outside`: addresses of hub and broker."""
    listed = tuple(pods)
    return World(
        at=at,
        pid=os.getpid(),
        broker=files.broker,
        endpoints={**outside, **_addresses(listed, "cloud")},
        routers=_addresses(listed, "router"),
        pods=tuple(_pod(pod) for pod in listed if pod.state.readiness != "Succeeded"),
        resources=tuple(_resource(one) for one in resources),
        viewer_token_file=files.viewer_token,
        operator_key_file=files.operator_key,
    )


def _addresses(pods: Iterable[Pod], role: str) -> dict[str, str]:
    found = {}
    for pod in pods:
        for spec, state in zip(pod.spec.containers, pod.state.containers, strict=False):
            if spec.role == role and state.address and pod.owner:
                namespace, name = pod.owner.namespace, pod.owner.name
                symbol = endpoints.cloud(namespace, name) if role == "cloud" else f"{namespace}/{name}/{pod.spec.edge}"
                found[symbol] = state.address
    return found


def _pod(pod: Pod) -> PodStatus:
    return PodStatus(
        name=pod.spec.id,
        component=pod.spec.component,
        edge=pod.spec.edge,
        owner=str(pod.owner) if pod.owner else "",
        containers=tuple(_container(state) for state in pod.state.containers),
    )


def _container(state: ContainerState) -> ContainerStatus:
    return ContainerStatus(
        name=state.name,
        pid=state.pid,
        ready=state.ready,
        restarts=state.restarts,
        address=state.address,
        message=state.message,
    )


def _resource(resource: Resource) -> ResourceStatus:
    key = resource.key
    return ResourceStatus(
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        generation=resource.generation,
        status=dict(resource.status),
    )
