"""`umiak operator`: the operator as one process, inside a cluster or beside it."""

import asyncio
import logging
import os
import random
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import kopf
import structlog
import typer
import yaml
from kubernetes import config as kubernetes_config
from kubernetes.client import ApiClient, Configuration

from umiak_operators import handlers
from umiak_operators.api.resource import API_VERSION, PLURALS
from umiak_operators.cli import platform_settings
from umiak_operators.cli.metrics import LOOPBACK, Address, OperatorMetrics, served
from umiak_operators.plan.desired import desired
from umiak_operators.plan.model import Platform
from umiak_operators.reconcile import Pace, Reconciler
from umiak_operators.runtime.clock import SystemClock
from umiak_operators.runtime.cluster.api import Api, ApiError, Timeouts
from umiak_operators.runtime.cluster.index import Index
from umiak_operators.runtime.cluster.runtime import Cluster, World
from umiak_operators.runtime.fleet import Doorbells, Fleet, FleetTimes
from umiak_workers.contract import identity
from umiak_workers.contract.errors import ConfigError

REFRESH_SECONDS = 600
log = structlog.get_logger()


@dataclass(frozen=True)
class Wiring:
    """What the process is made of."""

    client: ApiClient
    platform: Platform
    hub: str
    pace: Pace
    metrics: Address | None = None
    """Where Prometheus may ask; None: nowhere."""


def operator(
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Cluster to work on; without it the pod's own service account.")
    ] = None,
    platform: Annotated[Path | None, typer.Option(help="YAML file with addresses, images and keys.")] = None,
    hub: Annotated[str | None, typer.Option(help="URL of the hub; wins over the file.")] = None,
    state: Annotated[Path | None, typer.Option(help="Folder for keys that are made here.")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve figures for Prometheus here; without: not at all.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Address to serve them at; in a pod 0.0.0.0.")] = LOOPBACK,
    verbose: Annotated[bool, typer.Option(help="Say every request of the watches as well.")] = False,
) -> None:
    """Run the operator: keep every JointInference, LifelongLearning and ModelPatch of a cluster as it says.

    Nothing but the API server and the hub is needed; a restart changes nothing. Keys that no setting names are made
    once under --state. In a cluster it uses its pod's service account.

    Examples:

        umiak operator --kubeconfig ~/.kube/config --hub http://127.0.0.1:8800

        umiak operator --platform platform.yaml

        umiak operator --platform platform.yaml --metrics-port 9400 --metrics-host 0.0.0.0

        UMIAK_STATE_VOLUME=persistentVolumeClaim umiak operator --kubeconfig F
    """
    _log_to_stderr(verbose)
    settings = platform_settings.load(platform, hub)
    folder = state or Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "umiak/operator"
    wiring = Wiring(
        client=client_of(kubeconfig),
        platform=platform_settings.platform(settings, folder),
        hub=settings.operator_hub or settings.inside_hub or settings.hub,
        pace=Pace(figures_seconds=settings.figures_seconds),
        metrics=None if metrics_port is None else Address(metrics_host, metrics_port),
    )
    asyncio.run(run(wiring))


def client_of(kubeconfig: Path | None) -> ApiClient:
    """A client for a kubeconfig file, or for the service account of this pod; raises ConfigError."""
    chosen = Configuration()
    load: Callable[..., None] = kubernetes_config.load_kube_config
    inside: Callable[..., None] = kubernetes_config.load_incluster_config
    try:
        if kubeconfig is not None:
            load(config_file=str(kubeconfig), client_configuration=chosen, persist_config=False)
        else:
            inside(client_configuration=chosen)
    except (kubernetes_config.ConfigException, OSError, yaml.YAMLError) as error:
        where = kubeconfig or "no --kubeconfig, and not in a pod"
        raise ConfigError(f"{where}: {' '.join(str(error).split())}") from error
    return ApiClient(chosen)


