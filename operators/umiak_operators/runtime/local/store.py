"""The resources of a local world and their status, in files: what an API server would remember."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from umiak_operators.api.immutable import check_change
from umiak_operators.api.resource import Key, Kind, Resource
from umiak_operators.api.spec import InvalidSpec
from umiak_operators.runtime.local.files import read_json, write_json
from umiak_operators.runtime.local.template import own_annotations
from umiak_workers.contract.errors import ConfigError

FILE = "file"
"""The source of a resource that stands in the user's YAML; others name their owner."""


@dataclass(frozen=True)
class Stored:
    """A resource as a Kubernetes object, and where it comes from."""

    source: str
    body: Mapping[str, Any]


class Store:
    """Resources by key. Every change is on disk when the call returns."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held: dict[Key, Stored] = {}

    def load(self) -> None:
        """Read what an earlier run left; raises ConfigError that names a damaged file."""
        for kind in get_args(Kind):
            for file in sorted((self._root / kind).glob("*/*.json")):
                found = read_json(file)
                try:
                    stored = Stored(found["source"], found["body"])
                    self._held[Resource.from_body(stored.body).key] = stored
                except (KeyError, TypeError) as error:
                    raise ConfigError(f"{file}: not a stored resource; remove it to start afresh") from error

    def get(self, key: Key) -> Resource | None:
        """The resource as it stands."""
        stored = self._held.get(key)
        return Resource.from_body(stored.body) if stored else None

    def all(self) -> tuple[Resource, ...]:
        """Every resource, by key."""
        return tuple(Resource.from_body(self._held[key].body) for key in sorted(self._held))

    def owned_by(self, owner: Key) -> tuple[Resource, ...]:
        """Resources that this one's plan asked for."""
        return tuple(one for one in self.all() if self._held[one.key].source == str(owner))

    def annotations(self, key: Key) -> Mapping[str, str]:
        """The annotations of a resource that is held."""
        return own_annotations(self._held[key].body["metadata"])

    def set_files(self, bodies: Iterable[Mapping[str, Any]]) -> set[Key]:
        """Make the resources that come from files exactly these; returns the keys that changed or went.

        Raises ConfigError, and changes nothing, if one of them differs in what is immutable.
        """
        wanted = {Resource.from_body(body).key: body for body in bodies}
        for body in wanted.values():
            self._check_change(Resource.from_body(body))
        gone = [key for key, stored in self._held.items() if stored.source == FILE and key not in wanted]
        changed = {key for key, body in wanted.items() if self.put(body, FILE)}
        return changed.union(*(self.delete(key) for key in gone))

    def put(self, body: Mapping[str, Any], source: str) -> bool:
        """Create or update; a changed spec is a new generation. False when spec, labels, annotations are the same."""
        key = Resource.from_body(body).key
        known = self._held.get(key)
        old = known.body["metadata"] if known else None
        spec = dict(body.get("spec") or {})
        meta: dict[str, Any] = {
            "namespace": key.namespace,
            "name": key.name,
            "labels": dict(body["metadata"].get("labels") or {}),
            "annotations": dict(body["metadata"].get("annotations") or {}),
            "uid": old["uid"] if old else str(uuid.uuid4()),
            "creationTimestamp": old["creationTimestamp"] if old else datetime.now(UTC).isoformat(),
            "generation": old["generation"] if old else 1,
        }
        if known and spec != known.body["spec"]:
            meta["generation"] += 1
        status = known.body["status"] if known else {}
        new = {"apiVersion": body["apiVersion"], "kind": key.kind, "metadata": meta, "spec": spec, "status": status}
        return self._write(key, Stored(known.source if known else source, new))

    def report(self, key: Key, status: Mapping[str, Any]) -> bool:
        """Write a status; False when the resource is gone or says that already."""
        known = self._held.get(key)
        return known is not None and self._write(key, Stored(known.source, {**known.body, "status": dict(status)}))

    def delete(self, key: Key) -> set[Key]:
        """Remove a resource and those that its plan asked for; returns their keys."""
        if self._held.pop(key, None) is None:
            return set()
        self._file(key).unlink(missing_ok=True)
        owned = [other for other, stored in self._held.items() if stored.source == str(key)]
        return {key}.union(*(self.delete(other) for other in owned))

    def _check_change(self, new: Resource) -> None:
        old = self.get(new.key)
        if old is None:
            return
        try:
            check_change(old, new)
        except InvalidSpec as error:
            raise ConfigError(f"{new.key}: {error}") from error

    def _write(self, key: Key, stored: Stored) -> bool:
        if self._held.get(key) == stored:
            return False
        self._held[key] = stored
        write_json(self._file(key), {"source": stored.source, "body": stored.body})
        return True

    def _file(self, key: Key) -> Path:
        return self._root / key.kind / key.namespace / f"{key.name}.json"
