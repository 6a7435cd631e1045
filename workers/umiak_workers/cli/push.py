"""`umiak model push FOLDER`: hand a model artefact to the hub, so that a ModelPatch may lead to its digest."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from umiak_workers.adapters.artefacts import folder_named, read_artefact
from umiak_workers.adapters.auth import read_key
from umiak_workers.adapters.configfile import read_bytes
from umiak_workers.adapters.hub_client import HubClient
from umiak_workers.cli import worlds
from umiak_workers.contract import identity
from umiak_workers.contract.endpoints import HUB
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.identity import Principal

_OPERATOR = Principal("-", "-", "-", "operator")


def push(
    model: Annotated[str, typer.Argument(help="A model folder (`umiak model pack` makes one) or builtin:NAME.")],
    state: Annotated[
        Path | None, typer.Option(help="State folder of a local world; without: the one started last.")
    ] = None,
    hub: Annotated[str | None, typer.Option(help="Push to the hub at this URL instead; needs --token-file.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with an operator's token for --hub.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for each network step.")] = 30.0,
) -> None:
    """Upload a model to the hub and print its digest; what the hub has already is not sent again.

    Examples:

        umiak model push my-model/

        umiak model push builtin:yard-cloud

        umiak model push my-model/ --hub https://hub.example.org --token-file operator.token
    """
    folder = folder_named(model)
    artefact = read_artefact(folder)
    url, token = _named(hub, token_file) if hub is not None else _local(state)
    with HubClient(url, token, timeout) as client:
        client.push_model(folder)
    size = sum(fact.size for fact in artefact.manifest.files.values())
    Console(soft_wrap=True).print(f"{artefact.digest}  {artefact.card.name}, {size / 1e6:.1f} MB, is at {url}")


def _named(url: str, token_file: Path | None) -> tuple[str, str]:
    if token_file is None:
        raise ConfigError("--hub needs --token-file: a file with an operator's token")
    return url, read_bytes(token_file).decode().strip()


def _local(state: Path | None) -> tuple[str, str]:
    world = worlds.find(state)
    if HUB not in world.endpoints or not world.operator_key_file:
        raise ConfigError("this world has no hub yet; try again in a moment")
    key = read_key(Path(world.operator_key_file))
    return world.endpoints[HUB], identity.token(key, _OPERATOR)
