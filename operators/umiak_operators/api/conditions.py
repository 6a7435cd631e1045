"""Conditions by the Kubernetes API conventions: a transition time moves only when the status does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Truth = Literal["True", "False", "Unknown"]
_LONGEST = 1024  # the CRDs allow more; a person reads less


@dataclass(frozen=True)
class Condition:
    """One thing that is so, is not so, or cannot be told; `reason` is CamelCase, `message` is for a person."""

    type: str
    status: Truth
    reason: str
    message: str = ""


def timestamp(now: float) -> str:
    """RFC 3339 in UTC, whole seconds, from seconds since the epoch."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def set_condition(
    known: Iterable[Mapping[str, Any]], condition: Condition, generation: int, now: float
) -> dict[str, Any]:
    """The condition as a status holds it; keeps `lastTransitionTime` of `known` while the status is unchanged."""
    before = find(known, condition.type)
    same = before is not None and before.get("status") == condition.status and before.get("lastTransitionTime")
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message[:_LONGEST],
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if before and same else timestamp(now),
    }


def set_conditions(
    known: Iterable[Mapping[str, Any]], conditions: Iterable[Condition], generation: int, now: float
) -> list[dict[str, Any]]:
    """All conditions of a status, in the order given."""
    before = tuple(known)
    return [set_condition(before, condition, generation, now) for condition in conditions]


def find(known: Iterable[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    """The condition of that type, or None."""
    return next((condition for condition in known if condition.get("type") == kind), None)
