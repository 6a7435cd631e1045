"""The live table of `umiak up`: resources with their verdict and models, pods with their containers."""

from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from umiak_operators.cli.up_news import verdict
from umiak_workers.contract.world import ContainerStatus, PodStatus, World


def picture(world: World, models: Mapping[str, str], heading: str) -> Group:
    """Everything on one screen. `models`: resource (`Kind/namespace/name`) -> digests that its edges run."""
    return Group(Text(heading, style="bold"), _resources(world, models), _pods(world.pods))


def short(digests: Sequence[str | None]) -> str:
    """Digests as few characters that a person can compare."""
    known = sorted({digest.removeprefix("sha256:")[:12] for digest in digests if digest})
    return ", ".join(known)


def _resources(world: World, models: Mapping[str, str]) -> Table:
    table = Table("resource", "condition", "pods ready", "restarts", "model at the edges", expand=True)
    for resource in world.resources:
        name = f"{resource.kind}/{resource.namespace}/{resource.name}"
        mine = [pod for pod in world.pods if pod.owner == name]
        ready = sum(all(item.ready for item in pod.containers) for pod in mine)
        restarts = sum(item.restarts for pod in mine for item in pod.containers)
        good = "=True" in verdict(resource).partition(" ")[0]
        condition = Text(verdict(resource), style="green" if good else "yellow")
        table.add_row(name, condition, f"{ready}/{len(mine)}", str(restarts), models.get(name, ""))
    return table


def _pods(pods: Sequence[PodStatus]) -> Table:
    table = Table("pod", "containers", "restarts", "last words", expand=True)
    for pod in pods:
        row = Text(" ").join(_container(item) for item in pod.containers)
        said = next((f"{item.name}: {item.message}" for item in pod.containers if item.message), "")
        table.add_row(pod.name, row, str(sum(item.restarts for item in pod.containers)), Text(said, style="dim"))
    return table


def _container(item: ContainerStatus) -> Text:
    style = "green" if item.ready else "yellow" if item.pid else "red"
    return Text(f"{item.name} {'ready' if item.ready else 'starting' if item.pid else 'down'}", style=style)
