"""What `umiak bench joint` prints."""

import math

import numpy as np
from rich.table import Table

from umiak_workers.bench.joint.curve import at_bytes
from umiak_workers.bench.joint.report import BUDGET, TIGHT, Alone, Result, Routed
from umiak_workers.bench.joint.spending import STAGES, Quantiles
from umiak_workers.contract.config import Views
from umiak_workers.core.metrics import class_iou

LOOKS: dict[Views, str] = {"one": "once", "mirrored": "at the mirror image too", "closer": "and at four corners"}


def tables(result: Result) -> tuple[Table, ...]:
    """Everything that is printed, in order; tables of what was not measured are left out."""
    asked_for = (*((masks_table(result),) if result.masked else ()), routers_table(result), costs_table(result))
    carried = (link_table(result),) if result.uploads else ()
    found = (models_table(result), resources_table(result), labellings_table(result), *asked_for, *carried)
    return (*found, stages_table(result), classes_table(result))


def models_table(result: Result) -> Table:
    """Each model alone."""
    table = Table("alone", "mIoU", "95 %", "pixels right", "bytes up", "ms p50 / p95", "in time", "gain of the cloud")
    for alone in (*result.edges, result.cloud):
        low, high = alone.ends(result.seed)
        gain = "" if alone is result.cloud else "{:+.4f} [{:+.4f} {:+.4f}]".format(*result.gain(alone))
        table.add_row(
            alone.name,
            f"{alone.miou:.4f}",
            f"{low:.4f} {high:.4f}",
            f"{alone.pixel_accuracy:.4f}",
            f"{alone.bytes:.0f}",
            f"{alone.spending.latency['p50']:.0f} / {alone.spending.latency['p95']:.0f}",
            f"{alone.spending.deadline_hits:.0%}",
            gain,
        )
    return table


def resources_table(result: Result) -> Table:
    """What each model needs."""
    table = Table("alone", "parameters", "GFLOPs per photo", "peak MB", "CPU ms per photo")
    for alone in (*result.edges, result.cloud):
        needs = alone.resources
        table.add_row(
            alone.name,
            f"{needs.parameters:,}",
            _gflops(needs.macs),
            "-" if needs.megabytes is None else f"{needs.megabytes:.0f}",
            f"{alone.spending.cpu_edge + alone.spending.cpu_cloud:.1f}",
        )
    return table


def routers_table(result: Result) -> Table:
    """Each router at BUDGET of cloud-only's bytes, and its curve as a whole."""
    budget = BUDGET * result.cloud.bytes
    title = f"routed; mIoU at {budget:.0f} bytes per photo, {BUDGET:.0%} of cloud-only's"
    kept = [f"kept at {share:.0%}" for share in (BUDGET, *TIGHT)]
    table = Table("router", "chooses", "mIoU", *kept, "area to oracle", title=title)
    for routed in result.routed:
        table.add_row(
            routed.name,
            routed.kind,
            f"{at_bytes(routed.points, budget):.4f}",
            *(f"{result.kept(routed, share):.0%}" for share in (BUDGET, *TIGHT)),
            "-" if math.isnan(result.area(routed)) else f"{result.area(routed):.2f}",
        )
    return table


def costs_table(result: Result) -> Table:
    """What each router spends per photo, at the point of its curve that is nearest to BUDGET."""
    title = f"what that costs per photo, at the nearest point of each curve; ms over the {result.way} link"
    ends = ("CPU ms edge", "CPU ms cloud", "GFLOPs")
    times = ("ms mean / p50 / p95", *(("computed",) if result.uploads else ()), "in time")
    table = Table("router", "chooses", "asked", "kB", "gate CPU ms", *ends, *times, title=title)
    for routed in result.routed:
        table.add_row(*_costs(result, routed))
    return table


def _costs(result: Result, routed: Routed) -> tuple[str, ...]:
    point = result.at_budget(routed)
    spent = point.spending
    computed = (_three(spent.computed),) if result.uploads else ()
    return (
        routed.name,
        routed.kind,
        f"{point.upload_fraction:.0%}",
        f"{point.bytes / 1000:.1f}",
        f"{routed.gate_milliseconds:.2f}",
        f"{spent.cpu_edge:.1f}",
        f"{spent.cpu_cloud:.1f}",
        _gflops(spent.macs),
        _three(spent.latency),
        *computed,
        f"{spent.deadline_hits:.0%}",
    )


def link_table(result: Result) -> Table:
    """What really went over the emulated link, beside what is computed for the same uploads."""
    ways = ("computed ms mean / p50 / p95", "emulated ms mean / p50 / p95")
    table = Table("there and back", "sent", "kB up", "kB down", *ways, title=result.link)
    for kind in result.uploads:
        table.add_row(
            kind.name,
            str(kind.uploads),
            f"{kind.up / 1000:.1f}",
            f"{kind.down / 1000:.1f}",
            _three(kind.computed),
            _three(kind.emulated),
        )
    return table


def stages_table(result: Result) -> Table:
    """Milliseconds by stage, of the edge alone, the cloud alone and each router at BUDGET."""
    table = Table("ms mean / p50 / p95", *STAGES)
    alone = [(one.name, one.spending) for one in (result.edge, result.cloud)]
    for name, spent in (*alone, *((routed.title, result.at_budget(routed).spending) for routed in result.routed)):
        table.add_row(name, *(_three(spent.stages[stage]) for stage in STAGES))
    return table


def labellings_table(result: Result) -> Table:
    """How the cloud labels whole photos, one way beside the other."""
    table = Table("the cloud labels by the scores of", "labeller looks", "photos", "mIoU")
    for labelling in result.labellings:
        photos = "as they came" if labelling.codec is None else str(labelling.codec)
        looks = "" if labelling.labels == "edge" else LOOKS[labelling.views]
        table.add_row(_who(labelling.labels), looks, photos, f"{labelling.miou:.4f}")
    return table


def masks_table(result: Result) -> Table:
    """The same with masks that vote, on a share of the photos."""
    frames, (sam, *_) = result.masked[0].row.frames, [row.sam for row in result.masked if row.sam]
    title = f"masks of {sam}, asked about {frames} of {len(result.names)} photos as they came"
    table = Table(
        "labels by the scores of", "masks vote by", "masks", "mIoU", "gain", "95 % of gain", "masks", title=title
    )
    for found in result.masked:
        row = found.row
        if row.gain is None:
            table.add_row(_who(row.source), "no masks", "", f"{row.miou:.4f}", "", "", "")
        else:
            ends = f"{row.low:+.4f} {row.high:+.4f}"
            table.add_row("", found.vote, f"{row.masks:.1f}", f"{row.miou:.4f}", f"{row.gain:+.4f}", ends, row.verdict)
    return table


def classes_table(result: Result) -> Table:
    """IoU per class of every model alone."""
    everyone: tuple[Alone, ...] = (*result.edges, result.cloud)
    table = Table("class", *(alone.name for alone in everyone))
    rows = [class_iou(np.sum(alone.counts, axis=0)) for alone in everyone]
    for index, name in enumerate(result.classes):
        values = [float(row[index]) for row in rows]
        table.add_row(name, *(f"{value:.4f}" if value == value else "-" for value in values))
    return table


def _who(labels: str) -> str:
    return {"both": "both models", "edge": "the edge model"}.get(labels, f"the {labels}")


def _three(values: Quantiles) -> str:
    return " / ".join(f"{values[name]:.0f}" for name in ("mean", "p50", "p95"))


def _gflops(macs: float | None) -> str:
    return "-" if macs is None else f"{2 * macs / 1e9:.2f}"
