"""What the agent does next: one pure choice from what it has seen. Everything that acts is in `loop.py`."""

from collections.abc import Callable
from dataclasses import dataclass

from umiak_workers.agent.ledger import Ledger
from umiak_workers.contract.release import Release

MOST_TRIES = 3
"""How often the edge is asked to load one release before the agent waits for another one."""


@dataclass(frozen=True)
class Seen:
    """What the agent knows when it decides."""

    head: Release | None
    """The verified head of the line; None where there is none, the hub is away, or it must not be trusted."""
    ledger: Ledger
    current: str | None
    """Digest of the slot in force."""
    good: bool
    """Whether the edge was once seen to serve with it."""
    damaged: bool
    """Whether the slot in force does not hold what it should."""
    other: str | None
    """Digest in the other slot."""
    serving: str | None
    """What the edge says it answers with."""
    edge_up: bool
    initial: str | None
    """Digest of the initial model, None where it cannot be had without the hub."""


@dataclass(frozen=True)
class Idle:
    """Nothing to do; `reason` says what is waited for, empty when all is well."""

    reason: str = ""


@dataclass(frozen=True)
class Confirm:
    """The edge serves the slot in force: mark it good and remember the newest release that names it."""

    digest: str
    sequence: int


@dataclass(frozen=True)
class FallBack:
    """The edge gave up on an unproven slot and serves the other one: put that in force again."""

    digest: str


@dataclass(frozen=True)
class Install:
    """Get a model into the other slot and have the edge take it over."""

    digest: str
    sequence: int


@dataclass(frozen=True)
class Repair:
    """The slot in force is damaged: get the same model into the other slot and put that in force."""

    digest: str


@dataclass(frozen=True)
class Serve:
    """The edge does not answer with the slot in force: ask it to."""

    digest: str


Act = Idle | Confirm | FallBack | Install | Repair | Serve


def next_act(seen: Seen) -> Act:
    """The first rule that has something to do."""
    rules: tuple[Callable[[Seen], Act | None], ...] = (
        _confirm,
        _fall_back,
        _follow_head,
        _repair,
        _keep_serving,
        _start_with_initial,
    )
    return next((act for rule in rules if (act := rule(seen))), Idle(_waiting_for(seen)))


def given_up(ledger: Ledger, sequence: int, digest: str) -> bool:
    """Whether this model was offered to the edge often enough."""
    trial = ledger.trial
    return trial is not None and (trial.sequence, trial.digest) == (sequence, digest) and trial.tries >= MOST_TRIES


def _confirm(seen: Seen) -> Act | None:
    if seen.current is None or seen.serving != seen.current or seen.damaged:
        return None
    sequence, trial = _sequence_of(seen.current, seen), seen.ledger.trial
    news = sequence > seen.ledger.sequence or seen.ledger.accepted is None
    tried = trial is not None and trial.digest == seen.current
    return Confirm(seen.current, sequence) if news or tried or not seen.good else None


def _sequence_of(digest: str, seen: Seen) -> int:
    """The newest verified release that names this model: the head, or the one that was being installed."""
    trial = seen.ledger.trial
    named = [seen.head.sequence] if seen.head and seen.head.to_digest == digest else []
    return max(named + ([trial.sequence] if trial and trial.digest == digest else []), default=0)


def _fall_back(seen: Seen) -> Act | None:
    if seen.current is None or seen.good or seen.serving is None or seen.serving != seen.other:
        return None
    return FallBack(seen.serving)


def _follow_head(seen: Seen) -> Act | None:
    head = seen.head
    if head is None or head.to_digest == seen.current or given_up(seen.ledger, head.sequence, head.to_digest):
        return None
    return Install(head.to_digest, head.sequence)


def _repair(seen: Seen) -> Act | None:
    return Repair(seen.current) if seen.current is not None and seen.damaged else None


def _keep_serving(seen: Seen) -> Act | None:
    if seen.current is None or not seen.edge_up or seen.serving == seen.current:
        return None
    return Serve(seen.current)


def _start_with_initial(seen: Seen) -> Act | None:
    if seen.current is not None or seen.initial is None or seen.ledger.sequence > 0:
        return None
    return None if given_up(seen.ledger, 0, seen.initial) else Install(seen.initial, 0)


def _waiting_for(seen: Seen) -> str:
    trial = seen.ledger.trial
    if trial and given_up(seen.ledger, trial.sequence, trial.digest):
        return f"release {trial.sequence} failed {trial.tries} times: {trial.reason}"
    if seen.current is None:
        return "no model yet: the line is empty or the hub is away, and the initial model is not here"
    return "" if seen.edge_up else "the edge server is away"
