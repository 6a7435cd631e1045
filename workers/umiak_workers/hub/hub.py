"""The hub itself: every operation that HTTP, MQTT and housekeeping may ask of it, each one transaction.

Calls block on disk and database; servers run them in worker threads. Files are written before the transaction that
names them and removed after the one that forgets them, so a killed hub leaves at most files that nobody names, and
`start` removes those.
"""

import hashlib
import secrets
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from umiak_workers.adapters.blobstore import FULL, BlobStore, Room
from umiak_workers.adapters.configfile import durable_write
from umiak_workers.adapters.database import Database
from umiak_workers.contract.config import HubConfig
from umiak_workers.contract.errors import InvalidInput, Refused, Unavailable
from umiak_workers.contract.fleet import Changes, FleetSpec, FleetView
from umiak_workers.contract.messages import AgentState, LiveSettings, Receipt, RoundReport, RouterState, SampleHeader
from umiak_workers.contract.release import Envelope
from umiak_workers.core.tasks import kind_of
from umiak_workers.hub import home, lines, models, owners, replay, rounds, tables, views
from umiak_workers.hub.change import Bell, Change, changing, cursor, since
from umiak_workers.hub.reports import Key, Reports, write
from umiak_workers.hub.tally import Tally

Clock = Callable[[], float]


