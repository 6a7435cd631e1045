"""What of a resource may never change: an API server refuses it by the CRD's rules, other runtimes by this list."""

from collections.abc import Mapping
from typing import Any, Final

from umiak_operators.api.resource import Kind, Resource
from umiak_operators.api.spec import InvalidSpec

IMMUTABLE: Final[Mapping[Kind, Mapping[str, str]]] = {
    "JointInference": {
        "spec.task": "is immutable: make a new JointInference for another task",
        "spec.edge.model.line": "is immutable: make a new JointInference for another line",
    },
    "LifelongLearning": {
        "spec.jointInferenceRef": "is immutable: make a new LifelongLearning for another JointInference"
    },
    "ModelPatch": {"spec": "is immutable: make another ModelPatch"},
}
"""Kind -> dotted path -> what is wrong with a change, and the fix; the CRDs say the same."""


_DEFAULTS: Final[Mapping[str, Any]] = {"spec.task": "semantic-segmentation"}
"""What an API server writes where a manifest says nothing."""


def check_change(old: Resource, new: Resource) -> None:
    """Raises InvalidSpec if `new` differs from `old`, a resource of the same key, where it may not."""
    for path, message in IMMUTABLE[new.key.kind].items():
        before, after = _at(old, path), _at(new, path)
        if None not in (before, after) and before != after:  # as in CEL: what is absent on a side is not compared
            raise InvalidSpec(path, message)


def _at(resource: Resource, path: str) -> Any:
    """The value at a dotted path, its default or None where there is none."""
    node: Any = {"spec": resource.spec}
    for part in path.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return _DEFAULTS.get(path) if node is None else node
