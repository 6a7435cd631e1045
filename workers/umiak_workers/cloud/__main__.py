"""`python -m umiak_workers.cloud --config F [--state DIR]`: answers the hard examples of one JointInference."""

import asyncio
import tempfile
from functools import partial
from pathlib import Path

import structlog

from umiak_workers.adapters import modelstore, process, serving
from umiak_workers.adapters.artefacts import load_model
from umiak_workers.adapters.auth import read_key
from umiak_workers.adapters.configfile import Loaded, load
from umiak_workers.adapters.hub_client import HubClient
from umiak_workers.cloud.app import Cloud, build
from umiak_workers.cloud.edge_models import EdgeModels
from umiak_workers.cloud.metrics import CloudMetrics
from umiak_workers.cloud.minds import Mind, mind
from umiak_workers.cloud.store import Store
from umiak_workers.contract.config import RESOURCE_KEY_FILE, CloudConfig, ModelSource
from umiak_workers.contract.endpoints import HUB
from umiak_workers.contract.errors import Unavailable
from umiak_workers.core.model import Model
from umiak_workers.predictors.answering import answering
from umiak_workers.predictors.promptable import Promptable

HUB_SECONDS = 5.0
"""Longest step of any exchange with the hub."""
MODEL_SECONDS = 30.0
"""Longest step of fetching a model by URI."""
AGAIN_SECONDS = 2.0
log = structlog.get_logger()


async def main(given: process.Arguments, stop: asyncio.Event) -> None:
    """Listen first, then load: live at once, ready when every model has answered its golden input."""
    loaded = load(CloudConfig, given.config, given.state, "cloud")
    key = read_key(loaded.folder / RESOURCE_KEY_FILE)
    listener = serving.bind(loaded.endpoints, "cloud")
    with tempfile.TemporaryDirectory(prefix="umiak-cloud-") as temporary:
        state = given.state_folder() if given.state else Path(temporary)
        with HubClient(loaded.endpoints.resolve(HUB), loaded.token, HUB_SECONDS, loaded.trust) as hub:
            cloud = wired(loaded, key, hub, state)
            try:
                serve = serving.serve(build(cloud), listener, stop)
                await serving.until_stopped(stop, serve, _load(cloud, state))
            finally:
                cloud.close()


def wired(loaded: Loaded[CloudConfig], key: bytes, hub: HubClient, state: Path) -> Cloud:
    """A cloud worker that has no models of its own yet."""
    config = loaded.config
    models = EdgeModels(state / "edge-models", config.model_cache_bytes, config.threads, hub.fetch_model, config.task)
    store = Store(partial(hub.put_sample, config.namespace, config.resource))
    return Cloud(config, key, models, store, CloudMetrics())


async def _load(cloud: Cloud, state: Path) -> None:
    """Load labeller and SAM, again and again while their source is away; a model that is wrong ends the process."""
    while cloud.desk.mind is None:
        try:
            cloud.desk.mind = await asyncio.to_thread(thinker, cloud.config, state)
        except Unavailable as error:
            cloud.reason = str(error)
            log.warning("a model's source is away", reason=cloud.reason)
            await asyncio.sleep(AGAIN_SECONDS)
    log.info("ready", labeller=bool(cloud.config.labeller), sam=bool(cloud.config.sam))
    await asyncio.Event().wait()


def thinker(config: CloudConfig, state: Path) -> Mind:
    """The cloud's own models, each proven by its golden input; raises ArtefactError, InvalidPrediction, Unavailable."""
    labeller = None
    if config.labeller is not None:
        labeller = answering(_model(config, config.labeller, state / "labeller"), config.threads, config.task)
        labeller.check_golden()
    sam = None if config.sam is None else _promptable(_model(config, config.sam, state / "sam"), config.threads)
    return mind(config.task, (labeller, sam), config.fusion)


def _promptable(model: Model, threads: int) -> Promptable:
    """Torch takes seconds to import: only a worker that has a SAM does so, and it listens meanwhile."""
    import torch

    from umiak_workers.predictors.sam import load_sam

    torch.set_num_threads(threads)
    return load_sam(model)


def _model(config: CloudConfig, source: ModelSource, into: Path) -> Model:
    artefact = modelstore.fetch(source.uri, source.digest, into, config.model_cache_bytes, MODEL_SECONDS)
    return load_model(artefact.folder, source.digest)


if __name__ == "__main__":
    process.run("cloud", main)
