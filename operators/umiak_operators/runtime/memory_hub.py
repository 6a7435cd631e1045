"""An honest twin of the hub in memory: lines move by compare-and-swap, edges follow only when they are told to."""

from collections.abc import Callable
from dataclasses import dataclass

from umiak_operators.runtime.seam import FleetRefused
from umiak_workers.contract.fleet import (
    EdgeView,
    FleetSpec,
    FleetView,
    LineView,
    Owner,
    ReleaseView,
    ReplayView,
)
from umiak_workers.contract.messages import AgentState, RoundReport


@dataclass
class Line:
    """The head of a line."""

    digest: str
    sequence: int
    owner: str = ""
    """uid of the ModelPatch that moved it there; empty at first."""


class MemoryHub:
    """See fleet.Hub. `ring(uid)` is called when the view of an owner may have changed."""

    def __init__(self, ring: Callable[[str], None]) -> None:
        self._ring = ring
        self.away = False
        self.refusal = ""
        """What it says to whoever tells it something new, if anything."""
        self.specs: dict[str, FleetSpec] = {}
        self.lines: dict[str, Line] = {}
        self.samples: dict[str, int] = {}
        """`<namespace>/<JointInference>` -> samples stored so far."""
        self.rounds: dict[str, list[RoundReport]] = {}
        """`<namespace>/<LifelongLearning>` -> reports, oldest first."""
        self.active: dict[tuple[str, str], AgentState] = {}
        """(line, edge) -> what its agent reported."""
        self._published: dict[str, int] = {}

    async def view(self, owner: Owner) -> FleetView | None:
        """See Hub.view."""
        if self.away:
            return None
        spec = self.specs.get(owner.uid)
        if spec is None:
            return FleetView(owner=owner)
        follows = self._followed(spec)
        line = self._line_of(spec, follows)
        return FleetView(
            owner=owner,
            line=self._line_view(line),
            edges=self._edges(line, spec) if spec.release or spec.line else (),
            replay=self._replay(follows) if follows else None,
            release=self._release(spec) if spec.release else None,
            rounds=tuple(self.rounds.get(f"{owner.namespace}/{owner.name}", ())) if spec.replay_of else (),
        )

    async def tell(self, uid: str, spec: FleetSpec | None) -> None:
        """See Hub.tell."""
        if self.away or self.specs.get(uid) == spec:
            return
        if self.refusal and spec is not None:
            raise FleetRefused(self.refusal)
        if spec is None:
            self.specs.pop(uid, None)
        else:
            self.specs[uid] = spec
        self._move_heads()
        self.ring_all()

    async def drop(self, uid: str) -> None:
        """See Hub.drop."""
        await self.tell(uid, None)

    async def owners(self) -> tuple[str, ...]:
        """See Hub.owners."""
        return () if self.away else tuple(self.specs)

    def ring_all(self) -> None:
        """Something changed: tell of every owner."""
        for uid in tuple(self.specs):
            self._ring(uid)

    def add_samples(self, joint_inference: str, count: int) -> None:
        """The cloud stored hard examples of `<namespace>/<name>`."""
        self.samples[joint_inference] = self.samples.get(joint_inference, 0) + count
        self.ring_all()

    def report_round(self, learning: str, report: RoundReport) -> None:
        """A training Job of `<namespace>/<name>` reported."""
        self.rounds.setdefault(learning, []).append(report)
        self.ring_all()

    def update_edges(self, at: float) -> int:
        """Every edge takes the head of its line and says so; returns how many changed."""
        changed = 0
        for line, edge in [(spec.line.line, edge) for spec in self.specs.values() if spec.line for edge in spec.edges]:
            head, known = self.lines.get(line), self.active.get((line, edge))
            if head and (known is None or known.active != head.digest):
                state = AgentState(line=line, active=head.digest, sequence=head.sequence, state="Idle", at=at)
                self.active[line, edge] = state
                changed += 1
        if changed:
            self.ring_all()
        return changed

    def _move_heads(self) -> None:
        for uid, spec in self.specs.items():
            if spec.line and spec.line.line not in self.lines:
                self.lines[spec.line.line] = Line(spec.line.initial.digest, 1)
            wanted = spec.release
            head = self.lines.get(wanted.line) if wanted else None
            if wanted and head and uid not in self._published and head.digest == wanted.from_digest:
                self.lines[wanted.line] = Line(wanted.to_digest, head.sequence + 1, uid)
                self._published[uid] = head.sequence + 1

    def _followed(self, spec: FleetSpec) -> FleetSpec | None:
        """The JointInference whose replay a spec sees: itself, or the one it names."""
        name = spec.owner.name if spec.line else spec.replay_of
        for other in self.specs.values():
            if other.line and (other.owner.namespace, other.owner.name) == (spec.owner.namespace, name):
                return other
        return None

    def _line_of(self, spec: FleetSpec, follows: FleetSpec | None) -> str | None:
        if spec.release:
            return spec.release.line
        return follows.line.line if follows and follows.line else None

    def _line_view(self, line: str | None) -> LineView | None:
        if line is None:
            return None
        head = self.lines.get(line)
        return LineView(line=line, digest=head.digest if head else None, sequence=head.sequence if head else 0)

    def _edges(self, line: str | None, spec: FleetSpec) -> tuple[EdgeView, ...]:
        on_line = {
            edge for other in self.specs.values() if other.line and other.line.line == line for edge in other.edges
        }
        names = sorted(on_line if spec.release else spec.edges)
        states = [(edge, self.active.get((line or "", edge))) for edge in names]
        return tuple(EdgeView(edge=edge, reporting=state is not None, agent=state) for edge, state in states)

    def _replay(self, follows: FleetSpec) -> ReplayView:
        count = self.samples.get(f"{follows.owner.namespace}/{follows.owner.name}", 0)
        return ReplayView(watermark=count, samples=count)

    def _release(self, spec: FleetSpec) -> ReleaseView:
        wanted, uid = spec.release, spec.owner.uid
        head = self.lines.get(wanted.line) if wanted else None
        if uid in self._published:
            newer = head is not None and head.owner != uid
            return ReleaseView(state="Superseded" if newer else "Published", sequence=self._published[uid])
        if head is None:
            return ReleaseView(state="WaitingForLine", message="the line is empty")
        return ReleaseView(state="Conflict", message=f"the head is {head.digest}")
