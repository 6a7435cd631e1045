"""`umiak bench`: measurements that print a table and, with `--json`, a file."""

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from umiak_workers.adapters.modelstore import named_model
from umiak_workers.bench.fusion import FusionBench, Row, sweep
from umiak_workers.bench.yard_recovery import recovery
from umiak_workers.cli.bench_classification import classification
from umiak_workers.cli.bench_codec import codec
from umiak_workers.cli.bench_detection import detection
from umiak_workers.cli.bench_edge import edge
from umiak_workers.cli.bench_joint import joint
from umiak_workers.cli.bench_keypoints import keypoints
from umiak_workers.cli.bench_sam import sam
from umiak_workers.contract.config import Fusion
from umiak_workers.datasets.source import open_dataset
from umiak_workers.predictors.onnx import OnnxSegmenter
from umiak_workers.predictors.sam import load_sam

app = typer.Typer(
    help="Measure models, routing, uploads and learning: tables, and files for machines.", no_args_is_help=True
)
console = Console()
UNSEEN = ("yard:day?seed=701&frames=60&shot=1", "yard:dusk?seed=702&frames=60&shot=1")
"""Seeds that no built-in model was trained, validated or tuned on."""


@app.callback()
def bench() -> None:
    """Measure models, routing, uploads and learning: tables, and files for machines."""


app.command("learning")(recovery)
app.command("classification")(classification)
app.command("codec")(codec)
app.command("detection")(detection)
app.command("edge")(edge)
app.command("joint")(joint)
app.command("keypoints")(keypoints)
app.command("sam")(sam)


@app.command()
def fusion(
    data: Annotated[list[str] | None, typer.Option(help="Labelled photos, repeatable; default: unseen yards.")] = None,
    edge: Annotated[str, typer.Option(help="Edge model (builtin: or file: URI).")] = "builtin:yard-edge",
    labeller: Annotated[str, typer.Option(help="Labeller; empty for none.")] = "builtin:yard-cloud",
    sam: Annotated[str, typer.Option(help="Promptable model.")] = "builtin:yard-sam",
    try_all: Annotated[
        bool, typer.Option("--sweep", help="Try many rules, best first, to choose defaults by.")
    ] = False,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 1,
    out: Annotated[Path | None, typer.Option("--json", help="Write every row and time to this file.")] = None,
) -> None:
    """Labels by edge model, labeller and both, alone and with masks that vote (about 2 minutes per 100 frames).

    Examples:

        umiak bench fusion

        umiak bench fusion --sweep --data 'yard:dusk?seed=602&frames=20&shot=1' --json rules.json
    """
    torch.set_num_threads(threads)
    models = [OnnxSegmenter(named_model(uri), threads) for uri in (edge, labeller) if uri]
    rules = tuple(sweep(Fusion())) if try_all else (Fusion(),)
    test = FusionBench(models[0], models[1] if labeller else None, load_sam(named_model(sam)), rules, seed)
    rows: list[Row] = []
    for uri in data or UNSEEN:
        samples = open_dataset(uri)
        steps = iter(track(range(len(samples)), uri, console=console))
        rows += test.run(uri, samples, lambda steps=steps: next(steps, None))  # type: ignore[misc]
    console.print(table(rows, 12 if try_all else len(rows)))
    console.print(f"milliseconds per frame (p50, {threads} threads): {test.watch.medians()}")
    if out is not None:
        facts = {"rows": [row.as_json() for row in rows], "milliseconds": test.watch.medians(), "threads": threads}
        out.write_text(json.dumps(facts, indent=1))


def table(rows: list[Row], most: int) -> Table:
    """Pixel labels alone, then the `most` best rules, per data set and source."""
    shown = Table("data", "labels by", "masks' vote", "masks", "mIoU", "gain", "95 % of gain")
    for data, source in dict.fromkeys((row.data, row.source) for row in rows):
        mine = [row for row in rows if (row.data, row.source) == (data, source)]
        alone = next(row for row in mine if row.fusion is None)
        shown.add_row(data, source, "-", "-", f"{alone.miou:.4f}", "", "", end_section=len(mine) == 1)
        best = sorted((row for row in mine if row.fusion is not None), key=lambda row: -row.miou)[:most]
        for row in best:
            ends = f"{row.low:+.4f} {row.high:+.4f}"
            shown.add_row("", "", _said(row), f"{row.masks:.1f}", f"{row.miou:.4f}", f"{row.gain:+.4f}", ends)
    return shown


def _said(row: Row) -> str:
    rule = row.fusion or Fusion()
    return f"{rule.vote} margin {rule.margin:g} quality {rule.minimum_quality:g} certain {rule.certain:g}"