class Hub:
    """One hub over one state folder. `now` gives seconds since the epoch; `database`: None is SQLite in that folder."""

    def __init__(self, config: HubConfig, state: Path, now: Clock, database: Database | None = None) -> None:
        self.config = config
        self.state = state
        self.now = now
        self.room = Room(config.max_state_bytes)
        self.blobs = BlobStore(state / "blobs", config.max_blob_bytes, self.room)
        self._named = database.named if database else None
        self.database = database or Database(f"sqlite:///{state / 'hub.db'}")
        self.tally = Tally()
        self.reports = Reports(config.silence_seconds, self.tally)
        self.bell = Bell()
        self.hints_wanted = threading.Event()
        self.import_wanted = threading.Event()
        self._gathered: set[tuple[str, str]] = set()
        self._gathering = threading.Lock()
        self._samples = state / "replay"

    def start(self) -> None:
        """Open the books and drop what a killed process left; raises ConfigError or Unavailable (start again later)."""
        self._samples.mkdir(parents=True, exist_ok=True)
        self.database.create(tables.metadata)
        with self.database.write() as sql:
            tables.check_schema(sql)
            home.check(sql, self.state, self._named)
            self.reports.load(sql)
            known = replay.files(sql)
        self.blobs.start()
        for file in self._samples.iterdir():
            if file.name in known:
                self.room.give(-file.stat().st_size)
            else:
                file.unlink()
        self.hints_wanted.set()
        self.import_wanted.set()

    def close(self) -> None:
        """Write what is only in memory, then close the books."""
        try:
            self.write_reports()
        finally:
            self.database.close()

    def change(self) -> AbstractContextManager[Change]:
        """A transaction that wakes whom it concerns; see `change.Change`."""
        return changing(self.database, self.bell, self.hints_wanted, self.now())

    # owners

    def put_owner(self, uid: str, spec: FleetSpec) -> FleetView:
        """Hold a spec; idempotent."""
        with self.change() as change:
            left = owners.put(change, uid, spec)
        if spec.owner.kind == "JointInference":
            self.reports.forget(spec.owner.namespace, spec.owner.name, keep=spec.edges)
        self.remove_samples(left)
        self.import_wanted.set()
        return self.owner_view(uid)

    def owner_view(self, uid: str) -> FleetView:
        """What was seen for an owner; raises Refused 404."""
        with self.database.read() as sql:
            spec = owners.spec_of(sql, uid)
            if spec is None:
                raise Refused(f"no owner {uid} is held here", 404)
            return views.fleet_view(sql, self.reports, spec, self.now())

    def drop_owner(self, uid: str) -> None:
        """Hold nothing more for an owner; no error when it is unknown."""
        with self.change() as change:
            spec = owners.spec_of(change.sql, uid)
            left = owners.drop(change, uid)
        if spec and spec.owner.kind == "JointInference":
            self.reports.forget(spec.owner.namespace, spec.owner.name, keep=())
        self.remove_samples(left)

    def changes(self, after: int) -> Changes:
        """Owners whose view changed after a position; all of them when the position is not of this hub."""
        with self.database.read() as sql:
            newest = cursor(sql)
            return Changes(cursor=newest, owners=since(sql, after if after <= newest else 0))

    def ring_later(self, namespace: str, resource: str) -> None:
        """A fast figure of a resource changed: wake its operator with the next gathering."""
        with self._gathering:
            self._gathered.add((namespace, resource))

    def ring_gathered(self) -> None:
        """Wake the operator for the fast figures that were gathered."""
        with self._gathering:
            going, self._gathered = self._gathered, set()
        if not going:
            return
        try:
            with self.change() as change:
                for namespace, resource in going:
                    change.ring_resource(namespace, resource)
        except BaseException:
            with self._gathering:
                self._gathered |= going
            raise

    # models and lines

    def put_manifest(self, digest: str, text: bytes) -> None:
        """Take a model whose blobs are all here."""
        with self.change() as change:
            models.add(change, digest, models.check(self.blobs, digest, text))

    def manifest(self, digest: str) -> str:
        """A model's canonical manifest; raises Refused 404."""
        with self.database.read() as sql:
            text = models.manifest_text(sql, digest)
        if text is None:
            raise Refused(f"the hub has no model {digest}", 404)
        return text

    def head(self, line: str) -> Envelope:
        """A line's signed head; raises Refused 404 while the line is empty."""
        with self.database.read() as sql:
            envelope = lines.head(sql, line)
        if envelope is None:
            raise Refused(f"line {line} is empty", 404)
        return envelope

    def signing(self) -> list[str]:
        """Canonical JSON of every release that waits for a signature."""
        with self.database.read() as sql:
            return lines.waiting_for_signature(sql)

    def signed(self, line: str, sequence: int, envelope: Envelope) -> None:
        """Take a signature and move the head."""
        with self.change() as change:
            lines.publish(change, envelope, self.config.trusted_keys, line, sequence)

    # replay

    def put_sample(self, namespace: str, resource: str, header: SampleHeader, image: bytes, label: bytes) -> Receipt:
        """Store a sample exactly once, or reject it durably (I1)."""
        digest = "sha256:" + hashlib.sha256(image).hexdigest()
        if digest != header.digest:
            raise InvalidInput(f"digest: the photo has {digest}, the header says {header.digest}")
        if known := self._decided(namespace, resource, header, ""):
            return known
        file = self._write(image + label)
        left = [file]
        try:
            with self.change() as change:
                receipt = replay.decide(change, namespace, resource, header, "")
                if receipt is None:
                    receipt = replay.store(change, namespace, resource, header, file)
                    left = self._evict(change, namespace, resource)
        except Unavailable:
            left = []  # the commit may have happened all the same; if not, the next start sweeps the file
            raise
        finally:
            self.remove_samples(left)
        self.ring_later(namespace, resource)
        return receipt

    def _write(self, data: bytes) -> str:
        """A new file of these bytes, durable; raises Refused 507 when there is no room."""
        file = self._samples / secrets.token_hex(16)
        self.room.take(len(data))
        try:
            durable_write(file, data)
        except OSError as error:
            self.room.give(len(data))
            file.with_name(f".{file.name}.tmp").unlink(missing_ok=True)
            raise Refused(f"no room: {error.strerror or error}", FULL) from error
        return file.name

    def reject_sample(self, namespace: str, resource: str, header: SampleHeader, reason: str) -> Receipt:
        """Say durably that a sample is not stored, unless something was decided before."""
        receipt = self._decided(namespace, resource, header, reason)
        assert receipt is not None, "a reason decides"
        return receipt

    def _decided(self, namespace: str, resource: str, header: SampleHeader, refusal: str) -> Receipt | None:
        with self.database.read() as sql:
            known = replay.receipt(sql, namespace, resource, header.frame, header.digest)
        if known:
            return known
        with self.change() as change:
            return replay.decide(change, namespace, resource, header, refusal)

    def _evict(self, change: Change, namespace: str, resource: str) -> list[str]:
        spec = owners.joint_inference(change.sql, namespace, resource)
        return replay.evict(change, namespace, resource, spec.replay) if spec and spec.replay else []

    def sample(self, namespace: str, resource: str, position: int, part: str) -> tuple[str, bytes]:
        """(media type, bytes) of one part of a sample: `image` or `label`."""
        with self.database.read() as sql:
            header, name = replay.sample(sql, namespace, resource, position)
        try:
            with (self._samples / name).open("rb") as handle:
                image = handle.read(header.image_size)
                return (header.media, image) if part == "image" else (kind_of(header.task).media, handle.read())
        except FileNotFoundError as error:
            raise Refused(f"sample {position} of {namespace}/{resource} was evicted", 404) from error

    def remove_samples(self, files: list[str]) -> None:
        """Remove files that the books no longer name."""
        for name in files:
            file = self._samples / name
            if file.exists():
                self.room.give(file.stat().st_size)
                file.unlink(missing_ok=True)

    # reports

    def agent_said(self, key: Key, state: AgentState) -> None:
        """Facts are durable, and known to the operator, when this returns."""
        spec = self._edge(key)
        if not self.reports.agent(key, state, self.now()):
            return
        with self.reports.going(key) as going, self.change() as change:
            write(change.sql, going)
            change.ring([spec.owner.uid])
            change.ring_line(state.line)
        self.reports.told(key, state)

    def router_said(self, key: Key, state: RouterState) -> None:
        """Running figures: written and told with the next gathering."""
        self._edge(key)
        self.reports.router(key, state, self.now())
        self.ring_later(key[0], key[1])

    def write_reports(self) -> None:
        """Make running figures durable."""
        if self.reports.is_dirty():
            with self.reports.going() as going, self.database.write() as sql:
                write(sql, going)

    def _edge(self, key: Key) -> FleetSpec:
        namespace, resource, edge = key
        with self.database.read() as sql:
            spec = owners.joint_inference(sql, namespace, resource)
        if spec is None or edge not in spec.edges:
            raise Refused(f"no JointInference {namespace}/{resource} has an edge {edge} here", 404)
        return spec

    def round_done(self, namespace: str, resource: str, report: RoundReport) -> None:
        """A training Job's result."""
        with self.change() as change:
            is_new = rounds.put(change, namespace, resource, report)
        if is_new:
            self.tally.round_done(namespace, resource, report.outcome)

    def settings(self, namespace: str, resource: str) -> LiveSettings:
        """Live settings of a JointInference."""
        with self.database.read() as sql:
            return owners.settings(sql, namespace, resource)

    def receipt(self, namespace: str, resource: str, frame: str, digest: str | None) -> Receipt:
        """What was decided about a frame; raises Refused 404."""
        with self.database.read() as sql:
            found = replay.receipt(sql, namespace, resource, frame, digest)
        if found is None:
            raise Refused(f"nothing was ever decided about {frame}", 404)
        return found

    def scratch(self) -> Path:
        """A folder for an import under way, empty."""
        folder = self.state / "importing"
        shutil.rmtree(folder, ignore_errors=True)
        return folder
