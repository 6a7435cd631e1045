"""The keys of a local world: made once, kept under its state folder, readable by their owner alone."""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from umiak_operators.runtime.local.files import write_private
from umiak_workers.contract.config import OPERATOR_KEY_FILE, SIGNING_KEY_FILE
from umiak_workers.contract.errors import ConfigError


@dataclass(frozen=True)
class Keys:
    """The operator's HMAC key, and the signer's Ed25519 key (PEM) with its public half (base64 of 32 raw bytes)."""

    operator: bytes
    signing: bytes
    trusted: str


def load_or_make(folder: Path) -> Keys:
    """The keys in `folder`, made where they are missing; raises ConfigError that names a damaged file."""
    operator = _kept(folder / OPERATOR_KEY_FILE, lambda: secrets.token_hex(32).encode())
    signing = _kept(folder / SIGNING_KEY_FILE, _new_signing_key)
    try:
        return Keys(bytes.fromhex(operator.decode()), signing, _public_half(signing))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{folder}: a key file is damaged ({error}); remove the folder to make new keys") from error


def _kept(file: Path, make: Callable[[], bytes]) -> bytes:
    if not file.exists():
        write_private(file, make())
    return file.read_bytes().strip()


def _new_signing_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_half(pem: bytes) -> str:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the signing key is not Ed25519")
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()
