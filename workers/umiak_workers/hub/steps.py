"""Pure: what becomes of a release next, from what is known of its line and its model.

A line moves by compare-and-swap on its head, one release at a time. A release that came too late is superseded, one
that was never right is a conflict; both are final and touch nothing.
"""

from dataclasses import dataclass, field
from typing import Literal

State = Literal["WaitingForModel", "WaitingForLine", "WaitingForSignature", "Published", "Superseded", "Conflict"]
UNFINISHED: tuple[State, ...] = ("WaitingForModel", "WaitingForLine", "WaitingForSignature")


@dataclass(frozen=True)
class Wish:
    """What a release asks for: the head it replaces (None: the line is empty) and the new one."""

    from_digest: str | None
    to_digest: str


@dataclass(frozen=True)
class LineFacts:
    """What matters of a line. `head` None: empty."""

    name: str
    head: str | None = None
    past: frozenset[str] = field(default_factory=frozenset)
    """Every digest that has been its head."""
    coming: frozenset[str] = field(default_factory=frozenset)
    """What earlier, unfinished releases lead to."""
    busy: bool = False
    """An earlier release waits for its signature."""


@dataclass(frozen=True)
class Step:
    """Where a release stands, in a word and in a sentence."""

    state: State
    message: str


def next_step(wish: Wish, line: LineFacts, has_model: bool) -> Step:
    """The state of an unfinished release that is not yet before the signer."""
    if line.head == wish.to_digest:
        return Step("Published", "it was the head already")
    if line.head != wish.from_digest:
        return _wrong_head(wish, line)
    if not has_model:
        return Step("WaitingForModel", f"the hub does not have model {wish.to_digest} yet")
    if line.busy:
        return Step("WaitingForLine", f"another release of {line.name} is on its way")
    return Step("WaitingForSignature", "waits for the signer")


def _wrong_head(wish: Wish, line: LineFacts) -> Step:
    if line.head is None:
        return Step("WaitingForLine", f"line {line.name} has no head yet")
    if wish.from_digest in line.coming:
        return Step("WaitingForLine", f"waits until {wish.from_digest} is the head of {line.name}")
    if wish.from_digest is None or wish.from_digest in line.past:
        return Step("Superseded", f"the head of {line.name} has moved on to {line.head}")
    return Step("Conflict", f"the head of {line.name} is {line.head} and has never been {wish.from_digest}")
