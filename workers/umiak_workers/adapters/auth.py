"""Who is calling an HTTP listener: the bearer token, proven under the operator's key, before anything else is read."""

import binascii
from pathlib import Path

from fastapi import Request

from umiak_workers.adapters.configfile import read_bytes
from umiak_workers.contract import identity
from umiak_workers.contract.config import OPERATOR_KEY_FILE
from umiak_workers.contract.errors import ConfigError, IdentityError
from umiak_workers.contract.identity import Principal

_SHORTEST = 16
"""bytes of an operator key"""


def read_operator_key(folder: Path) -> bytes:
    """The HMAC key in `folder`/operator.key (hex text); raises ConfigError that names the file."""
    file = folder / OPERATOR_KEY_FILE
    try:
        key = binascii.unhexlify(read_bytes(file).strip())
    except binascii.Error as error:
        raise ConfigError(f"{file}: the operator's key must be hex text") from error
    if len(key) < _SHORTEST:
        raise ConfigError(f"{file}: the operator's key must have at least {_SHORTEST} bytes")
    return key


class Gate:
    """FastAPI dependency: the proven principal of a request. `Depends(Gate(key))`."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, request: Request) -> Principal:
        """Raises IdentityError (401) when the token is missing or does not verify."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise IdentityError("a bearer token is needed: Authorization: Bearer <token>")
        return self.prove(token.strip())

    def prove(self, token: str) -> Principal:
        """The principal of a token; raises IdentityError."""
        return identity.verify(self._key, token)
