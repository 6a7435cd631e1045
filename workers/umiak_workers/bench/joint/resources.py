"""What models need: parameters and operations from their graphs, memory from a process that does nothing else."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from umiak_workers.adapters.artefacts import write_artefact
from umiak_workers.bench.edge import macs, parameters, peak_megabytes
from umiak_workers.contract.errors import ArtefactError
from umiak_workers.core.model import Model

SECONDS = 120.0


@dataclass(frozen=True)
class Resources:
    """Of one end: trained numbers, multiply-accumulates per photo, megabytes of resident memory at most.

    `macs` is None where a graph does not tell its shapes, `megabytes` where the kernel does not tell them.
    """

    parameters: int
    macs: int | None
    megabytes: float | None

    def as_json(self) -> dict[str, object]:
        """Plain values; FLOPs are twice the multiply-accumulates."""
        flops = None if self.macs is None else 2 * self.macs
        return {"parameters": self.parameters, "macs": self.macs, "flops": flops, "peak_rss_mb": self.megabytes}


def resources(models: Sequence[Model], threads: int, passes: int = 1) -> Resources:
    """Of an end that answers every photo by all of these models; as `umiak bench edge` counts and measures them.

    `passes`: how often the first one looks.
    """
    with tempfile.TemporaryDirectory() as home:
        folders = [Path(home) / str(number) for number in range(len(models))]
        for folder, model in zip(folders, models, strict=True):
            write_artefact(folder, model.card, model.graph, model.weights, model.golden)
        megabytes = peak_megabytes("onnx", folders, threads, SECONDS)
    return Resources(
        sum(parameters(model) for model in models), _macs([*models, *[models[0]] * (passes - 1)]), megabytes
    )


def _macs(models: Sequence[Model]) -> int | None:
    try:
        return sum(macs(model.graph) for model in models)
    except ArtefactError:  # a shape that is open: everything else can be measured
        return None
