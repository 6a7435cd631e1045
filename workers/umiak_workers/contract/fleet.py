"""What an operator tells the hub about one resource, and what the hub has seen of it.

The hub has no Kubernetes credentials; the operator PUTs a FleetSpec keyed by the resource's uid (idempotent) and reads
a FleetView back, woken by one change stream. One flat spec serves the three kinds; parts that do not apply are absent.
"""

from typing import Annotated, Literal

from pydantic import Field

from umiak_workers.contract.messages import AgentState, Digest, LiveSettings, RoundReport, RouterState
from umiak_workers.contract.release import LINE_PATTERN
from umiak_workers.contract.wire import Message

Kind = Literal["JointInference", "LifelongLearning", "ModelPatch"]


class Owner(Message):
    """The resource that a spec belongs to."""

    kind: Kind
    namespace: str
    name: str
    uid: str


class InitialModel(Message):
    """What a line starts with while it is empty."""

    uri: str
    digest: Digest


class LineSpec(Message):
    """A model line that a JointInference uses."""

    line: Annotated[str, Field(pattern=LINE_PATTERN)]
    initial: InitialModel


class ReplaySpec(Message):
    """Bounds of a replay store: oldest samples leave first."""

    capacity: Annotated[int, Field(ge=1, le=1_000_000)]
    retention_seconds: Annotated[int, Field(ge=60)]


class ReleaseSpec(Message):
    """Move a line's head from one digest to another, compare-and-swap on `from_digest`."""

    line: Annotated[str, Field(pattern=LINE_PATTERN)]
    from_digest: Digest | None = None
    """None: the line is empty."""
    to_digest: Digest


class FleetSpec(Message):
    """What the hub should hold for one owner."""

    version: Literal[1] = 1
    owner: Owner
    line: LineSpec | None = None
    edges: tuple[str, ...] = ()
    """JointInference: the edges that should report."""
    replay: ReplaySpec | None = None
    settings: LiveSettings | None = None
    release: ReleaseSpec | None = None
    replay_of: str | None = None
    """LifelongLearning: name of the JointInference (same namespace) whose replay and line it follows."""


class EdgeView(Message):
    """What the hub knows of one edge; `None` = never heard of."""

    edge: str
    reporting: bool
    """Its last heartbeat is younger than the hub's silence limit."""
    last_seen: float | None = None
    agent: AgentState | None = None
    router: RouterState | None = None


class LineView(Message):
    """The head of a line."""

    line: str
    digest: Digest | None = None
    sequence: int
    conflict: str = ""
    """Why the initial model was not taken: another resource named another one, or it could not be loaded."""


class ReleaseView(Message):
    """How far a ModelPatch's release has come."""

    state: Literal["WaitingForModel", "WaitingForLine", "WaitingForSignature", "Published", "Superseded", "Conflict"]
    message: str = ""
    sequence: int | None = None


class ReplayView(Message):
    """Fill and watermark of a replay store."""

    watermark: int = 0
    samples: int = 0
    bytes: int = 0


class FleetView(Message):
    """What the hub has seen for one owner."""

    version: Literal[1] = 1
    owner: Owner
    line: LineView | None = None
    edges: tuple[EdgeView, ...] = ()
    """JointInference: its edges. ModelPatch: every edge that follows its line. LifelongLearning: none."""
    replay: ReplayView | None = None
    release: ReleaseView | None = None
    rounds: tuple[RoundReport, ...] = ()
    """LifelongLearning: oldest first, the last 20."""
    settings_version: int = 0


class Changes(Message):
    """A page of the change stream."""

    version: Literal[1] = 1
    cursor: int
    owners: tuple[str, ...]
    """uids whose view changed since the asked-for cursor."""