async def run(wiring: Wiring) -> None:
    """Work until SIGTERM or SIGINT."""
    clock, rng, metrics = SystemClock(), random.Random(), OperatorMetrics()
    async with AsyncExitStack() as stack:
        stack.enter_context(served(metrics, wiring.metrics))
        api = await stack.enter_async_context(Api(wiring.client, Timeouts(connect=5, read=30), threads=8))
        await crds_served(api, pause=1)
        principal = identity.Principal("-", "-", "-", "operator")
        token = identity.token(wiring.platform.operator_key, principal)
        ca = wiring.platform.ca
        fleet = await stack.enter_async_context(Fleet(wiring.hub, token, FleetTimes(request=5), clock, rng, ca))
        index, listed = Index(), asyncio.Event()
        world = World(api, index, wiring.platform, fleet, clock, ring=lambda key: reconciler.ring(key))
        cluster = Cluster(world, refresh_seconds=REFRESH_SECONDS)
        reconciler = Reconciler(cluster, desired, clock, rng, wiring.pace, metrics.looked)
        metrics.follow(reconciler.queue.waiting, clock.now)
        registry = kopf.OperatorRegistry()
        handlers.register(registry, handlers.Bell(index, reconciler.ring, clock, listed))
        background = [
            asyncio.create_task(reconciler.run()),
            asyncio.create_task(follow_hub(fleet, cluster, reconciler, index, listed)),
            asyncio.create_task(relisting(cluster, listed, rng)),
        ]
        _connect(registry, wiring.client.configuration, background)
        watches = asyncio.create_task(kopf.operator(registry=registry, settings=handlers.settings(), clusterwide=True))
        await _first_end([watches, *background])


class Discovery(Protocol):
    """The part of an API server that tells what it serves."""

    async def served(self, api_version: str) -> set[str]:
        """Plural names of the kinds of a group's version; raises ApiError."""


async def crds_served(api: Discovery, pause: float) -> None:
    """Return once the API server serves all three kinds; says what is missing, each thing once. `pause` in seconds."""
    said = ""
    while (text := await _lacking(api)) is not None:
        if text != said:
            log.warning(text)
            said = text
        await asyncio.sleep(pause)


async def _lacking(api: Discovery) -> str | None:
    """What stands in the way of starting, or None."""
    try:
        missing = set(PLURALS.values()) - await api.served(API_VERSION)
    except ApiError as error:
        return f"waiting for the API server: {error}"
    if not missing:
        return None
    return f"waiting for the custom resource definitions of {', '.join(sorted(missing))}: kubectl apply -f crds/"


async def follow_hub(
    fleet: Fleet, cluster: Cluster, reconciler: Reconciler, index: Index, listed: asyncio.Event
) -> None:
    """Ring for what changes at the hub, once the cluster has been listed; sweep whenever the hub comes (back)."""
    await listed.wait()
    returned = asyncio.Event()

    def changed(uid: str) -> None:
        for resource in index.owners():
            if resource.uid == uid:
                reconciler.ring(resource.key)

    def everyone() -> None:
        returned.set()
        for resource in index.owners():
            reconciler.ring(resource.key)

    async def sweeping() -> None:
        while True:
            await returned.wait()
            returned.clear()
            await cluster.sweep()

    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.follow(Doorbells(changed, everyone)))
        group.create_task(sweeping())


async def relisting(cluster: Cluster, listed: asyncio.Event, rng: random.Random) -> None:
    """Now and then forget what went while no watch was looking."""
    await listed.wait()
    while True:
        await asyncio.sleep(REFRESH_SECONDS * rng.uniform(0.8, 1.2))
        try:
            await cluster.relist()
        except ApiError as error:
            log.warning("listing failed and will be tried again", error=str(error))


def _connect(registry: kopf.OperatorRegistry, chosen: Configuration, background: list[asyncio.Task[None]]) -> None:
    """Let kopf log in with the same credentials, and end our own tasks before kopf looks for stragglers."""

    async def login(**_: Any) -> kopf.ConnectionInfo:
        return connection(chosen)

    async def cleanup(**_: Any) -> None:
        for task in background:
            task.cancel()
        await asyncio.wait(background)

    kopf.on.login(registry=registry)(login)
    kopf.on.cleanup(registry=registry)(cleanup)


def connection(chosen: Configuration) -> kopf.ConnectionInfo:
    """The credentials of a kubernetes client as kopf takes them; a token is read afresh each time."""
    header = chosen.get_api_key_with_prefix("BearerToken") or chosen.get_api_key_with_prefix("authorization") or ""
    scheme, _, token = header.rpartition(" ")
    return kopf.ConnectionInfo(
        server=chosen.host,
        ca_path=chosen.ssl_ca_cert,
        insecure=not chosen.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=chosen.cert_file,
        private_key_path=chosen.key_file,
    )


async def _first_end(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for the first task to end, end the others, and raise what made it end, if anything did."""
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending)
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


def _log_to_stderr(verbose: bool) -> None:
    """JSON lines unless a person is watching; kopf's own chatter only when asked for."""
    shown = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso"), shown],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, stream=sys.stderr)


if __name__ == "__main__":
    typer.run(operator)
