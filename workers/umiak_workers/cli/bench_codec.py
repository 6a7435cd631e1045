"""`umiak bench codec`: in what form should photos go up?"""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from umiak_workers.adapters.modelstore import named_model
from umiak_workers.bench.codecs import Row, codecs, measured
from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.source import open_dataset, portable
from umiak_workers.predictors.onnx import OnnxSegmenter

console = Console()


def codec(
    data: Annotated[str, typer.Option(help="Labelled photos: a folder or a yard: URI.")],
    edge: Annotated[str, typer.Option(help="Edge model (folder, builtin: or file: URI).")] = "builtin:yard-edge",
    cloud: Annotated[str, typer.Option(help="The cloud's labeller.")] = "builtin:yard-cloud",
    quality: Annotated[
        list[int] | None,
        typer.Option(min=1, max=100, help="Qualities to try, repeatable.", show_default="three for each"),
    ] = None,
    rate: Annotated[float, typer.Option(min=0.001, help="Of the line, in Mbit/s; computed, nothing is sent.")] = 20.0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each model.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 1,
    out: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
) -> None:
    """Bytes, milliseconds and what the cloud still sees, by codec, quality and effort (5 minutes per 100 photos).

    Examples:

        umiak bench codec --data 'yard:day?seed=701&frames=60&shot=1'

        umiak bench codec --data my-photos --edge my-edge --cloud my-cloud --quality 10 --quality 40 --rate 2
    """
    samples = open_dataset(data)
    small, large = (OnnxSegmenter(named_model(name), threads) for name in (edge, cloud))
    if small.card.classes != large.card.classes:
        raise ConfigError(f"--cloud: {large.card.name} has other classes than {small.card.name}")
    steps = iter(track(range(len(samples)), "photos", console=console))
    rows = measured(small, large, samples, codecs(quality or ()), seed, lambda: next(steps, None))
    next(steps, None)  # the bar is full and leaves the table alone
    console.print(table(rows, rate))
    console.print(f"{len(samples)} photos of {portable(data)}; computed, nothing sent; {threads} threads; seed {seed}")
    if out is not None:
        facts = {"rate_mbit": rate, "threads": threads, "seed": seed, "rows": [row.as_json(rate * 1e6) for row in rows]}
        out.write_text(json.dumps(facts, indent=1))


def table(rows: list[Row], rate: float) -> Table:
    """Every way to write, by codec; mIoU of the untouched photos first."""
    shown = Table(
        *("codec", "", "kB", "write", "read", "total", "labeller", "both", "both lose (95 %)"),
        title="how photos go up, and mIoU of what comes back",
        caption=f"ms p50: write, read, and in total at {rate:g} Mbit/s; both: edge model and labeller together",
        box=SIMPLE_HEAD,
        padding=0,
    )
    for row in rows:
        if row.codec is None or row.lost is None:
            shown.add_row("untouched", *[""] * 5, f"{row.labeller:.4f}", f"{row.both:.4f}", "", end_section=True)
            continue
        ends = f"{-row.lost[0]:.3f} ({-row.lost[2]:.3f} to {-row.lost[1]:.3f})"
        figures = (f"{row.bytes / 1000:.1f}", f"{row.write_ms:.1f}", f"{row.read_ms:.1f}")
        total = f"{row.milliseconds(rate * 1e6):.1f}"
        mious = (f"{row.labeller:.4f}", f"{row.both:.4f}")
        shown.add_row(row.codec.name, str(row.codec.quality), *figures, total, *mious, ends)
    return shown
