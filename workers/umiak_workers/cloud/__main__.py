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
from umiak_workers.contract.errors import ConfigError, Unavailable
from umiak_workers.core.model import Model
from umiak_workers.predictors.answering import answering
from umiak_workers.predictors.onnx import gpu_missing
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
    models = EdgeModels(
        state / "edge-models",
        config.model_cache_bytes,
        config.threads,
        hub.fetch_model,
        config.task,
        _graphs_on_gpu(config),
    )
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
    config = cloud.config
    log.info("ready", labeller=bool(config.labeller), sam=bool(config.sam), gpu=config.gpu)
    await asyncio.Event().wait()


def thinker(config: CloudConfig, state: Path) -> Mind:
    """The cloud's own models, each proven by its golden input.

    Raises ArtefactError, ConfigError, InvalidPrediction, Unavailable.
    """
    labeller = None
    if config.labeller is not None:
        model = _model(config, config.labeller, state / "labeller")
        labeller = answering(model, config.threads, config.task, _graphs_on_gpu(config))
        labeller.check_golden()
    sam = None if config.sam is None else _promptable(_model(config, config.sam, state / "sam"), config)
    return mind(config.task, (labeller, sam), config.fusion)


def _graphs_on_gpu(config: CloudConfig) -> bool:
    """Whether labeller and edge models run there; raises ConfigError where nothing could use the GPU asked for."""
    why = gpu_missing() if config.gpu else "not asked for"
    if config.gpu and why and config.sam is None:
        raise ConfigError(f"gpu: {why}, and there is no sam to use it; leave cloud.gpu out")
    return not why


def _promptable(model: Model, config: CloudConfig) -> Promptable:
    """Torch takes seconds to import: only a worker that has a SAM does so, and it listens meanwhile."""
    import torch

    from umiak_workers.predictors import sam

    torch.set_num_threads(config.threads)
    if config.gpu and (why := sam.gpu_missing()):
        raise ConfigError(f"gpu: {why}")
    return sam.load_sam(model, "cuda" if config.gpu else "cpu")


def _model(config: CloudConfig, source: ModelSource, into: Path) -> Model:
    artefact = modelstore.fetch(source.uri, source.digest, into, config.model_cache_bytes, MODEL_SECONDS)
    return load_model(artefact.folder, source.digest)


if __name__ == "__main__":
    process.run("cloud", main)
