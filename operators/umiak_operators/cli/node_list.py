"""Nodes from a file: what `kubectl get nodes -o yaml` prints, or Node objects written by hand."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from umiak_operators.plan.model import Node
from umiak_workers.contract.errors import ConfigError


def load_nodes(file: Path) -> tuple[Node, ...]:
    """Every Node in a YAML file, by name; raises ConfigError that names the file."""
    try:
        documents = list(yaml.safe_load_all(file.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: {error}") from error
    try:
        found = [_node(body) for document in documents if document for body in _items(document)]
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file}: expected Node objects with metadata.name (kubectl get nodes -o yaml)") from error
    if not found:
        raise ConfigError(f"{file}: no Node in this file")
    return tuple(sorted(found, key=lambda node: node.name))


def _items(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if str(document["kind"]).endswith("List"):
        yield from document["items"]
    elif document["kind"] == "Node":
        yield document


def _node(body: Mapping[str, Any]) -> Node:
    meta, conditions = body["metadata"], (body.get("status") or {}).get("conditions") or ()
    verdicts = [item["status"] == "True" for item in conditions if item["type"] == "Ready"]
    return Node(meta["name"], dict(meta.get("labels") or {}), all(verdicts))
