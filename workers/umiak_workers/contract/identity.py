"""Who is speaking: principals and the tokens that prove them.

A principal is `<namespace>/<resource>/<edge>/<role>`; parts that do not apply are `-`. Until devices enrol with keys
of their own, a token is the principal with its HMAC-SHA256 under the key of its resource, itself an HMAC under the
operator's key: who holds only a resource's key can prove (and forge) that resource's principals and nobody else's.
Every listener checks tokens; no listener believes a name that stands in a body, a topic or a path.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Literal, Self

from umiak_workers.contract.errors import IdentityError

Role = Literal["edge", "router", "agent", "cloud", "trainer", "hub", "signer", "operator", "viewer"]
ROLES: frozenset[str] = frozenset(
    ("edge", "router", "agent", "cloud", "trainer", "hub", "signer", "operator", "viewer")
)
_PART = re.compile(r"^(-|[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)$")


@dataclass(frozen=True)
class Principal:
    """One speaker: which part of which resource on which edge."""

    namespace: str
    resource: str
    edge: str
    role: str

    def __post_init__(self) -> None:
        if self.role not in ROLES or not all(_PART.match(part) for part in (self.namespace, self.resource, self.edge)):
            raise IdentityError(f"not a principal: {self}")

    def __str__(self) -> str:
        return f"{self.namespace}/{self.resource}/{self.edge}/{self.role}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `<namespace>/<resource>/<edge>/<role>`; raises IdentityError."""
        parts = text.split("/")
        if len(parts) != 4:
            raise IdentityError(f"not a principal: {text!r}, expected namespace/resource/edge/role")
        return cls(*parts)


def resource_key(key: bytes, namespace: str, resource: str) -> bytes:
    """The 32 byte key of one resource under the operator's key: for listeners that serve that resource alone."""
    return hmac.digest(key, f"{namespace}/{resource}".encode(), "sha256")


def password(key: bytes, principal: Principal) -> str:
    """The secret of `principal` under the operator's key, hex (MQTT password, second half of a token)."""
    return _secret(resource_key(key, principal.namespace, principal.resource), principal)


def token(key: bytes, principal: Principal) -> str:
    """The bearer token of `principal`: base64url(principal) "." password."""
    return base64.urlsafe_b64encode(str(principal).encode()).decode().rstrip("=") + "." + password(key, principal)


def claimed(text: str) -> Principal:
    """The principal that a token claims, unproven: for a holder that has to know its own name."""
    head, _, _ = text.partition(".")
    try:
        return Principal.parse(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)).decode())
    except ValueError as error:
        raise IdentityError("malformed token") from error


def verify(key: bytes, text: str) -> Principal:
    """The proven principal of a bearer token, by the operator's key; raises IdentityError."""
    return _proven(text, password(key, claimed(text)))


def verify_within(key: bytes, text: str) -> Principal:
    """The proven principal of a bearer token, by the key of its resource; raises IdentityError."""
    return _proven(text, _secret(key, claimed(text)))


def _secret(key: bytes, principal: Principal) -> str:
    return hmac.new(key, str(principal).encode(), hashlib.sha256).hexdigest()


def _proven(text: str, secret: str) -> Principal:
    if not hmac.compare_digest(text.partition(".")[2].encode(), secret.encode()):
        raise IdentityError(f"the token of {claimed(text)} does not verify")
    return claimed(text)
