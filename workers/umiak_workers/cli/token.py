"""`umiak token`: a bearer token for the hub of an installation, made from the installation's own key."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from umiak_workers.adapters.configfile import read_bytes
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.identity import Principal
from umiak_workers.contract.identity import token as token_of

_MOST: Final = 4096
"""No key file is larger."""


class Holder(StrEnum):
    """Whom a token is for."""

    operator = "operator"
    viewer = "viewer"


def token(
    key_file: Annotated[
        Path, typer.Argument(metavar="KEY_FILE", help="File with `operator.key` (hex); - reads it from standard input.")
    ] = Path("-"),
    role: Annotated[
        Holder, typer.Option(help="operator may push models and see everything, viewer may only look.")
    ] = Holder.operator,
) -> None:
    """Print a token for `umiak model push --hub` and for the hub's own routes. Keep it as safe as the key.

    Examples:

        umiak token operator.key > operator.token

        kubectl get secret umiak-keys -n umiak-system -o go-template='{{index .data "operator.key"}}' |
        base64 -d | umiak token --role viewer
    """
    print(token_of(_key(key_file), Principal("-", "-", "-", role.value)))


def _key(file: Path) -> bytes:
    name = "standard input" if str(file) == "-" else str(file)
    text = sys.stdin.buffer.read(_MOST) if str(file) == "-" else read_bytes(file)
    try:
        key = bytes.fromhex(text.decode().strip())
    except ValueError as error:
        raise ConfigError(f"{name}: expected the hex text of operator.key") from error
    if not key:
        raise ConfigError(f"{name}: is empty, expected the hex text of operator.key")
    return key
