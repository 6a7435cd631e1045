"""What the agent must not forget when it is killed: the release it accepted last and how often it tried the next one.

A try is written down before the edge is asked to load, so a model that takes edge or agent down with it is not offered
for ever.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from umiak_workers.adapters.configfile import durable_write
from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.messages import Digest
from umiak_workers.contract.wire import Message, parse

LEDGER_FILE = "agent.json"


class Accepted(Message):
    """The newest release that this edge took over; `sequence` 0 is the initial model, which no release named."""

    sequence: Annotated[int, Field(ge=0)]
    digest: Digest


class Trial(Message):
    """A model that the edge was asked to load and has not taken over yet."""

    sequence: Annotated[int, Field(ge=0)]
    digest: Digest
    tries: Annotated[int, Field(ge=0)] = 0
    reason: str = ""


class Ledger(Message):
    """The agent's memory; replaced as a whole."""

    accepted: Accepted | None = None
    trial: Trial | None = None

    @property
    def sequence(self) -> int:
        """The highest accepted release sequence; 0 before the first."""
        return self.accepted.sequence if self.accepted else 0

    def tried(self, sequence: int, digest: str, reason: str) -> "Ledger":
        """One more try of this model; a model that is tried for the first time starts a new count."""
        same = self.trial is not None and (self.trial.sequence, self.trial.digest) == (sequence, digest)
        tries = self.trial.tries + 1 if same and self.trial else 1
        return self.model_copy(update={"trial": Trial(sequence=sequence, digest=digest, tries=tries, reason=reason)})

    def explained(self, reason: str) -> "Ledger":
        """Why the last try failed."""
        return self.model_copy(update={"trial": self.trial and self.trial.model_copy(update={"reason": reason})})

    def settled(self, sequence: int, digest: str) -> "Ledger":
        """The edge serves this model: no trial is open any more, and a newer release than the accepted one is accepted.

        An accepted sequence never decreases (I3).
        """
        if self.accepted is not None and sequence <= self.accepted.sequence:
            return Ledger(accepted=self.accepted)
        return Ledger(accepted=Accepted(sequence=sequence, digest=digest))


def read_ledger(state: Path) -> Ledger:
    """The ledger of a state folder, empty for a new one; raises MessageError for one that is not readable.

    An unreadable ledger is not forgotten silently: with it the protection against old releases would go.
    """
    file = state / LEDGER_FILE
    try:
        return parse(Ledger, file.read_bytes())
    except FileNotFoundError:
        return Ledger()
    except MessageError as error:
        raise MessageError(f"{file}: {error}; restore it or remove the edge's state folder") from error


def write_ledger(state: Path, ledger: Ledger) -> None:
    """Replace the ledger durably."""
    durable_write(state / LEDGER_FILE, ledger.model_dump_json(exclude_none=True).encode())
