"""Who may say and hear what on the broker, by principal. Pure; both brokers of the local runtime ask here."""

from dataclasses import dataclass
from typing import Literal

from umiak_workers.contract import topics
from umiak_workers.contract.identity import Principal

_EVERYTHING = "umiak/v1/#"


@dataclass(frozen=True)
class Grant:
    """One right: to publish (`write`) to topics, or to hear (`read`) them."""

    access: Literal["read", "write"]
    topics: str
    """An MQTT topic filter."""


def grants(principal: Principal) -> tuple[Grant, ...]:
    """Everything a principal may do; the rest is refused."""
    namespace, resource, edge = principal.namespace, principal.resource, principal.edge
    match principal.role:
        case "router":
            return (
                Grant("write", topics.presence(namespace, resource, edge)),
                Grant("write", topics.summary(namespace, resource, edge)),
                Grant("read", topics.settings_hint(namespace, resource)),
            )
        case "agent":
            return (Grant("read", topics.line_hint(f"{namespace}/+")),)
        case "hub":
            return Grant("read", _EVERYTHING), Grant("write", _EVERYTHING)
        case "operator" | "viewer":
            return (Grant("read", _EVERYTHING),)
        case _:
            return ()


def allowed(principal: Principal, access: Literal["read", "write"], asked: str) -> bool:
    """Whether `asked`, a topic or a filter, lies within the principal's grants."""
    return any(grant.access == access and covers(grant.topics, asked) for grant in grants(principal))


def covers(granted: str, asked: str) -> bool:
    """Whether every topic that filter `asked` matches is matched by filter `granted` too."""
    have, want = granted.split("/"), asked.split("/")
    for index, part in enumerate(have):
        if part == "#":
            return True
        if index >= len(want) or want[index] == "#" or part not in ("+", want[index]):
            return False
    return len(have) == len(want)
