"""What the signer remembers: per line the last release it signed, durable before the signature leaves the process."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from umiak_workers.adapters.configfile import durable_write
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.release import Release
from umiak_workers.contract.wire import explain
from umiak_workers.signer.policy import Signed

FILE = "signed.json"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    sequence: int
    record: str


class _Page(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    lines: dict[str, _Entry] = {}


class Book:
    """The book in one state folder. A book that cannot be read stops the signer: it must not start again at zero."""

    def __init__(self, state: Path) -> None:
        self._file = state / FILE
        self._lines: dict[str, Signed] = {}

    def open(self) -> None:
        """Read it; raises ConfigError when it is damaged."""
        if not self._file.exists():
            return
        try:
            page = _Page.model_validate_json(self._file.read_bytes())
        except (ValidationError, OSError) as error:
            said = explain(error) if isinstance(error, ValidationError) else str(error)
            raise ConfigError(f"{self._file}: {said}; without it old numbers could be signed again") from error
        self._lines = {line: Signed(entry.sequence, entry.record) for line, entry in page.lines.items()}

    @property
    def lines(self) -> Mapping[str, Signed]:
        """The last release of each line."""
        return self._lines

    def enter(self, release: Release) -> None:
        """Remember durably that this is about to be signed."""
        lines = {**self._lines, release.line: Signed(release.sequence, release.canonical().decode())}
        page = _Page(lines={line: _Entry(sequence=one.sequence, record=one.record) for line, one in lines.items()})
        durable_write(self._file, page.model_dump_json().encode())
        self._lines = lines
