"""What a role needs to know of a task to carry its answers: what they look like, what is wrong with them, how two fuse.

One module for each task makes one `Kind`; a role that goes by it knows no task by name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from umiak_workers.contract.messages import Box, Task


@dataclass(frozen=True)
class Opinion:
    """What the cloud says of one rectangle of a photo: its payload and how sure it is, 0..1."""

    box: Box
    payload: bytes
    confidence: float


@dataclass(frozen=True)
class Fused:
    """`final`: what is answered in the end; `cloud`: the cloud's own answer."""

    final: bytes
    cloud: bytes


@dataclass(frozen=True)
class Output:
    """One tensor of an answer by the Open Inference Protocol; -1 in `shape` is any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Kind:
    """A task as those see it who carry answers.

    `check` raises MessageError for bytes that are no answer of this task, by as much as can be told cheaply.
    `fuse` lays the cloud's opinions over the edge's payload; it raises MessageError or InvalidPrediction for what does
    not fit together.
    """

    task: Task
    media: str
    outputs: tuple[Output, ...]
    check: Callable[[bytes], None]
    fuse: Callable[[bytes, Sequence[Opinion]], Fused]
