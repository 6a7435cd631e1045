"""`python3 -m umiak_operators.cli.broker_accounts`: who may talk to the broker of a cluster, beside the broker itself.

mosquitto knows only accounts that stand in a file. This watches the Deployments of edges (nothing else, and no Secret),
derives each principal's password from the operator's key as the edge's own token was derived, writes accounts and rules
as `umiak up` does, and tells the broker when they changed. An edge that goes loses its account.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import structlog
import typer
from kubernetes.client import ApiClient

from umiak_operators.cli.operator import client_of
from umiak_operators.cli.requests import events, send
from umiak_operators.plan import names
from umiak_operators.runtime.cluster.api import CHILD_KINDS, ApiError
from umiak_operators.runtime.local.broker import Broker
from umiak_workers.contract.errors import ConfigError, IdentityError
from umiak_workers.contract.identity import Principal

HUB: Final = Principal("-", "-", "-", "hub")
PID_FILE: Final = "mosquitto.pid"
_EDGES: Final = {"labelSelector": f"{names.OWNER_KIND}=JointInference,{names.COMPONENT}=edge"}
_REQUEST_SECONDS: Final = 30
_ROUND_SECONDS: Final = 300
"""How long one watch lasts before everything is listed again."""
_AGAIN_SECONDS: Final = 5
log = structlog.get_logger()

Place = tuple[str, str]
"""(namespace, name) of a Deployment."""


def accounts(
    key_file: Annotated[Path, typer.Option(help="Hex text of the operator's key.")],
    out: Annotated[Path, typer.Option(help="Folder for accounts and rules; the broker writes its pid there.")],
    once: Annotated[bool, typer.Option(help="Write them and leave.")] = False,
    kubeconfig: Annotated[Path | None, typer.Option(help="Without it the pod's own service account.")] = None,
) -> None:
    """Keep the broker's accounts as the edges of the cluster are."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        client, broker = client_of(kubeconfig), Broker(out, key_file, _key(key_file), 0, "mosquitto")
    except ConfigError as error:
        print(f"broker accounts: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    while True:
        try:
            follow(client, broker, out, once)
        except ApiError as error:
            log.warning("the API server does not tell the edges", reason=str(error))
            time.sleep(_AGAIN_SECONDS)
            continue
        if once:
            return


def follow(client: ApiClient, broker: Broker, out: Path, once: bool) -> None:
    """List the edges, admit them, and, but for `once`, follow what comes and goes for a while; raises ApiError."""
    path = CHILD_KINDS["Deployment"].path(None, None)
    page = send(client, "GET", path, _EDGES, None, _REQUEST_SECONDS)
    edges = dict(known for item in page["items"] if (known := edge(item)))
    admit(broker, edges.values(), out)
    if once:
        return
    since = {**_EDGES, "resourceVersion": page["metadata"]["resourceVersion"]}
    for event in events(client, path, since, _ROUND_SECONDS):
        if moved(edges, event):
            admit(broker, edges.values(), out)


def moved(edges: dict[Place, tuple[Principal, ...]], event: Mapping[str, Any]) -> bool:
    """Take an event into `edges`; whether anybody came or went."""
    if (known := edge(event["object"])) is None:
        return False
    place, who = known
    if event["type"] == "DELETED":
        return edges.pop(place, None) is not None
    before, edges[place] = edges.get(place), who
    return before != who


def edge(deployment: Mapping[str, Any]) -> tuple[Place, tuple[Principal, ...]] | None:
    """Who speaks in an edge's pods: router and agent of one resource on one node.

    None for a Deployment that carries our labels and is none of ours: whoever made it must not stop everybody's broker.
    """
    meta = deployment["metadata"]
    place = (meta["namespace"], meta["name"])
    try:
        resource, node = meta["labels"][names.OWNER_NAME], _node(deployment["spec"]["template"]["spec"])
        return place, tuple(Principal(meta["namespace"], resource, node, role) for role in ("router", "agent"))
    except (LookupError, TypeError, IdentityError):
        log.warning("a Deployment with our labels is no edge of ours", namespace=place[0], name=place[1])
        return None


def _node(pod: Mapping[str, Any]) -> str:
    """The node that the pods are pinned to; the label may be a shortened form of its name."""
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return str(required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0])


def admit(broker: Broker, edges: Iterable[Iterable[Principal]], out: Path) -> None:
    """Make accounts for the hub and these edges, and let a running broker read them again."""
    who = [HUB, *(principal for group in edges for principal in group)]
    if not broker.admit(who):
        return
    log.info("accounts written", principals=len(who))
    try:
        os.kill(int((out / PID_FILE).read_text()), signal.SIGHUP)
    except (OSError, ValueError):
        log.info("the broker does not run yet")


def _key(file: Path) -> bytes:
    try:
        return bytes.fromhex(file.read_text().strip())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: expected hex text of the operator's key ({error})") from error


if __name__ == "__main__":
    typer.run(accounts)
