"""A training run under a progress bar, or as lines where nobody watches, and what it came to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar
from torch import nn

from umiak_workers.contract.errors import ConfigError
from umiak_workers.models.loop import FitReport, Progress


def ready(out: Path, threads: int | None) -> None:
    """Set the CPU threads; raises ConfigError where the output folder is taken."""
    if threads is not None:
        torch.set_num_threads(threads)
    if out.exists():
        raise ConfigError(f"{out}: exists already; a model is never overwritten, choose another folder or remove it")


@contextmanager
def watched(name: str, console: Console) -> Iterator[Callable[[Progress], None]]:
    """What to tell how far a run is."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[facts]}"))
    with Bar(*columns, console=console) as bar:
        task = bar.add_task(name, total=1.0, facts="loading data")

        def progress(now: Progress) -> None:
            facts = f"step {now.step}  loss {now.loss:.3f}  {now.seconds:.0f} s, {now.seconds_left:.0f} s to go"
            bar.update(task, completed=now.done, facts=facts)
            if not console.is_terminal and now.step % 50 == 0:
                console.print(f"{name} {now.done:.0%} {facts}", soft_wrap=True)

        yield progress


def summary(network: nn.Module, report: FitReport, photos: int, seed: int, taken: int = 0) -> str:
    """Two lines; `taken` tensors came from another model."""
    begun = f", {taken} tensors begun with" if taken else ""
    loss = f", loss {report.losses[0]:.3f} to {report.losses[-1]:.3f}" if report.losses else ""
    parameters = sum(tensor.numel() for tensor in network.parameters())
    time = f"{report.steps} steps, {report.epochs:.1f} epochs, {report.seconds:.0f} s"
    return f"{parameters} parameters{begun}; seed {seed}\n{time}, {photos} photos{loss}"
