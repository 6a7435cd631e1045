"""Fetches the initial models of empty lines in the background, and says on the line why one could not be had."""

import random
import shutil
from dataclasses import dataclass, field

import structlog
from sqlalchemy import select, update

from umiak_workers.adapters import modelstore
from umiak_workers.contract.errors import ArtefactError, InvalidInput, Refused, Unavailable
from umiak_workers.contract.fleet import InitialModel
from umiak_workers.core.release import files_of
from umiak_workers.hub import lines, models, tables
from umiak_workers.hub.hub import Hub

STEP_SECONDS = 30.0
"""Timeout of each network step."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
log = structlog.get_logger()


@dataclass(frozen=True)
class Wanted:
    """A line that waits for its initial model."""

    line: str
    initial: InitialModel


@dataclass
class Importer:
    """`work` looks once at every waiting line; failures are tried again, later and later."""

    hub: Hub
    rng: random.Random
    _failures: dict[Wanted, int] = field(default_factory=dict)
    _not_before: dict[Wanted, float] = field(default_factory=dict)

    def work(self) -> None:
        """Import what is due; never raises for a model that cannot be had."""
        wanted = self._wanted()
        for key in self._failures.keys() - set(wanted):
            self._failures.pop(key)
            self._not_before.pop(key, None)
        for one in wanted:
            if self.hub.now() >= self._not_before.get(one, 0.0):
                self._try(one)

    def is_due(self) -> bool:
        """Whether something that failed should be tried again."""
        return any(at <= self.hub.now() for at in self._not_before.values())

    def _wanted(self) -> list[Wanted]:
        releases = tables.releases.c
        found = select(releases.line, releases.to_digest).where(
            releases.owner == lines.INITIAL, releases.state == "WaitingForModel"
        )
        with self.hub.database.read() as sql:
            rows = sql.execute(found).all()
            users = {row.line: lines.first_user(sql, row.line) for row in rows}
        return [
            Wanted(line, spec.line.initial)
            for line, spec in users.items()
            if spec is not None and spec.line is not None
        ]

    def _try(self, wanted: Wanted) -> None:
        try:
            self._import(wanted.initial)
        except (ArtefactError, InvalidInput, Refused, Unavailable) as error:
            self._failed(wanted, str(error))
        else:
            self._failures.pop(wanted, None)
            self._not_before.pop(wanted, None)
            log.info("initial model imported", line=wanted.line, uri=wanted.initial.uri, digest=wanted.initial.digest)

    def _import(self, initial: InitialModel) -> None:
        hub = self.hub
        folder = hub.scratch()
        try:
            artefact = modelstore.fetch(initial.uri, initial.digest, folder, hub.config.max_blob_bytes, STEP_SECONDS)
            for file in files_of(artefact.manifest):
                hub.blobs.adopt(file.digest, artefact.folder / file.name)
            with hub.change() as change:
                text = artefact.manifest.canonical_bytes()
                models.add(change, initial.digest, models.check(hub.blobs, initial.digest, text))
        except OSError as error:
            raise Unavailable(f"{initial.uri}: {error}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _failed(self, wanted: Wanted, reason: str) -> None:
        count = self._failures.get(wanted, 0) + 1
        self._failures[wanted] = count
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(count - 1, 10))
        self._not_before[wanted] = self.hub.now() + self.rng.uniform(longest / 2, longest)
        problem = f"the initial model could not be taken: {reason}"
        with self.hub.change() as change:
            here = (tables.lines.c.line == wanted.line, tables.lines.c.problem != problem)
            if change.sql.execute(update(tables.lines).where(*here).values(problem=problem)).rowcount:
                log.warning("initial model not imported", line=wanted.line, uri=wanted.initial.uri, reason=reason)
                change.ring_line(wanted.line)
