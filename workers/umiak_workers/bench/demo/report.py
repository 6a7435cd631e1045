"""What the demo found, as one document for machines (`--json`) and one table for people."""

from collections.abc import Sequence
from dataclasses import asdict

from pydantic import BaseModel
from rich.console import Console, Group, RenderableType
from rich.table import Table

from umiak_workers.bench.demo.scoring import Gain, Scored, miou, percentiles
from umiak_workers.contract.messages import Answer


class Collaborative(BaseModel):
    """The fused answers: how right, how many frames and bytes went up, how long they took."""

    miou: float | None
    upload_fraction: float
    bytes: int
    latency_ms: dict[str, dict[str, float]]
    router_overhead_ms: dict[str, dict[str, float]]
    """Of `all` frames, of `easy` ones, and of `hard` ones, which are queued, uploaded and fused."""


class Learning(BaseModel):
    """One round: the same unseen frames before and after, answered by the edge alone."""

    before_miou: float | None
    after_miou: float | None
    promoted: bool
    reason: str
    message: str
    samples: int
    frames: int
    gain: dict[str, float] | None
    collaborative_after_miou: float | None
    metrics: dict[str, float]


class Single(BaseModel):
    """One system alone."""

    miou: float | None
    latency_ms: dict[str, float] = {}


class EdgeResult(BaseModel):
    """One edge at the end."""

    name: str
    model_digest: str | None
    frames: int


class StretchResult(BaseModel):
    """mIoU of each system on one stretch."""

    stretch: str
    frames: int
    edge_only: float | None
    cloud_only: float | None
    collaborative: float | None
    upload_fraction: float


class Report(BaseModel):
    """Keys are stable: machines read them."""

    scene: str
    seed: int
    frames: int
    edge_only: Single
    cloud_only: Single
    collaborative: Collaborative
    gain_of_cloud: dict[str, float] | None
    learning: Learning | None
    stretches: list[StretchResult]
    edges: list[EdgeResult]
    models: dict[str, str]
    simulated: list[str]
    seconds: float


def as_dict(found: Gain | None) -> dict[str, float] | None:
    """A gain for JSON."""
    return None if found is None else asdict(found)


def overhead(answer: Answer) -> float:
    """Milliseconds the router itself added: all that was neither edge inference nor waiting for the cloud."""
    stages = answer.stages_milliseconds
    return stages.get("total", 0.0) - stages.get("edge", 0.0) - stages.get("cloud", 0.0)


def collaborative(frames: Sequence[Scored]) -> Collaborative:
    """Figures of the fused answers of `frames`."""
    answers = [frame.answer for frame in frames]
    stages = sorted({stage for answer in answers for stage in answer.stages_milliseconds})
    return Collaborative(
        miou=miou(frames, "final"),
        upload_fraction=uploads(frames),
        bytes=sum(frame.bytes_up + frame.answer.bytes_down for frame in frames),
        latency_ms={
            stage: percentiles([a.stages_milliseconds[stage] for a in answers if stage in a.stages_milliseconds])
            for stage in stages
        },
        router_overhead_ms={
            "all": percentiles([overhead(answer) for answer in answers]),
            "easy": percentiles([overhead(answer) for answer in answers if answer.rule == ""]),
            "hard": percentiles([overhead(answer) for answer in answers if answer.rule != ""]),
        },
    )


def uploads(frames: Sequence[Scored]) -> float:
    """Share of frames whose photo goes up, now or later."""
    return sum(frame.uploaded for frame in frames) / len(frames) if frames else 0.0


def stretch_result(stretch: str, frames: Sequence[Scored]) -> StretchResult:
    """One row of the table."""
    return StretchResult(
        stretch=stretch,
        frames=len(frames),
        edge_only=miou(frames, "edge"),
        cloud_only=miou(frames, "cloud_only"),
        collaborative=miou(frames, "final"),
        upload_fraction=uploads(frames),
    )


def show(report: Report, console: Console) -> None:
    """The final tables."""
    console.print(tables(report), soft_wrap=True)


def tables(report: Report) -> RenderableType:
    """The final tables as one renderable."""
    parts: list[RenderableType] = [_accuracy(report), _latency(report)]
    parts += [f"[bold]{line}[/]" if index == 0 else line for index, line in enumerate(_sentences(report))]
    return Group(*parts)


def figure(value: float | None) -> str:
    """A mIoU for a table."""
    return "–" if value is None else f"{value:.3f}"


def interval(found: dict[str, float] | None) -> str:
    """`+0.041 [+0.020, +0.062]`."""
    if found is None:
        return "–"
    return (
        f"{found['miou']:+.3f}, 95 % interval {found['low']:+.3f} to {found['high']:+.3f}, {found['frames']:.0f} frames"
    )


def _accuracy(report: Report) -> Table:
    table = Table(title=f"mIoU, scene {report.scene}, seed {report.seed}", title_justify="left")
    for column in ("stretch", "frames", "edge only", "cloud only", "collaborative", "uploaded"):
        table.add_column(column, justify="left" if column == "stretch" else "right")
    for row in report.stretches:
        scores = (figure(row.edge_only), figure(row.cloud_only), figure(row.collaborative))
        table.add_row(row.stretch, str(row.frames), *scores, f"{row.upload_fraction:.0%}")
    return table


def _latency(report: Report) -> Table:
    table = Table(title="milliseconds per frame", title_justify="left")
    for column in ("stage", "p50", "p95"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    rows = dict(report.collaborative.latency_ms)
    rows |= {
        f"router overhead, {kind} frames": found for kind, found in report.collaborative.router_overhead_ms.items()
    }
    rows["cloud only, whole call"] = report.cloud_only.latency_ms
    for stage, found in rows.items():
        if found:
            table.add_row(stage, f"{found['p50']:.1f}", f"{found['p95']:.1f}")
    return table


def _sentences(report: Report) -> list[str]:
    lines = [f"gain of the cloud:   {interval(report.gain_of_cloud)}"]
    if report.learning is None:
        lines.append("gain of learning:    – (inference only)")
    else:
        learnt = report.learning
        lines.append(f"gain of learning:    {interval(learnt.gain)} (edge only, unseen frames)")
        lines.append(f"learning:            {'promoted' if learnt.promoted else 'not promoted'}: {learnt.message}")
    kib = report.collaborative.bytes / 1024
    lines.append(
        f"bytes:               {kib:,.0f} KiB up and down, {report.collaborative.upload_fraction:.0%} uploaded"
    )
    lines += [f"{edge.name:20} runs {edge.model_digest}" for edge in report.edges]
    lines += [f"{role + ':':20} {text}" for role, text in report.models.items()]
    lines.append(f"simulated:           {'; '.join(report.simulated)}")
    return lines
