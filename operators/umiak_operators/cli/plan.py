"""`umiak plan`: what the operator would make of some YAML, without a cluster, a hub or a running process."""

import hashlib
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml
from rich.console import Console, Group
from rich.table import Table

from umiak_operators.api.resource import Resource
from umiak_operators.cli.manifests import Manifests, load
from umiak_operators.cli.node_list import load_nodes
from umiak_operators.plan import names
from umiak_operators.plan.desired import desired
from umiak_operators.plan.model import Node, Observed, Plan, Platform
from umiak_operators.runtime.local.nodes import simulated
from umiak_workers.contract.endpoints import BROKER, HUB

_ROLES: Final = ("edge", "cloud", "trainer", "hub", "signer")
_NODES: Final = 2
_EXAMPLE_KEY: Final = b"umiak plan prints no key that is in use"

Planned = list[tuple[Resource, Plan]]


class Format(StrEnum):
    """How children are printed."""

    yaml = "yaml"
    table = "table"


class StateVolume(StrEnum):
    """Where edges keep their state."""

    hostPath = "hostPath"
    persistentVolumeClaim = "persistentVolumeClaim"


def plan(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files or folders.")],
    nodes: Annotated[
        Path | None, typer.Option(metavar="FILE", help=f"Nodes as YAML; without it {_NODES} simulated ones match.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", "-o", help="How to print the children.")] = Format.yaml,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="For resources that name none.")] = "default",
    state_volume: Annotated[
        StateVolume, typer.Option(help="Where edges keep their state, as the operator is set up.")
    ] = StateVolume.hostPath,
    show_secrets: Annotated[bool, typer.Option(help="Print values of Secrets instead of digests.")] = False,
) -> None:
    """Print what the operator would make of some resources.

    Nothing is asked or changed: keys are examples, and what depends on a hub (rounds, releases) is left out.
    A wrong field is named with its file and line, and the exit code is 2.

    Examples:

        umiak plan docs/examples/01-minimal --format table

        kubectl get nodes -o yaml > nodes.yaml && umiak plan my.yaml --nodes nodes.yaml

        umiak plan my.yaml --show-secrets > children.yaml
    """
    manifests = load(files, namespace)
    known = load_nodes(nodes) if nodes else simulated(manifests.resources, _NODES)
    planned = plans(manifests, known, example_platform(state_volume))
    console = Console(soft_wrap=True)
    if output is Format.table:
        console.print(as_table(planned))
    else:
        sys.stdout.write(as_yaml(planned, show_secrets))
    for note in notes(planned):
        print(note, file=sys.stderr)


def example_platform(state_volume: StateVolume) -> Platform:
    """An installation that could be anyone's."""
    return Platform(
        images={role: f"umiak/{role}:dev" for role in _ROLES},
        endpoints={HUB: "https://hub.example.invalid", BROKER: "mqtts://broker.example.invalid"},
        inside={},
        operator_key=_EXAMPLE_KEY,
        trusted_keys=("an-example-key",),
        state_volume=state_volume.value,
    )


def plans(manifests: Manifests, nodes: tuple[Node, ...], platform: Platform) -> Planned:
    """The plan of every resource while nothing has been seen yet but nodes and the other resources."""
    resources = manifests.resources
    return [(one, desired(one, _seen(one, manifests, nodes, platform), 0.0)) for one in resources]


def _seen(resource: Resource, manifests: Manifests, nodes: tuple[Node, ...], platform: Platform) -> Observed:
    namespace = resource.key.namespace
    related = (one for one in manifests.resources if one.key.namespace == namespace and one.key != resource.key)
    labels = manifests.namespaces.get(namespace, {})
    return Observed(platform, related=tuple(related), nodes=nodes, namespace_labels=labels)


def as_yaml(planned: Planned, show_secrets: bool) -> str:
    """Every child as a YAML document, with a comment that names its owner."""
    documents = []
    for resource, its_plan in planned:
        for child in its_plan.children:
            body = child if show_secrets else _discreet(child)
            documents.append(f"# of {resource.key}\n{yaml.safe_dump(body, sort_keys=False)}")
    return "---\n".join(documents)


def _discreet(child: Mapping[str, Any]) -> Mapping[str, Any]:
    if child["kind"] != "Secret":
        return child
    return {**child, "data": {key: _digest(value) for key, value in child["data"].items()}}


def _digest(value: str) -> str:
    return f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:12]}"


def as_table(planned: Planned) -> Group:
    """One table per resource, one line per child."""
    return Group(*(_table(resource, its_plan) for resource, its_plan in planned if its_plan.children))


def _table(resource: Resource, its_plan: Plan) -> Table:
    table = Table(title=str(resource.key), title_justify="left", box=None, pad_edge=False)
    for heading in ("Kind", "Name", "For", "Runs"):
        table.add_column(heading, overflow="fold")
    for child in its_plan.children:
        meta = child["metadata"]
        labels = meta.get("labels", {})
        place = labels.get(names.EDGE) or labels.get(names.COMPONENT, "")
        table.add_row(child["kind"], meta["name"], place, ", ".join(_containers(child)))
    return table


def _containers(child: Mapping[str, Any]) -> list[str]:
    pod = child.get("spec", {}).get("template", {}).get("spec", {})
    return [container["name"] for container in pod.get("containers", ())]


def notes(planned: Planned) -> Iterable[str]:
    """What would keep a resource from being ready, beyond not having started yet."""
    for resource, its_plan in planned:
        if not its_plan.children:
            yield f"{resource.key}: no children while nothing has run yet"
        for condition in its_plan.status.get("conditions", ()):
            if condition["status"] == "False" and condition["reason"] not in ("EdgesProgressing", "HubUnreachable"):
                yield f"{resource.key}: {condition['type']}=False {condition['reason']}: {condition['message']}"
