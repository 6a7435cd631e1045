"""What every runtime offers: `observe(owner)` and `apply(owner, plan)`. Nothing above it knows which one runs."""

from collections.abc import Mapping
from typing import Any, Protocol

from umiak_operators.api.resource import Key, Resource
from umiak_operators.plan.model import Observed, Plan
from umiak_workers.contract.errors import UmiakError


class ChildRefused(Exception):
    """The world will not have a child as planned (rights, quota, admission, a name that is taken).

    The text is one line for a person; it is tried again, but somebody has to do something first.
    """


class FleetRefused(UmiakError):
    """The hub is there but will not take what an owner asks for (or has no room for it); the text is its own."""


class Runtime(Protocol):
    """A world in which plans come true. Calls are safe to repeat; errors are raised and retried by the caller."""

    async def observe(self, key: Key) -> tuple[Resource, Observed] | None:
        """The resource and what is seen for it, or None if it no longer exists."""

    async def apply(self, resource: Resource, plan: Plan) -> None:
        """Make children, fleet and status come true; children of this owner that the plan does not list are pruned."""

    async def report(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """Write the status alone, where it differs: for a resource whose spec cannot be understood."""

    async def forget(self, key: Key) -> None:
        """The resource is gone: drop what garbage collection by owner references does not reach (the hub's part)."""
