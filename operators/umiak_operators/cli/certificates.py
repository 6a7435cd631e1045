"""Certificates of an installation that brings none: one authority, and the certificate that gateway and broker show.

Edges trust the authority, so the certificate can be made again without a word to them: for a year at a time, for
whatever hosts edges dial today. Only who holds the authority's key can make one.
"""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from umiak_workers.contract.errors import ConfigError

AUTHORITY_LIFE: Final = datetime.timedelta(days=3650)
LIFE: Final = datetime.timedelta(days=365)
_SLACK: Final = datetime.timedelta(days=1)
"""Clocks of edges may be behind."""
_LONGEST_NAME: Final = 64
_NONE_OF_THEM: Final = {
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "encipher_only": False,
    "decipher_only": False,
}


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def new_authority(name: str, now: datetime.datetime) -> Pair:
    """An authority that can sign certificates of servers and nothing further down; lives ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named(name)
    made = _builder(subject, subject, key, now, now + AUTHORITY_LIFE)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = made.add_extension(_usage(signs_certificates=True), critical=True)
    return _pair(made.sign(key, hashes.SHA256()), key)


def new_certificate(authority: Pair, hosts: Sequence[str], now: datetime.datetime) -> Pair:
    """A server's certificate for `hosts` (DNS names or addresses), for a year or as long as the authority lives.

    Raises ConfigError for an authority that cannot sign.
    """
    issuer, issuer_key = _opened(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(now + LIFE, issuer.not_valid_after_utc)
    if until <= now:
        raise ConfigError(f"the authority has expired on {until:%Y-%m-%d}; delete its Secret to make a new one")
    made = _builder(_named(hosts[0]), issuer.subject, key, now, until)
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(_usage(signs_certificates=False), critical=True)
    made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    made = made.add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return _pair(made.add_extension(signer, critical=False).sign(issuer_key, hashes.SHA256()), key)


def why_new(pair: Pair, authority: Pair, hosts: Sequence[str], now: datetime.datetime) -> str | None:
    """Why a certificate has to be made again; None while it serves: whole, ours, for these hosts, with time left."""
    try:
        found, key = _opened(pair)
    except ConfigError as error:
        return str(error)
    issuer, _ = _opened(authority)
    try:
        found.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, ValueError) as error:  # another one is made
        return f"the authority did not sign it ({type(error).__name__})"
    if found.public_key() != key.public_key():
        return "certificate and key do not belong together"
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if set(names) != {_alternative(host) for host in hosts}:
        return "edges dial other hosts now"
    left = found.not_valid_after_utc - now
    if left * 3 <= found.not_valid_after_utc - found.not_valid_before_utc:
        return f"it expires on {found.not_valid_after_utc:%Y-%m-%d}"
    return None


def _opened(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"a certificate or its key is damaged ({error})") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError("a certificate's key is not of an elliptic curve")
    return certificate, key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    until: datetime.datetime,
) -> x509.CertificateBuilder:
    serial = x509.random_serial_number()
    made = x509.CertificateBuilder(issuer, subject, key.public_key(), serial, now - _SLACK, until)
    return made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    form = serialization.PrivateFormat.PKCS8
    text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), text)


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        **_NONE_OF_THEM,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_LONGEST_NAME])])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
