"""A small anchor-free detector: RFNet's parts with a head for middles, places and sizes of things.

Zhou, Wang and Kraehenbuehl, "Objects as Points", 2019 (CenterNet): each class has a heat map at a quarter of the
input, whose local maxima are the middles of things. Places and sizes are learnt around each middle, not at it alone,
with a Gaussian of the box's own shape and the overlap of the boxes for a loss, as Liu, Zheng, Xu, Yang, Yan and Cai,
"Training-Time-Friendly Network for Real-Time Object Detection", 2020: with few photos it learns several times sooner.
"""

from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from umiak_workers.models.blocks import PyramidPooling, UpStep
from umiak_workers.models.rfnet import Count, Encoder

STRIDE = 4
PLACES = 4
"""Numbers beside the classes at each cell: offset right and down (cells), logarithm of width and height (cells)."""
RARE = -2.19
"""Bias that starts every cell at a probability of 0.1 (Lin et al., "Focal Loss for Dense Object Detection", 2017)."""


class BoxNetConfig(BaseModel):
    """`width` channels of the first of `stages`, `decoder` channels after the pyramid."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    classes: Annotated[int, Field(ge=1, le=255)]
    width: Count
    decoder: Count
    blocks: Count = 1
    stages: Annotated[int, Field(ge=2, le=4)] = 3


class BoxNet(nn.Module):
    """Photos to Nx(C+4)xH/4xW/4: C heat map logits, then offsets and log sizes.

    The encoder's tensors are named as an RFNet's of the same width, so that one can start with the other's.
    """

    LAYER_SETS = {"encoder": ("encoder.",), "pyramid": ("pyramid.",), "decoder": ("steps.",), "head": ("head.",)}

    def __init__(self, config: BoxNetConfig) -> None:
        super().__init__()
        widths = [config.width * 2**stage for stage in range(config.stages)]
        middle = max(8, config.decoder // 2)
        self.encoder = Encoder(widths, config.blocks)
        self.pyramid = PyramidPooling(widths[-1], config.decoder, middle, max(4, middle // 4), (4, 2, 1))
        self.steps = nn.ModuleList(UpStep(width, config.decoder) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(config.decoder, config.classes + PLACES, 3, padding=1)
        start = torch.tensor([RARE] * config.classes + [0.0, 0.0, 1.0, 1.0])
        self.head.bias = nn.Parameter(start)

    def forward(self, photos: Tensor) -> Tensor:
        """Nx3xHxW float32 normalised -> Nx(C+4)xH/4xW/4 float32."""
        *skips, last = self.encoder(photos)
        features = self.pyramid(last)
        for step, skip in zip(self.steps, reversed(skips), strict=True):
            features = step(features, skip)
        answers: Tensor = self.head(features)
        return answers


def detection_loss(answers: Tensor, heat: Tensor, boxes: Tensor, weights: Tensor) -> Tensor:
    """Focal loss of the heat maps plus 2 times the overlap loss of the boxes.

    `answers` Nx(C+4)xhxw, `heat` NxCxhxw float32 in [0, 1], `boxes` Nx4xhxw float32 (left, top, right, bottom; cells)
    and `weights` Nxhxw float32, which sum to 1 over each labelled thing.
    """
    classes = heat.shape[1]
    things = (heat == 1).sum().clamp(min=1)
    spread = generalised_overlap(placed(answers[:, classes:]), boxes)
    return focal_loss(answers[:, :classes], heat) / things + 2 * ((1 - spread) * weights).sum() / things


def focal_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """Equation 1 of CenterNet with alpha 2 and beta 4, summed: easy cells and cells near a middle count less."""
    logits = logits.clamp(-12, 12)
    surely, surely_not = nn.functional.logsigmoid(logits), nn.functional.logsigmoid(-logits)
    probability = torch.sigmoid(logits)
    middle = heat == 1
    hit = (1 - probability) ** 2 * surely
    miss = (1 - heat) ** 4 * probability**2 * surely_not
    return -torch.where(middle, hit, miss).sum()


def placed(answers: Tensor) -> Tensor:
    """Nx4xhxw offsets and log sizes -> Nx4xhxw left, top, right, bottom in cells."""
    rows = torch.arange(answers.shape[2], dtype=answers.dtype)[:, None] + 0.5
    columns = torch.arange(answers.shape[3], dtype=answers.dtype)[None] + 0.5
    x, y = columns + answers[:, 0], rows + answers[:, 1]
    width, height = answers[:, 2].clamp(-4, 7).exp(), answers[:, 3].clamp(-4, 7).exp()
    return torch.stack((x - width / 2, y - height / 2, x + width / 2, y + height / 2), dim=1)


def generalised_overlap(first: Tensor, second: Tensor) -> Tensor:
    """GIoU in [-1, 1] of boxes on axis 1 (Rezatofighi et al., "Generalized Intersection over Union", 2019)."""
    low, high = torch.maximum(first[:, :2], second[:, :2]), torch.minimum(first[:, 2:], second[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    union = sum((one[:, 2:] - one[:, :2]).clamp(min=0).prod(dim=1) for one in (first, second)) - shared
    hull = (torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2])).prod(dim=1)
    return shared / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)
