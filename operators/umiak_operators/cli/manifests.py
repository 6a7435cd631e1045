"""YAML files and folders as resources, with errors that name file and line.

A file may hold several documents. Namespaces are read for their labels; other foreign kinds are refused, as a typo in
`kind` would otherwise go unnoticed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import yaml

from umiak_operators.api import joint_inference, lifelong_learning, model_patch
from umiak_operators.api.resource import API_VERSION, Key, Resource
from umiak_operators.api.spec import InvalidSpec
from umiak_workers.contract.errors import UmiakError

SUFFIXES: Final = (".yaml", ".yml", ".json")
_PART: Final = re.compile(r"[^.\[\]]+")
_PARSERS: Final = {
    "JointInference": joint_inference.parse,
    "LifelongLearning": lifelong_learning.parse,
    "ModelPatch": model_patch.parse,
}


class ManifestError(UmiakError):
    """A file cannot be used; the text starts with `file:line:`."""


@dataclass(frozen=True)
class Document:
    """One YAML document: its content, and where each of its fields stands."""

    file: Path
    node: yaml.MappingNode
    body: Mapping[str, Any]

    def where(self, path: str) -> str:
        """`file:line` of a dotted path, or of the deepest part of it that is written."""
        return f"{self.file}:{_line(self.node, _PART.findall(path))}"


@dataclass(frozen=True)
class Manifests:
    """Everything that a set of files says."""

    documents: Mapping[Key, Document]
    """Our resources, in the order of the files."""
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels of the namespaces that are written out."""

    @property
    def bodies(self) -> tuple[Mapping[str, Any], ...]:
        """The resources as Kubernetes objects, namespace and kind always given."""
        return tuple(document.body for document in self.documents.values())

    @property
    def resources(self) -> tuple[Resource, ...]:
        """The same as Python sees them, as if just stored: generation 1, and a uid made from the name."""
        return tuple(_stored(body) for body in self.bodies)


def load(paths: Iterable[Path], namespace: str = "default") -> Manifests:
    """Read and check files and folders (recursively); raises ManifestError for the first thing that is wrong.

    `namespace` is that of resources which name none.
    """
    documents: dict[Key, Document] = {}
    namespaces: dict[str, Mapping[str, str]] = {}
    for document in _documents(paths):
        if document.body.get("kind") == "Namespace":
            meta = _metadata(document)
            namespaces[meta["name"]] = meta.get("labels") or {}
            continue
        placed = _placed(document, namespace)
        key = Resource.from_body(placed.body).key
        if key in documents:
            first = documents[key].where("metadata.name")
            raise ManifestError(f"{placed.where('metadata.name')}: {key} is written twice, first at {first}")
        documents[key] = placed
    return Manifests(documents, namespaces)


def _documents(paths: Iterable[Path]) -> Iterator[Document]:
    for path in paths:
        for file in _files(path):
            yield from _read(file)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not found:
        raise ManifestError(f"{path}: no {', '.join(SUFFIXES)} files in this folder")
    return found


def _read(file: Path) -> Iterator[Document]:
    try:
        nodes = [node for node in yaml.compose_all(file.read_text(), yaml.SafeLoader) if not _empty(node)]
    except OSError as error:
        raise ManifestError(f"{file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ManifestError(f"{file}:{line}: {error.problem or error.context}") from error
    for node in nodes:
        if not isinstance(node, yaml.MappingNode):
            raise ManifestError(f"{file}:{_at(node)}: expected a Kubernetes object (a map)")
        _refuse_twins(file, node)
        yield Document(file, node, _construct(file, node))


def _empty(node: yaml.Node | None) -> bool:
    return node is None or (isinstance(node, yaml.ScalarNode) and node.value == "")


def _construct(file: Path, node: yaml.MappingNode) -> Mapping[str, Any]:
    loader = yaml.SafeLoader("")
    try:
        body: dict[str, Any] = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else _at(node)
        raise ManifestError(f"{file}:{line}: {error.problem}") from error
    return body


def _refuse_twins(file: Path, node: yaml.Node) -> None:
    """A key written twice silently loses the first value."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twins(file, item)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if (name := str(key.value)) in seen:
                raise ManifestError(f"{file}:{_at(key)}: {name!r} is written twice here")
            seen.add(name)
            _refuse_twins(file, value)


def _placed(document: Document, namespace: str) -> Document:
    """One of our resources, checked and with its namespace."""
    kind, version = str(document.body.get("kind")), document.body.get("apiVersion")
    if kind not in _PARSERS:
        known = ", ".join((*_PARSERS, "Namespace"))
        raise ManifestError(f"{document.where('kind')}: kind {kind} is not one of {known}")
    if version != API_VERSION:
        raise ManifestError(f"{document.where('apiVersion')}: apiVersion of {kind} must be {API_VERSION}")
    meta = {"namespace": namespace, **_metadata(document)}
    if not isinstance(document.body.get("spec"), Mapping):
        raise ManifestError(f"{document.where('spec')}: spec is required and must be a map")
    placed = Document(document.file, document.node, {**document.body, "metadata": meta})
    try:
        _PARSERS[kind](Resource.from_body(placed.body))
    except InvalidSpec as error:
        raise ManifestError(f"{placed.where(error.field)}: {error}") from error
    return placed


def _metadata(document: Document) -> dict[str, Any]:
    meta = document.body.get("metadata")
    if not isinstance(meta, Mapping) or not isinstance(meta.get("name"), str):
        raise ManifestError(f"{document.where('metadata.name')}: metadata.name is required and must be text")
    return dict(meta)


def _stored(body: Mapping[str, Any]) -> Resource:
    meta = body["metadata"]
    uid = meta.get("uid") or str(uuid5(NAMESPACE_URL, f"{body['kind']}/{meta['namespace']}/{meta['name']}"))
    return Resource.from_body({**body, "metadata": {"generation": 1, **meta, "uid": uid}})


def _line(node: yaml.Node, path: list[str]) -> int:
    line = _at(node)
    for part in path:
        found = _step(node, part)
        if found is None:
            break
        line, node = found
    return line


def _step(node: yaml.Node, part: str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((_at(key), value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
        item = node.value[int(part)]
        return _at(item), item
    return None


def _at(node: yaml.Node) -> int:
    mark = node.start_mark
    return mark.line + 1 if mark else 1
