"""One run of the evidence, step by step, with a bar for each step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from umiak_workers.bench.joint import link
from umiak_workers.bench.joint.cloud import CloudLabels
from umiak_workers.bench.joint.emulation import emulation
from umiak_workers.bench.joint.evidence import Seen, look
from umiak_workers.bench.joint.replay import AS_THEY_CAME, Setting, as_written, replay
from umiak_workers.bench.joint.report import Alone, Routed
from umiak_workers.bench.joint.resources import Resources
from umiak_workers.bench.joint.routers import Kind, Router
from umiak_workers.bench.joint.spending import Spent, Taken, spending, timed
from umiak_workers.bench.joint.uploads import Codec, jpeg
from umiak_workers.contract.config import Codec as Format
from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.sample import Dataset, walk
from umiak_workers.predictors.onnx import OnnxSegmenter

FRAMES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0)
"""Shares of photos on a whole-photo router's curve."""
TILES = (0.0, 0.05, 0.15, 0.35, 0.65)
"""Shares of tiles on a region router's curve."""
QUALITIES: dict[Format, tuple[int, ...]] = {
    "AVIF": (10, 20, 30, 40, 50, 65),
    "WebP": (1, 5, 15, 30, 50, 75),
    "JPEG": (15, 30, 50, 70),
}
"""How all photos are sent whole; each format has a scale of its own."""
REGION_ROUTERS = 6


def seen(
    bar: Progress, samples: Dataset, edge: OnnxSegmenter, cloud: CloudLabels, codec: Codec, cell: int
) -> list[Seen]:
    """Every labelled photo through both models; raises ConfigError unless there are some, of one size."""
    task = bar.add_task(f"{edge.card.name} and {cloud.card.name} alone", total=len(samples))
    found = look(samples, edge, cloud, codec, cell, lambda: bar.advance(task))
    if not found:
        raise ConfigError("--data: no photo has a label")
    if len({photo.label.shape for photo in found}) > 1:
        raise ConfigError("--data: photos of one size are compared, these differ")
    return found


def routed(bar: Progress, router: Router, photos: list[Seen], setting: Setting) -> Routed:
    """One router's curve."""
    shares = TILES if router.regions else FRAMES
    kind: Kind = "regions" if router.regions else "frames"
    task = bar.add_task(f"{router.name}, {kind}", total=len(shares) * len(photos))
    points, gate = replay(router, photos, shares, setting, lambda: bar.advance(task))
    return Routed(router.name, kind, tuple(points), gate)


def by_quality(bar: Progress, form: Format, photos: list[Seen], setting: Setting) -> Routed:
    """The curve of choosing nothing but how well photos are written."""
    name, codecs = f"Quality {form}", [Codec(form, quality) for quality in QUALITIES[form]]
    task = bar.add_task(f"{name}, all photos", total=len(codecs) * len(photos))
    return Routed(name, "quality", tuple(as_written(photos, codecs, setting, lambda: bar.advance(task))), 0.0)


def edge_alone(model: OnnxSegmenter, photos: list[Seen], needs: Resources, deadline: float) -> Alone:
    """Every photo answered where it was taken."""
    spent = [Spent({"edge": photo.times.edge}, None, needs.macs) for photo in photos]
    counts = tuple(photo.edge_counts for photo in photos)
    return Alone(model.card.name, counts, 0.0, spending(spent, deadline), needs)


def cloud_alone(
    model: OnnxSegmenter, photos: list[Seen], samples: Dataset, needs: Resources, setting: Setting
) -> Alone:
    """Every photo, as it came, answered by the cloud."""
    sizes, spent = [], []
    for photo, source in zip(photos, _sources(samples), strict=True):
        sent = setting.sending.send(photo.name, AS_THEY_CAME, source, photo.untouched_answer)
        _, read = timed(lambda file=source: setting.codec.decode(file))  # type: ignore[misc]
        stages = {"link": Taken(sent.computed), "cloud": read + photo.times.cloud}
        spent.append(Spent(stages, sent.emulated, needs.macs))
        sizes.append(sent.up)
    counts = tuple(photo.untouched for photo in photos)
    name = f"cloud: {model.card.name}"
    return Alone(name, counts, sum(sizes) / len(sizes), spending(spent, setting.deadline), needs)


def _sources(samples: Dataset) -> Iterator[bytes]:
    """Each labelled photo as it came; made ones as the JPEG that a camera would send."""
    paths = getattr(samples, "photos", None)
    for index, sample in enumerate(walk(samples)):
        if sample.label is not None:
            yield jpeg(sample.image) if paths is None else paths[index].read_bytes()


@dataclass(frozen=True)
class Wanted:
    """How the link is to be: `program` emulates it for at most `most` photos; computed alone without either."""

    link: link.Link
    text: str
    program: Path | None
    most: int


@contextmanager
def sending(wanted: Wanted, photos: Sequence[Seen]) -> Iterator[tuple[link.Sending, str]]:
    """(the way to the cloud while the routers are replayed, what it is in words)."""
    if wanted.program is None or not wanted.most:
        why = "no toxiproxy-server on PATH" if wanted.most else "--carried 0"
        yield link.Sending(wanted.link), f"link {wanted.text} (Mbit/s, ms): computed, not emulated ({why})"
        return
    each = _milliseconds(photos, wanted.link)
    names = link.evenly([photo.name for photo in photos], link.affordable(wanted.most, each))
    said = (
        f"link {wanted.text} (Mbit/s, ms): emulated by Toxiproxy on loopback for {len(names)} of {len(photos)} photos, "
        "each upload sent once; computed for the same uploads"
    )
    with emulation(wanted.program, wanted.link) as way:
        yield link.Sending(wanted.link, way.milliseconds, names), said


def _milliseconds(photos: Sequence[Seen], way: link.Link) -> float:
    """About what the link takes for all uploads of one photo: as it came, at every quality, and parts of it."""
    up, down = (
        sum(map(len, sizes)) / len(photos) for sizes in zip(*((p.upload, p.answer) for p in photos), strict=True)
    )
    files = 1 + sum(map(len, QUALITIES.values())) + REGION_ROUTERS * (len(TILES) - 1)
    return files * way.milliseconds(round(2 * up), round(down))
