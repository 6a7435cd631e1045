"""Training of detectors from photos with boxes."""

import time
from collections.abc import Callable

from torch import Tensor, nn

from umiak_workers.datasets.boxes import BoxDataset
from umiak_workers.models.box_lessons import BoxBatches
from umiak_workers.models.boxnet import detection_loss
from umiak_workers.models.export import normalised
from umiak_workers.models.loop import FitReport, Progress, learn
from umiak_workers.models.views import ViewFit


def fit_boxes(
    network: nn.Module,
    samples: BoxDataset,
    config: ViewFit,
    progress: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> FitReport:
    """Train a detector in place and leave it in evaluation mode.

    Raises ConfigError where there is nothing to learn from, FloatingPointError when the loss is no longer finite.
    """
    look = (config.height, config.width, config.batch, config.photometric, config.view)
    batches = BoxBatches(samples, *look, seed=config.seed)

    def loss_of(batch: tuple[Tensor, ...], step: int) -> Tensor:
        images, heat, boxes, weights = batch
        return detection_loss(network(normalised(images)), heat, boxes, weights)

    return learn(network, batches, loss_of, config, config.identity("object-detection"), progress, clock)
