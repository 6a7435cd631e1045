"""A small world around an agent: real folders and real downloads, a hub and an edge in memory that can be pushed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from umiak_workers.adapters import model_transfer
from umiak_workers.adapters.artefacts import read_artefact, write_artefact
from umiak_workers.adapters.slots import Slots
from umiak_workers.agent.loop import Agent
from umiak_workers.contract.artefact import Card, InputSpec, OutputSpec
from umiak_workers.contract.config import AgentConfig, ModelSource
from umiak_workers.contract.errors import ArtefactError, Refused, Unavailable
from umiak_workers.contract.messages import AgentState
from umiak_workers.contract.release import Envelope, Release
from umiak_workers.core.model import Golden
from umiak_workers.core.release import files_of, public_text, sign

LINE = "yard/base"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class Killed(BaseException):
    """The process ends here, as by SIGKILL."""


def make_model(folder: Path, value: float, side: int) -> str:
    """A small artefact that differs by `value`, about 4 * side**2 bytes large; returns its digest."""
    card = Card(
        name="small",
        classes=("ground", "sky"),
        input=InputSpec(name="image", layout="NHWC", dtype="uint8", height=16, width=16),
        outputs=OutputSpec(logits="logits"),
        licence="Apache-2.0",
    )
    golden = Golden(np.zeros((16, 16, 3), np.uint8), np.full((2, 4, 4), value, np.float32), 1e-3)
    weights = {"head.weight": np.full((side, side), value, np.float32)}
    return write_artefact(folder, card, b"graph", weights, golden)


@dataclass
class HubTwin:
    """Models, one line, reports. `away` refuses everything, `corrupt` flips a byte of what it sends."""

    root: Path
    models: dict[str, Path] = field(default_factory=dict)
    head_envelope: Envelope | None = None
    reports: list[AgentState] = field(default_factory=list)
    sent: int = 0
    away: bool = False
    corrupt: bool = False
    break_after: int | None = None
    """Bytes after which a download breaks off, once."""
    touched: Callable[[], None] = lambda: None

    def publish(self, value: float, side: int = 16) -> str:
        """A model that the hub holds."""
        folder = self.root / f"model-{value}"
        digest = make_model(folder, value, side)
        self.models[digest] = folder
        return digest

    def release(self, sequence: int, digest: str, line: str = LINE, key: Ed25519PrivateKey = KEY) -> None:
        """Make a model the line's signed head."""
        files = files_of(read_artefact(self.models[digest]).manifest) if digest in self.models else ()
        self.head_envelope = sign(
            Release(line=line, sequence=sequence, to_digest=digest, files=files, created_at=1.0), key
        )

    def _called(self) -> None:
        self.touched()
        if self.away:
            raise Unavailable("hub: connection refused")

    def head(self, line: str) -> Envelope | None:
        self._called()
        return self.head_envelope

    def put_agent_state(self, namespace: str, resource: str, edge: str, state: AgentState) -> None:
        self._called()
        self.reports.append(state)

    def fetch_model(self, digest: str, into: Path, max_bytes: int, progress: Any) -> Path:
        return model_transfer.fetch(self, digest, into, max_bytes, progress)

    def manifest_bytes(self, digest: str) -> bytes | None:
        self._called()
        return (self.models[digest] / "manifest.json").read_bytes() if digest in self.models else None

    @contextmanager
    def blob(self, digest: str, start: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        self._called()
        yield start, self._chunks(self._blob_bytes(digest)[start:])

    def _blob_bytes(self, digest: str) -> bytes:
        for folder in self.models.values():
            for file in files_of(read_artefact(folder).manifest):
                if file.digest == digest:
                    return (folder / file.name).read_bytes()
        raise Refused("no such blob", 404)

    def _chunks(self, data: bytes) -> Iterator[bytes]:
        if self.corrupt:
            data = bytes([data[0] ^ 255]) + data[1:]
        for at in range(0, len(data), 500):
            if self.break_after is not None and self.sent >= self.break_after:
                self.break_after = None
                raise Unavailable("hub: connection lost")
            self.touched()
            self.sent += len(data[at : at + 500])
            yield data[at : at + 500]


@dataclass
class EdgeTwin:
    """An edge server: verifies and loads from the slots, refuses `bad` models, dies of `deadly` ones."""

    slots: Slots
    active: str | None = None
    up: bool = True
    bad: set[str] = field(default_factory=set)
    deadly: set[str] = field(default_factory=set)
    loads: list[str] = field(default_factory=list)
    touched: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Come back after a crash with what is in force, or fall back as the real one does."""
        current = self.slots.read_current()
        self.up, self.active = True, None
        if current is None:
            return
        other = self.slots.held(self.slots.other_slot())
        if self.slots.worn_out(current.digest) and other and self.slots.is_good(other):
            self.active = self._loaded(other)
        else:
            self.active = self._loaded(current.digest)

    def serving(self) -> str | None:
        self.touched()
        if not self.up:
            raise Unavailable("edge: connection refused")
        return self.active

    def reload(self, digest: str) -> None:
        self.touched()
        if not self.up:
            raise Unavailable("edge: connection refused")
        self.loads.append(digest)
        self.slots.begin_attempt(digest)
        if digest in self.deadly:
            self.start()
            raise Unavailable("edge: connection reset while loading")
        self.active = self._loaded(digest)
        self.touched()

    def _loaded(self, digest: str) -> str:
        slot = self.slots.find(digest)
        if slot is None:
            raise Refused(f"no slot holds {digest}", 404)
        if digest in self.bad:
            raise Refused("golden input: logits differ by 3.1, at most 0.001 allowed", 409)
        try:
            return read_artefact(self.slots.folder(slot), digest).digest
        except ArtefactError as error:
            raise Refused(str(error), 409) from error


@dataclass
class World:
    """Everything around one agent."""

    state: Path
    hub: HubTwin
    edge: EdgeTwin
    initial: ModelSource

    def agent(self) -> Agent:
        """A freshly started agent process."""
        config = AgentConfig(
            namespace="yard",
            resource="watch",
            edge="edge-1",
            line=LINE,
            initial=self.initial,
            trusted_keys=(public_text(KEY),),
            poll_seconds=1,
        )
        return Agent(config, self.state, self.hub, self.edge, lambda: 100.0, np.random.default_rng(1))

    def settle(self, agent: Agent, steps: int = 6) -> float:
        """Let it do what it wants to do; returns its last wait in seconds."""
        return [agent.step() for _ in range(steps)][-1]

    @property
    def slots(self) -> Slots:
        return self.edge.slots

    def in_force(self) -> str | None:
        """The digest of `current`, checked to be a whole model that was published (I2); None before the first."""
        current = self.slots.read_current()
        if current is None:
            return None
        found = read_artefact(self.slots.folder(current.slot), current.digest).digest
        assert found in self.hub.models
        return found

    @contextmanager
    def killed_at(self, moment: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
        """Let the process die at the given call of the world or of the file system; yields the calls counted so far."""
        count = [0]

        def tick() -> None:
            count[0] += 1
            if count[0] == moment:
                raise Killed

        with monkeypatch.context() as patch:
            for name in ("fsync", "replace", "rename", "unlink", "rmdir"):
                patch.setattr(os, name, _ticking(getattr(os, name), tick))
            self.hub.touched = self.edge.touched = tick
            try:
                yield count
            finally:
                self.hub.touched = self.edge.touched = lambda: None


def _ticking(real: Callable[..., Any], tick: Callable[[], None]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        tick()
        return real(*args, **kwargs)

    return call


@pytest.fixture
def new_world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], World]:
    """As many worlds as a test needs."""

    def make() -> World:
        folder = tmp_path_factory.mktemp("world")
        (folder / "state").mkdir()
        hub = HubTwin(folder / "hub")
        digest = hub.publish(0.0)
        initial = ModelSource(uri=hub.models[digest].as_uri(), digest=digest)
        return World(folder / "state", hub, EdgeTwin(Slots(folder / "state")), initial)

    return make


@pytest.fixture
def world(new_world: Callable[[], World]) -> World:
    """A hub with one model that is also the local initial one, an empty edge."""
    return new_world()


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """These worlds die in memory only; fsync would take most of the time and change nothing."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def killed() -> type[BaseException]:
    return Killed


@pytest.fixture
def stranger() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(32))
