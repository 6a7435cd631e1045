"""What an answer says beside its header, by task: the bytes that follow it on every wire.

A segmentation's payload is a grey PNG of class ids. Every other task's is canonical JSON (sorted keys, no spaces,
ASCII), so that the same answer is the same bytes.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from umiak_workers.contract.wire import Message

PNG = "image/png"
JSON = "application/json"
DIGITS = 6
"""Decimals of a probability on the wire."""
MOST_CLASSES = 255
_SLACK = 0.01

Chance = Annotated[float, Field(ge=0, le=1)]


class Classes(Message):
    """image-classification: the class of a photo, and how probable each class is (they sum to 1)."""

    label: str
    probabilities: Annotated[dict[str, Chance], Field(min_length=2, max_length=MOST_CLASSES)]

    @model_validator(mode="after")
    def _most_probable(self) -> Self:
        total = sum(self.probabilities.values())
        if abs(total - 1) > _SLACK:
            raise ValueError(f"probabilities: they sum to {total:.3f}, not to 1")
        if self.probabilities.get(self.label) != max(self.probabilities.values()):
            raise ValueError(f"label: {self.label!r} is not the most probable class")
        return self
