"""Symbolic endpoints: configs name `umiak://hub`, a small map beside the config says where that is today.

The map is outside the pod template's hash, so an address may move without a restart of anything else, and one Plan
runs as pods, as local processes and in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.wire import explain

HUB = "umiak://hub"
BROKER = "umiak://broker"
_MAP = TypeAdapter(dict[str, str])


def cloud(namespace: str, resource: str) -> str:
    """The cloud worker of a JointInference."""
    return f"umiak://cloud/{namespace}/{resource}"


def edge_server() -> str:
    """The model server beside this container in the same pod."""
    return "umiak://pod/edge"


def listen(role: str) -> str:
    """Where a container of this role binds its own listener."""
    return f"umiak://listen/{role}"


@dataclass(frozen=True)
class Endpoints:
    """The endpoint map: symbolic name -> URL (`http`, `https`, `mqtt`, `mqtts`)."""

    known: Mapping[str, str]

    def resolve(self, symbol: str) -> str:
        """The URL behind `symbol`; raises ConfigError that names it."""
        try:
            return self.known[symbol]
        except KeyError as error:
            raise ConfigError(f"endpoints.json does not know {symbol}") from error

    @classmethod
    def parse(cls, text: bytes | str) -> "Endpoints":
        """From `{"umiak://hub": "https://..."}`; raises ConfigError."""
        try:
            return cls(_MAP.validate_json(text))
        except ValidationError as error:
            raise ConfigError(f"endpoints.json: {explain(error)}") from error
