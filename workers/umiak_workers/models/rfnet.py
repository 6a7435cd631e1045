"""RFNet at any width: the edge's small network and the cloud's larger labeller are the same code.

Sun, Yang, Hu, Hu and Wang, "Real-time Fusion Network for RGB-D Semantic Segmentation Incorporating Unexpected Obstacle
Detection for Road-driving Images", 2020; seed 001, section 2. A ResNet-18-type encoder for the photo and, with
`depth`, one for a depth map whose features complement it at every stage; spatial pyramid pooling; a decoder of three
up-sampling steps fed by the photo's skips, answering at a quarter of the input's size.

Ours normalises after each convolution where the published code normalises before the pyramid's and the decoder's, and
feeds the decoder skips after their ReLU instead of before it; the numbers of channels are the same.
"""

from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from umiak_workers.contract.errors import ArtefactError
from umiak_workers.models.blocks import Complement, PyramidPooling, Residual, UpStep, conv_bn

Count = Annotated[int, Field(ge=1, le=1024)]


class Pyramid(BaseModel):
    """Spatial pyramid pooling: `middle` channels, `level` more for each of `grids` (cells per side)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    middle: Count
    level: Count
    grids: Annotated[tuple[Count, ...], Field(min_length=1, max_length=8, strict=False)]


class RFNetConfig(BaseModel):
    """`width` = channels of the first stage (ResNet-18 has 64), `blocks` = residual blocks per stage (it has 2)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    classes: Count
    width: Count
    decoder: Count
    """Channels of the decoder."""
    blocks: Count = 2
    depth: bool = False
    """A second branch for a depth map, fused with the photo's after every stage."""
    standardise: bool = False
    """Photos enter with their own mean and contrast taken off, so that one at dusk is less unlike one at noon."""
    pyramid: Pyramid | None = None
    """Left out, half the decoder's channels, an eighth for each of 4x4, 2x2 and 1x1 cells."""

    def pooling(self) -> Pyramid:
        """The pyramid's numbers."""
        middle = max(8, self.decoder // 2)
        return self.pyramid or Pyramid(middle=middle, level=max(4, middle // 4), grids=(4, 2, 1))


def published(classes: int, depth: bool = True) -> RFNetConfig:
    """RFNet with the widths of its paper's code: 23.7 M parameters with depth."""
    pyramid = Pyramid(middle=128, level=42, grids=(8, 4, 2))
    return RFNetConfig(classes=classes, width=64, decoder=128, blocks=2, depth=depth, pyramid=pyramid)


class RFNet(nn.Module):
    """Photos, and with `depth` depth maps, to logits at a quarter of their size."""

    LAYER_SETS = {
        "encoder": ("encoder.",),
        "first-stage": ("encoder.stem.", "encoder.stages.0."),
        "pyramid": ("pyramid.",),
        "decoder": ("steps.",),
        "head": ("head.",),
    }

    def __init__(self, config: RFNetConfig) -> None:
        super().__init__()
        widths = [config.width * 2**stage for stage in range(4)]
        pooling = config.pooling()
        self.encoder = Encoder(widths, config.blocks)
        self.pyramid = PyramidPooling(widths[3], config.decoder, pooling.middle, pooling.level, pooling.grids)
        self.steps = nn.ModuleList(UpStep(width, config.decoder) for width in reversed(widths[:3]))
        self.head = nn.Conv2d(config.decoder, config.classes, 3, padding=1)
        self.depth = DepthBranch(widths, config.blocks) if config.depth else None
        self.standardise = config.standardise

    def forward(self, photos: Tensor, depth: Tensor | None = None) -> Tensor:
        """Nx3xHxW float32 normalised, and Nx1xHxW float32 where there is a depth branch -> NxCxH/4xW/4 float32.

        Raises ArtefactError for a depth map too many or too few.
        """
        *skips, last = self._features(standardised(photos) if self.standardise else photos, depth)
        features = self.pyramid(last)
        for step, skip in zip(self.steps, reversed(skips), strict=True):
            features = step(features, skip)
        logits: Tensor = self.head(features)
        return logits

    def _features(self, photos: Tensor, depth: Tensor | None) -> list[Tensor]:
        if (self.depth is None) != (depth is None):
            needs = "has no depth branch" if self.depth is None else "has a depth branch and needs a depth map"
            raise ArtefactError(f"architecture rfnet: this network {needs}")
        if self.depth is None or depth is None:
            answers: list[Tensor] = self.encoder(photos)
            return answers
        return self.depth.complemented(self.encoder, photos, depth)


def standardised(photos: Tensor) -> Tensor:
    """NxCxHxW with mean 0 and variance 1 over each photo; channels keep their balance. One of a single grey is 0."""
    centred = photos - photos.mean(dim=(1, 2, 3), keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(dim=(1, 2, 3), keepdim=True) + 1e-4)


class Encoder(nn.Module):
    """A 7x7 stem with pooling and four residual stages; answers the features of each stage (1/4, 1/8, 1/16, 1/32)."""

    def __init__(self, widths: list[int], blocks: int, channels: int = 3) -> None:
        super().__init__()
        self.stem = conv_bn(channels, widths[0], 7, stride=2)
        stages = []
        inputs = widths[0]
        for number, width in enumerate(widths):
            first = Residual(inputs, width, 2 if number else 1)
            stages.append(nn.Sequential(first, *(Residual(width, width, 1) for _ in range(blocks - 1))))
            inputs = width
        self.stages = nn.ModuleList(stages)

    def begin(self, pictures: Tensor) -> Tensor:
        """What the first stage gets, at a quarter of the size."""
        return functional.max_pool2d(functional.relu(self.stem(pictures)), 3, stride=2, padding=1)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Features of the four stages."""
        features = self.begin(pictures)
        answers = []
        for stage in self.stages:
            features = stage(features)
            answers.append(features)
        return answers


class DepthBranch(nn.Module):
    """An encoder for depth maps, and what joins it to the photo's after every stage.

    The joined features go on in the photo's encoder; depth keeps to its own.
    """

    def __init__(self, widths: list[int], blocks: int) -> None:
        super().__init__()
        self.encoder = Encoder(widths, blocks, channels=1)
        self.joints = nn.ModuleList(Complement(width) for width in widths)

    def complemented(self, photo_encoder: Encoder, photos: Tensor, depth: Tensor) -> list[Tensor]:
        """The photo's features of the first three stages (the decoder's skips) and the joined ones of the last."""
        photo, deep = photo_encoder.begin(photos), self.encoder.begin(depth)
        answers = []
        for stage, deep_stage, joint in zip(photo_encoder.stages, self.encoder.stages, self.joints, strict=True):
            photo, deep = stage(photo), deep_stage(deep)
            answers.append(photo)
            photo = joint(photo, deep)
        return [*answers[:-1], photo]
