"""`desired(resource, seen, now) -> Plan`: the heart of the operator. Pure, so the same answer to the same question."""

from collections.abc import Callable, Mapping
from typing import Final

from umiak_operators.api.resource import Kind, Resource
from umiak_operators.plan import joint_inference, lifelong_learning, model_patch
from umiak_operators.plan.model import Observed, Plan

Decide = Callable[[Resource, Observed, float], Plan]

_BY_KIND: Final[Mapping[Kind, Decide]] = {
    "JointInference": joint_inference.desired,
    "LifelongLearning": lifelong_learning.desired,
    "ModelPatch": model_patch.desired,
}


def desired(resource: Resource, seen: Observed, now: float) -> Plan:
    """What should be for `resource`, given what was seen; `now` in seconds since the epoch. Raises InvalidSpec."""
    return _BY_KIND[resource.key.kind](resource, seen, now)
