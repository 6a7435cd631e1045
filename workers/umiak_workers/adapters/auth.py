"""Who is calling an HTTP listener: the bearer token, proven before anything else is read."""

import binascii
from collections.abc import Callable
from pathlib import Path

from fastapi import Request

from umiak_workers.adapters.configfile import read_bytes
from umiak_workers.contract.errors import ConfigError, IdentityError
from umiak_workers.contract.identity import Principal

_SHORTEST = 16
"""bytes of a key"""


def read_key(file: Path) -> bytes:
    """The HMAC key in a file (hex text); raises ConfigError that names the file."""
    try:
        key = binascii.unhexlify(read_bytes(file).strip())
    except binascii.Error as error:
        raise ConfigError(f"{file}: the key must be hex text") from error
    if len(key) < _SHORTEST:
        raise ConfigError(f"{file}: the key must have at least {_SHORTEST} bytes")
    return key


class Gate:
    """FastAPI dependency: the proven principal of a request. `Depends(Gate(prove))`.

    `prove` gives the principal of a token or raises IdentityError.
    """

    def __init__(self, prove: Callable[[str], Principal]) -> None:
        self.prove = prove

    def __call__(self, request: Request) -> Principal:
        """Raises IdentityError (401) when the token is missing or does not verify."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise IdentityError("a bearer token is needed: Authorization: Bearer <token>")
        return self.prove(token.strip())
