"""Key points of a person: CloudNet and EdgeNet of the power Internet of things, small and for one person per photo.

Seed 000 (scene perception by cloud-edge collaboration), sections 4 and 5.1: both come from Detectron2's
keypoint_rcnn_R_50_FPN_3x; EdgeNet is CloudNet without the backbone's stages res4 and res5, and starts with CloudNet's
weights where it has the same layers; the key point head has eight convolutions, some of which edges share (ShareLayer)
while each adapts the others. Here the backbone is RFNet's encoder (`stages` 4 for CloudNet, 2 for EdgeNet), its
features come down a pyramid to an eighth of the input, and the head of eight 3x3 convolutions answers a heat map for
each joint at a quarter. The photo is the region of interest: boxes come from a detector, or there is one person in it.

The loss is the head's own in He, Gkioxari, Dollar and Girshick, "Mask R-CNN", 2017, section 5: cross-entropy over all
cells of a joint's map; the one right cell is a small Gaussian here.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from umiak_workers.models.blocks import UpStep, conv_bn, grown
from umiak_workers.models.rfnet import Count, Encoder

STRIDE = 4
DEPTH = 8
"""Convolutions of the head."""


class JointNetConfig(BaseModel):
    """`width` channels of the first stage, `channels` of pyramid and head, `stages` 4 (CloudNet) or 2 (EdgeNet)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    joints: Annotated[int, Field(ge=1, le=64)]
    width: Count
    channels: Count
    stages: Annotated[int, Field(ge=2, le=4)] = 4
    blocks: Count = 1


class JointNet(nn.Module):
    """Photos to NxJxH/4xW/4 logits of where each joint is."""

    LAYER_SETS = {
        "backbone": ("encoder.",),
        "pyramid": ("enter.", "steps."),
        "head-first-4": tuple(f"head.{layer}." for layer in range(DEPTH // 2)),
        "head-last-4": tuple(f"head.{layer}." for layer in range(DEPTH // 2, DEPTH)),
        "head": ("head.",),
        "answer": ("answer.",),
    }
    """ShareLayer by each reading of the seed: its 5.1 says the upper four layers, its 5.2 the first four."""

    def __init__(self, config: JointNetConfig) -> None:
        super().__init__()
        widths = [config.width * 2**stage for stage in range(config.stages)]
        self.encoder = Encoder(widths, config.blocks)
        self.enter = conv_bn(widths[-1], config.channels, 1)
        self.steps = nn.ModuleList(UpStep(width, config.channels) for width in reversed(widths[1:-1]))
        self.head = nn.ModuleList(conv_bn(config.channels, config.channels, 3) for _ in range(DEPTH))
        self.answer = nn.Conv2d(config.channels, config.joints, 3, padding=1)

    def forward(self, photos: Tensor) -> Tensor:
        """Nx3xHxW float32 normalised -> NxJxH/4xW/4 float32."""
        features = self.encoder(photos)[1:]
        found = functional.relu(self.enter(features[-1]))
        for step, skip in zip(self.steps, reversed(features[:-1]), strict=True):
            found = step(found, skip)
        for layer in self.head:
            found = functional.relu(layer(found))
        logits: Tensor = self.answer(grown(found, (2 * int(found.shape[-2]), 2 * int(found.shape[-1]))))
        return logits


def keypoint_loss(logits: Tensor, targets: Tensor, visible: Tensor) -> Tensor:
    """Mean cross-entropy over labelled joints: NxJxhxw logits, NxJxhxw targets that sum to 1, NxJ visible (0 or 1)."""
    cells = functional.log_softmax(logits.flatten(2), dim=2)
    losses = -(cells * targets.flatten(2)).sum(dim=2) * visible
    return losses.sum() / visible.sum().clamp(min=1)
