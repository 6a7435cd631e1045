"""Where a container finds the others: the endpoint map of each kind of pod, from what the operator was told."""

from collections.abc import Mapping

from umiak_operators.plan import names
from umiak_operators.plan.model import Platform
from umiak_workers.contract import endpoints
from umiak_workers.contract.endpoints import BROKER, HUB

_CLOUD = "umiak://cloud"
_LOOPBACK = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"


def of_edge(
    platform: Platform, namespace: str, resource: str, *, with_cloud: bool, opened: bool = False
) -> dict[str, str]:
    """An edge pod dials hub, broker and, where there is one, its cloud worker.

    It listens on its loopback alone; `opened`: the router also where a port of its node leads.
    """
    known = {
        HUB: platform.endpoints[HUB],
        BROKER: platform.endpoints[BROKER],
        endpoints.edge_server(): _listener("edge", _LOOPBACK),
        endpoints.listen("edge"): _listener("edge", _LOOPBACK),
        endpoints.listen("router"): _listener("router", _EVERYWHERE if opened else _LOOPBACK),
    }
    if with_cloud:
        known[endpoints.cloud(namespace, resource)] = cloud_url(platform, namespace, resource)
    return known


def of_cloud(platform: Platform) -> dict[str, str]:
    """A cloud worker dials the hub."""
    return {HUB: inside(platform, HUB), endpoints.listen("cloud"): _listener("cloud", _EVERYWHERE)}


def of_trainer(platform: Platform) -> dict[str, str]:
    """A training Job dials the hub and listens nowhere."""
    return {HUB: inside(platform, HUB)}


def of_hub(platform: Platform) -> dict[str, str]:
    """The hub sends hints through the broker."""
    return {BROKER: inside(platform, BROKER), endpoints.listen("hub"): _listener("hub", _EVERYWHERE)}


def of_signer(platform: Platform) -> dict[str, str]:
    """The signer dials the hub and listens nowhere."""
    return {HUB: inside(platform, HUB)}


def inside(platform: Platform, symbol: str) -> str:
    """The address of a symbol as pods beside the hub see it."""
    known: Mapping[str, str] = {**platform.endpoints, **platform.inside}
    return known[symbol]


def authorities(platform: Platform, known: Mapping[str, str]) -> str:
    """The authorities that a pod with this endpoint map needs beside those of its image: none where it dials no TLS."""
    encrypted = any(url.startswith(("https://", "mqtts://")) for url in known.values())
    return platform.ca if encrypted else ""


def cloud_url(platform: Platform, namespace: str, resource: str) -> str:
    """The address of a JointInference's cloud worker as its edges see it."""
    exact = platform.endpoints.get(endpoints.cloud(namespace, resource))
    if exact is not None:
        return exact
    gateway = platform.endpoints.get(_CLOUD)
    if gateway is not None:
        return f"{gateway.rstrip('/')}/{namespace}/{names.cloud_pod(resource)}"
    return names.service_url(names.cloud_pod(resource), namespace, "cloud")


def _listener(role: str, host: str) -> str:
    return f"http://{host}:{names.PORTS[role]}"
