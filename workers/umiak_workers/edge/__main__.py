"""`python -m umiak_workers.edge --config F --state DIR`: the model server of an edge pod."""

import asyncio

from umiak_workers.adapters import process, serving
from umiak_workers.adapters.configfile import load
from umiak_workers.adapters.slots import Slots
from umiak_workers.contract.config import EdgeConfig
from umiak_workers.contract.errors import ConfigError
from umiak_workers.edge.app import Edge, build
from umiak_workers.edge.metrics import EdgeMetrics
from umiak_workers.edge.pool import Pool
from umiak_workers.edge.shelf import Shelf
from umiak_workers.predictors.onnx import gpu_missing

WORKERS = 2
"""One photo is decoded or encoded while another one is in the model."""
MOST_WAITING = 16
LOOK_SECONDS = 0.25


async def main(given: process.Arguments, stop: asyncio.Event) -> None:
    """Listen first, then load: a server without a model is live, not ready."""
    state = given.state_folder()
    loaded = load(EdgeConfig, given.config, state, "edge")
    if loaded.config.gpu and (why := gpu_missing()):
        raise ConfigError(f"gpu: {why}; use an edge image with onnxruntime-gpu, or leave edge.runtime.gpu out")
    listener = serving.bind(loaded.endpoints, "edge")
    shelf = Shelf(Slots(state), loaded.config.threads, loaded.config.task, loaded.config.gpu)
    pool = Pool(WORKERS, MOST_WAITING)
    app = build(Edge(loaded.config, shelf, pool, EdgeMetrics(pool)))
    try:
        await serving.until_stopped(stop, serving.serve(app, listener, stop), _wait_for_model(shelf))
    finally:
        pool.close()


async def _wait_for_model(shelf: Shelf) -> None:
    """Load `current` at start, or as soon as the agent has put one there."""
    while True:
        await asyncio.to_thread(shelf.take_current)
        await asyncio.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    process.run("edge", main)
