"""From a Secret to what may be known of it: which keys it holds, what is wrong with them, its certificate's names.

The values are dropped here; nothing that leaves this module could be used by anybody.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final, Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from umiak_operators.cli.doctor.facts import Certificate, Secret
from umiak_workers.contract.config import OPERATOR_KEY_FILE, SIGNING_KEY_FILE

_CA_FILE: Final = "ca.crt"


def secret(body: Mapping[str, Any]) -> Secret:
    """What may be known of a Secret."""
    try:
        values = {key: base64.b64decode(value) for key, value in (body.get("data") or {}).items()}
    except binascii.Error:
        return Secret(frozenset(), ("is damaged",))
    keys = frozenset(key for key, value in values.items() if value.strip())
    faults = [*_keys(values), *_tls(values)]
    found = _certificate(values) if "tls.crt" in keys and not faults else None
    return Secret(keys, tuple(faults), found, values.get(_CA_FILE, b"").decode(errors="replace"))


def _keys(values: Mapping[str, bytes]) -> list[str]:
    faults = []
    if operator := values.get(OPERATOR_KEY_FILE, b"").strip():
        try:
            bytes.fromhex(operator.decode())
        except ValueError:
            faults.append(f"{OPERATOR_KEY_FILE} is not hex text")
    signing = values.get(SIGNING_KEY_FILE, b"").strip()
    if signing and not isinstance(_private(signing), Ed25519PrivateKey):
        faults.append(f"{SIGNING_KEY_FILE} is not an Ed25519 private key (PEM, PKCS#8)")
    return faults


def _tls(values: Mapping[str, bytes]) -> list[str]:
    if "tls.crt" not in values and "tls.key" not in values:
        return []
    faults = [f"{key} is empty" for key in ("tls.crt", "tls.key") if not values.get(key, b"").strip()]
    if not faults and not _chain(values["tls.crt"]):
        faults.append("tls.crt holds no certificate (PEM)")
    if not faults and _private(values["tls.key"]) is None:
        faults.append("tls.key holds no private key (PEM) without a password")
    return faults


def _private(pem: bytes) -> Any:
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _chain(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


def _certificate(values: Mapping[str, bytes]) -> Certificate:
    chain = _chain(values["tls.crt"])
    leaf = chain[0]
    return Certificate(
        names=_names(leaf),
        begins=leaf.not_valid_before_utc.timestamp(),
        ends=min(one.not_valid_after_utc.timestamp() for one in chain),
        self_signed=leaf.issuer == leaf.subject,
        gap_in_chain=len(_linked(chain)) < len(chain),
        authority=_authority(chain, values.get(_CA_FILE, b"")),
        fits_key=_raw(leaf.public_key()) == _raw(_private(values["tls.key"]).public_key()),
        fingerprint=hashlib.sha256(leaf.public_bytes(serialization.Encoding.DER)).hexdigest(),
    )


def _authority(chain: list[x509.Certificate], ca: bytes) -> Literal["none", "fits", "other"]:
    if not ca.strip():
        return "none"
    known = {one.subject for one in _chain(ca)}
    return "fits" if any(one.issuer in known for one in _linked(chain)) else "other"


def _linked(chain: list[x509.Certificate]) -> list[x509.Certificate]:
    """The certificates up to the first that was not issued by the one after it."""
    ends = (at for at, (one, issuer) in enumerate(pairwise(chain), 1) if one.issuer != issuer.subject)
    return chain[: next(ends, len(chain))]


def _raw(public: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(public.public_bytes(serialization.Encoding.DER, form))


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    """Names and addresses of the subject alternative name; the common name counts for nobody any more."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = (str(address) for address in found.get_values_for_type(x509.IPAddress))
    return (*found.get_values_for_type(x509.DNSName), *addresses)
