"""What the doctor says: findings, and the report that a machine reads (docs/reference/doctor.schema.json)."""

import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Level = Literal["ok", "warning", "problem", "unknown"]
"""`unknown`: could not be looked at."""
Section = Literal["access", "versions", "installation", "storage", "nodes", "certificates", "resources", "machine"]
_LONGEST: Final = 600
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_SECRETS: Final = (
    (
        re.compile(r"(?i)\b(bearer|token|password|authorization)(\"?\s*[=:]\s*|\s+)\"?[A-Za-z0-9+/=_.-]{8,}"),
        r"\1\2(hidden)",
    ),
    (re.compile(r"(?<!sha256:)\b[0-9a-fA-F]{64,}\b"), "(hidden)"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*"), "(hidden)"),
)


class Finding(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: Annotated[str, Field(pattern=r"^[a-z]+(\.[a-z-]+)?$")]
    """Stable name, `<section>.<what>`: for scripts."""
    level: Level
    subject: str = ""
    """What it is about: `Kind namespace/name`, or empty."""
    found: str
    """What was seen, in one line."""
    why: str = ""
    """Why it matters."""
    next: tuple[str, ...] = ()
    """Commands, or one thing to do, in order."""

    @property
    def section(self) -> str:
        """Under which heading it stands."""
        return self.check.partition(".")[0]


class Counts(BaseModel):
    """How many findings of each level."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ok: int
    warning: int
    problem: int
    unknown: int


class Place(BaseModel):
    """Where was looked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["cluster", "machine"]
    server: str = ""
    context: str = ""
    namespace: str = ""
    kubernetes: str = ""


class Report(BaseModel):
    """Everything at once; `version` moves when a field changes its meaning or goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    umiak: str
    """Version of the command."""
    at: str
    """RFC 3339, UTC."""
    place: Place
    counts: Counts
    exit_code: Literal[0, 1, 2]
    findings: tuple[Finding, ...]


def ok(check: str, found: str, subject: str = "") -> Finding:
    """All is well here."""
    return Finding(check=check, level="ok", found=line(found), subject=subject)


def warning(check: str, found: str, why: str, *next_: str, subject: str = "") -> Finding:
    """Worth knowing; works nevertheless."""
    return Finding(check=check, level="warning", found=line(found), why=line(why), next=next_, subject=subject)


def problem(check: str, found: str, why: str, *next_: str, subject: str = "") -> Finding:
    """Something that should work does not."""
    return Finding(check=check, level="problem", found=line(found), why=line(why), next=next_, subject=subject)


def unknown(check: str, found: str, why: str, *next_: str, subject: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(check=check, level="unknown", found=line(found), why=line(why), next=next_, subject=subject)


def counts(findings: Iterable[Finding]) -> Counts:
    """How many of each level."""
    levels = [finding.level for finding in findings]
    return Counts(**{level: levels.count(level) for level in ("ok", "warning", "problem", "unknown")})


def exit_code(found: Counts) -> Literal[0, 1, 2]:
    """1 as soon as something is wrong; 2 if nothing is, as far as could be looked; warnings alone are no failure."""
    if found.problem:
        return 1
    return 2 if found.unknown else 0


def line(text: str) -> str:
    """One bounded line without control characters and without what looks like a secret; most of it is others' text."""
    plain = " ".join(_CONTROL.sub(" ", text).split())
    for pattern, instead in _SECRETS:
        plain = pattern.sub(instead, plain)
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…"
