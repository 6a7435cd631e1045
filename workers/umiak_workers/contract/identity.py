"""Who is speaking: principals and the tokens that prove them.

A principal is `<namespace>/<resource>/<edge>/<role>`; parts that do not apply are `-`. Until devices enrol with keys
of their own, a token is the principal with its HMAC-SHA256 under the operator's key. Every listener checks it; no
listener believes a name that stands in a body, a topic or a path.
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


def password(key: bytes, principal: Principal) -> str:
    """The secret of `principal`: hex HMAC-SHA256 under the operator's key (MQTT password, second half of a token)."""
    return hmac.new(key, str(principal).encode(), hashlib.sha256).hexdigest()


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
    """The proven principal of a bearer token; raises IdentityError."""
    principal = claimed(text)
    if not hmac.compare_digest(text.partition(".")[2].encode(), password(key, principal).encode()):
        raise IdentityError(f"the token of {principal} does not verify")
    return principal
