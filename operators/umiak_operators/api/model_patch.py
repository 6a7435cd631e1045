"""ModelPatch as Python sees it: move the head of a model line from one digest to another, once."""

from pydantic import Field, model_validator

from umiak_operators.api.resource import Resource
from umiak_operators.api.spec import Digest, Name, Spec, parse_spec


class Move(Spec):
    """Compare-and-swap on the line's head."""

    line: Name
    from_digest: Digest = Field(alias="from")
    to_digest: Digest = Field(alias="to")

    @model_validator(mode="after")
    def _moves(self) -> "Move":
        if self.from_digest == self.to_digest:
            raise ValueError("from and to are the same digest: nothing would move")
        return self


class ModelPatch(Spec):
    """The whole spec; immutable."""

    model: Move


def parse(resource: Resource) -> ModelPatch:
    """The spec of a ModelPatch; raises InvalidSpec."""
    return parse_spec(ModelPatch, resource)
