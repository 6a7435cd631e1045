"""LifelongLearning as Python sees it: when to train on hard examples, how, and what may become a release."""

from typing import Annotated, Literal

from pydantic import Field

from umiak_operators.api.resource import Resource
from umiak_operators.api.spec import Name, Spec, Uri, parse_spec


class JointInferenceRef(Spec):
    """A JointInference of the same namespace."""

    name: Name


class BaseData(Spec):
    """Labelled data that is mixed in and guards against forgetting."""

    uri: Uri


class Trigger(Spec):
    """When a round starts."""

    samples: Annotated[int, Field(ge=1, le=1_000_000)]


class Fit(Spec):
    """How long and how boldly a Job fine-tunes."""

    epochs: Annotated[int, Field(ge=1, le=1000)] = 8
    seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    batch: Annotated[int, Field(ge=1, le=1024)] = 8
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.001
    replay_share: Annotated[float, Field(gt=0, lt=1)] = 0.5


class Promotion(Spec):
    """What a candidate must show before it may become a release."""

    metric: Literal["miou"] = "miou"
    min_gain: Annotated[float, Field(ge=-1, le=1)] = 0.01
    max_forgetting: Annotated[float, Field(ge=0, le=1)] = 0.05
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.25


class LifelongLearning(Spec):
    """The whole spec."""

    joint_inference_ref: JointInferenceRef
    strategy: Literal["Replay"] = "Replay"
    base_data: BaseData
    trigger: Trigger
    fit: Fit = Fit()
    promotion: Promotion = Promotion()


def parse(resource: Resource) -> LifelongLearning:
    """The spec of a LifelongLearning; raises InvalidSpec."""
    return parse_spec(LifelongLearning, resource)
