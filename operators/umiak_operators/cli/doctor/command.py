"""`umiak doctor`: the command. Wires reading, checking and printing; decides nothing."""

import json
import os
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from umiak_operators.cli.doctor import check_machine, focus, machine
from umiak_operators.cli.doctor.bounded import TooSlow, within
from umiak_operators.cli.doctor.examination import examine, report
from umiak_operators.cli.doctor.finding import Finding, Place, Report, unknown
from umiak_operators.cli.doctor.picture import show
from umiak_operators.plan.platform import NAMESPACE
from umiak_workers.contract.errors import ConfigError

if TYPE_CHECKING:
    from umiak_operators.api.resource import Key
    from umiak_operators.cli.doctor.facts import Facts


class Form(StrEnum):
    """How the report is printed."""

    text = "text"
    json = "json"


def doctor(
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Cluster to look at; without it KUBECONFIG, then ~/.kube/config.")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    namespace: Annotated[str, typer.Option(help="Namespace of the installation.")] = NAMESPACE,
    output: Annotated[Form, typer.Option("--output", "-o", help="text, or json for machines.")] = Form.text,
    resource: Annotated[
        str | None, typer.Option(metavar="KIND/NAME", help="Look at one resource and what it stands on: ji/yard.")
    ] = None,
    resource_namespace: Annotated[
        str | None, typer.Option("-n", "--resource-namespace", help="Namespace of --resource.  [default: default]")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Look at this machine, not at a cluster.")] = False,
    patience: Annotated[float, typer.Option(min=1, max=600, help="Seconds for all of it.")] = 60.0,
) -> None:
    """Say what is wrong with an installation, why it matters, and what to type next. Never changes anything.

    Reads the cluster of your kubeconfig with your rights and says which right is missing, if one is. Without a
    kubeconfig, or with --local, it looks at this machine and the world of `umiak up`.

    Exit code: 0 all is well (warnings included), 1 something is wrong, 2 something could not be looked at.

    Examples:

        umiak doctor

        umiak doctor --context prod --namespace umiak-system

        umiak doctor --resource ji/yard -n yard

        umiak doctor -o json | jq '.findings[] | select(.level == "problem")'

        umiak doctor --local
    """
    if resource_namespace is not None and resource is None:
        raise ConfigError("-n is the namespace of --resource KIND/NAME; the installation's is --namespace")
    key = focus.parse(resource, resource_namespace or "default") if resource else None
    found = None if local else kubeconfig_file(kubeconfig)
    if local:
        said = of_machine(())
    elif found is None and kubeconfig is None:
        said = of_machine((_no_cluster(),))
    else:
        with Console(stderr=True).status("reading the cluster ..."):
            said = of_cluster(found, context, namespace, key, patience)
    if output is Form.json:
        json.dump(said.model_dump(mode="json"), sys.stdout, indent=1, ensure_ascii=False)
        print()
    else:
        show(said, Console(highlight=False))
    raise typer.Exit(said.exit_code)


def kubeconfig_file(named: Path | None) -> Path | None:
    """The file that was named, or the usual one if it is there; KUBECONFIG may name several, which go as they are."""
    if named is not None:
        return named
    usual = os.environ.get("KUBECONFIG") or "~/.kube/config"
    files = [Path(part).expanduser() for part in usual.split(os.pathsep) if part]
    return Path(usual).expanduser() if any(file.exists() for file in files) else None


def _no_cluster() -> Finding:
    from umiak_operators.cli.doctor.finding import ok

    return ok("machine.cluster", "no kubeconfig was found (KUBECONFIG, ~/.kube/config): looking at this machine only")


def of_machine(first: tuple[Finding, ...]) -> Report:
    """The report on this machine."""
    found = machine.look(os.environ, Path.home())
    return report((*first, *check_machine.check(found)), Place(kind="machine"), found.version, found.now)


def of_cluster(
    kubeconfig: Path | None, context: str | None, namespace: str, key: "Key | None", patience: float
) -> Report:
    """The report on a cluster; one that cannot be talked to is a finding as well."""
    place = Place(kind="cluster", context=context or "", namespace=namespace, server=str(kubeconfig or ""))
    version = machine.installed_version()
    try:
        from umiak_operators.cli.doctor.gather import Gathering
        from umiak_operators.cli.doctor.reader import Reader, client_of
        from umiak_operators.runtime.cluster.api import ApiError
    except ImportError as error:
        install = "pip install 'umiak[operator]'"
        lost = unknown("access.packages", f"{error.name} is not installed", "clusters are read with it", install)
        return report((lost,), place, version, time.time())
    try:
        client = client_of(kubeconfig, context)
        place = place.model_copy(update={"server": str(client.configuration.host)})
        reading = Gathering(Reader(client, request=10.0, patience=patience), namespace)
        facts = within(patience + 5, lambda: reading.read(version))
    except (ApiError, ConfigError, TooSlow) as error:
        return report((_unreached(error, place),), place, version, time.time())
    place = place.model_copy(update={"kubernetes": facts.server_version or ""})
    return report(_findings(facts, key), place, version, facts.now)


def _findings(facts: "Facts", key: "Key | None") -> tuple[Finding, ...]:
    if key is None:
        return examine(facts)
    narrow = focus.narrowed(facts, key)
    return (*focus.closer(narrow, key), *focus.relevant(examine(narrow), narrow, key))


def _unreached(error: Exception, place: Place) -> Finding:
    status = getattr(error, "status", None)
    if status == 401:
        text, why = "the API server does not accept these credentials", "they have expired, or are for another cluster"
        return unknown("access.login", text, why, "kubectl auth whoami", "log in to the cluster again")
    if isinstance(error, ConfigError):
        return unknown(
            "access.kubeconfig", str(error), "without it no cluster can be asked", "kubectl config get-contexts"
        )
    text = f"the API server {place.server} was not reached: {error}"
    why = "the cluster is down, or this machine has no way to it; what runs at edges goes on"
    return unknown("access.server", text, why, "kubectl cluster-info", "kubectl config current-context")


if __name__ == "__main__":
    typer.run(doctor)
