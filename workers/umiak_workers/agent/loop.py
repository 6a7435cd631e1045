"""One pass of the agent: look, decide, act, report. It may be killed anywhere and simply starts again.

The order of the durable steps is what keeps one whole published model in force: the slot is complete and read back
before the edge is asked, the try is counted before the edge is asked, and `current` moves only after the edge answered
with the new model. Whatever is missing after a kill is found again by looking.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import structlog

from umiak_workers.adapters.slots import Current, Slots
from umiak_workers.agent.decide import Act, Confirm, FallBack, Idle, Install, Repair, Seen, Serve, given_up, next_act
from umiak_workers.agent.install import (
    Models,
    copy_local,
    download,
    empty,
    forget_downloads,
    holds_whole,
    local_folder,
)
from umiak_workers.agent.ledger import read_ledger, write_ledger
from umiak_workers.contract.config import AgentConfig
from umiak_workers.contract.errors import Refused, ReleaseError, UmiakError, Unavailable
from umiak_workers.contract.messages import AgentState
from umiak_workers.contract.release import Envelope, Release
from umiak_workers.core.release import check_acceptable, verify

LONGEST_WAIT = 32
"""Polling periods between tries after many failures."""
Phase = Literal["Idle", "Downloading", "Installing", "Failed"]
log = structlog.get_logger()


class Hub(Models, Protocol):
    """What the agent needs of the hub."""

    def head(self, line: str) -> Envelope | None:
        """The signed head of a line, not verified."""
        ...

    def put_agent_state(self, namespace: str, resource: str, edge: str, state: AgentState) -> None:
        """Take a report."""
        ...


class Edge(Protocol):
    """What the agent needs of the edge server."""

    def serving(self) -> str | None:
        """Digest of the model in use; raises Unavailable."""
        ...

    def reload(self, digest: str) -> None:
        """Swap to a model of the slots; raises Refused or Unavailable."""
        ...


def pause(poll: float, failures: int, rng: np.random.Generator) -> float:
    """Seconds until the next pass: the polling period, doubled per failure in a row up to a bound, 10 % jitter."""
    return poll * float(min(2 ** min(failures, 16), LONGEST_WAIT) * rng.uniform(0.9, 1.1))


class Agent:
    """Keeps one edge on the head of its line. `now` gives seconds since the epoch."""

    def __init__(
        self, config: AgentConfig, state: Path, hub: Hub, edge: Edge, now: Callable[[], float], rng: np.random.Generator
    ) -> None:
        self._config, self._state, self._hub, self._edge = config, state, hub, edge
        self._now, self._rng = now, rng
        self._slots = Slots(state)
        self._failures = 0
        self._serving: str | None = None
        self._proved: Current | None = None
        self._wanted: str | None = None
        self._distrust = ""
        self._downloaded = 0
        self._phase: Phase = "Idle"
        self._said: tuple[object, ...] = ()

    def step(self) -> float:
        """One pass; returns the seconds to wait before the next one unless a hint comes first."""
        self._phase = "Idle"
        try:
            seen = self._look()
            act = next_act(seen)
            self._wanted = act.digest if isinstance(act, Install) else (seen.head.to_digest if seen.head else None)
            self._do(act)
        except Unavailable as error:
            self._failures += 1
            self._report(self._phase, str(error))
        except (UmiakError, OSError) as error:
            self._failures += 1
            self._report("Failed", str(error))
        else:
            self._settle(act, seen)
        return pause(self._config.poll_seconds, self._failures, self._rng)

    def _settle(self, act: Act, seen: Seen) -> None:
        reason = act.reason if isinstance(act, Idle) else ""
        self._failures = self._failures + 1 if self._distrust else 0
        failed = bool(self._distrust) or (bool(reason) and seen.ledger.trial is not None)
        self._report("Failed" if failed else "Idle", self._distrust or reason)

    # looking

    def _look(self) -> Seen:
        ledger, current = read_ledger(self._state), self._slots.read_current()
        edge_up = self._ask_edge()
        initial = self._config.initial
        return Seen(
            head=self._trusted_head(ledger.sequence, ledger.accepted.digest if ledger.accepted else None),
            ledger=ledger,
            current=current.digest if current else None,
            good=current is not None and self._slots.is_good(current.digest),
            damaged=current is not None and self._is_damaged(current),
            other=self._slots.held(self._slots.other_slot()),
            serving=self._serving,
            edge_up=edge_up,
            initial=initial.digest if local_folder(initial) else None,
        )

    def _is_damaged(self, current: Current) -> bool:
        """Read the slot in force once after a start or a move, and whenever the edge does not serve it."""
        if current != self._proved or self._serving != current.digest:
            self._proved = current if holds_whole(self._slots, current.slot, current.digest) else None
        return self._proved is None

    def _ask_edge(self) -> bool:
        try:
            self._serving = self._edge.serving()
        except UmiakError as error:
            log.info("the edge server does not answer", reason=str(error))
            self._serving = None
            return False
        return True

    def _trusted_head(self, sequence: int, digest: str | None) -> Release | None:
        self._distrust = ""
        try:
            envelope = self._hub.head(self._config.line)
            if envelope is None:
                return None
            release = verify(envelope, self._config.trusted_keys)
            check_acceptable(release, self._config.line, sequence, digest)
        except ReleaseError as error:
            self._distrust = str(error)
            return None
        except UmiakError as error:
            log.info("the hub gave no head", reason=str(error))
            return None
        return release

    # acting

    def _do(self, act: Act) -> None:
        match act:
            case Confirm():
                self._confirm(act.sequence, act.digest)
            case FallBack():
                log.warning("the edge fell back to the other slot", digest=act.digest)
                self._slots.write_current(self._slots.other_slot(), act.digest)
                self._slots.mark_good(act.digest)
            case Install():
                self._install(act)
            case Repair():
                self._repair(act.digest)
            case Serve():
                self._serve(act.digest)

    def _confirm(self, sequence: int, digest: str) -> None:
        self._slots.mark_good(digest)
        ledger = read_ledger(self._state)
        if (settled := ledger.settled(sequence, digest)) != ledger:
            write_ledger(self._state, settled)
        forget_downloads(self._slots, None)
        self._slots.forget_absent()

    def _install(self, act: Install) -> None:
        slot = self._slots.other_slot()
        if not holds_whole(self._slots, slot, act.digest):
            self._report("Downloading", "")
            self._obtain(act.digest)
        if not self._ask_edge():
            raise Unavailable("the edge server is away; the model waits in its slot")
        self._report("Installing", "")
        self._try(act)
        self._slots.write_current(slot, act.digest)
        self._confirm(act.sequence, act.digest)
        log.info("a new model is in force", digest=act.digest, sequence=act.sequence, slot=slot)

    def _obtain(self, digest: str) -> None:
        initial = self._config.initial
        folder = local_folder(initial) if initial.digest == digest else None
        if folder is not None:
            copy_local(folder, self._slots, digest, self._config.max_artefact_bytes)
        else:
            download(self._hub, self._slots, digest, self._config.max_artefact_bytes, self._progress)

    def _try(self, act: Install) -> None:
        """Ask the edge, counted before it is asked; a model that is refused or deadly leaves its slot at once."""
        ledger = read_ledger(self._state).tried(act.sequence, act.digest, "the edge server went away while loading it")
        write_ledger(self._state, ledger)
        try:
            self._edge.reload(act.digest)
        except (Refused, Unavailable) as error:
            write_ledger(self._state, ledger.explained(str(error)))
            if isinstance(error, Refused) or given_up(ledger, act.sequence, act.digest):
                empty(self._slots.folder(self._slots.other_slot()))
            raise
        self._serving = act.digest

    def _repair(self, digest: str) -> None:
        """A damaged slot claims nothing any more, so the edge finds the fresh copy in the other one."""
        current = self._slots.read_current()
        if current:
            log.warning("the slot in force is damaged, getting its model again", slot=current.slot, digest=digest)
            empty(self._slots.folder(current.slot))
        self._install(Install(digest, read_ledger(self._state).sequence))

    def _serve(self, digest: str) -> None:
        self._edge.reload(digest)
        self._serving = digest

    def _progress(self, done: int, total: int) -> None:
        self._downloaded = done

    # reporting

    def _report(self, state: Phase, reason: str) -> None:
        """Tell the hub what is so; a hub that is away hears it with the next pass."""
        self._phase = state
        said = AgentState(
            line=self._config.line,
            active=self._serving,
            sequence=read_ledger(self._state).sequence,
            state=state,
            reason=reason,
            wanted=self._wanted,
            at=self._now(),
            bytes_downloaded=self._downloaded,
        )
        if (facts := (state, reason, said.active, said.wanted)) != self._said:
            self._said = facts
            log.info("agent", state=state, reason=reason, active=said.active, wanted=said.wanted)
        try:
            self._hub.put_agent_state(self._config.namespace, self._config.resource, self._config.edge, said)
        except UmiakError as error:
            log.info("the hub did not take the report", reason=str(error))
