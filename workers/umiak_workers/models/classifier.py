"""A small residual classifier: ResNet's basic blocks, then the mean and the maximum of each channel, then one layer.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2, with fewer and narrower stages. The
maximum stands beside the mean because what decides (a person in a yard) may be a few pixels of the photo.
"""

from typing import Annotated, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from umiak_workers.models.blocks import Residual, conv_bn


class ClassifierConfig(BaseModel):
    """`width`: channels of the first stage, doubled by each later one; `blocks`: residual blocks of a stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: Annotated[int, Field(ge=2, le=255)]
    width: Annotated[int, Field(ge=4, le=256)] = 8
    stages: Annotated[int, Field(ge=1, le=6)] = 4
    blocks: Annotated[int, Field(ge=1, le=8)] = 1


class Classifier(nn.Module):
    """Nx3xHxW float32, normalised -> NxC logits."""

    LAYER_SETS: ClassVar[dict[str, tuple[str, ...]]] = {
        "encoder": ("stem.", "stages."),
        "first-stage": ("stem.", "stages.0."),
        "head": ("head.",),
    }

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.stem = conv_bn(3, config.width, 3, stride=2)
        self.stages = nn.ModuleList()
        channels = config.width
        for stage in range(config.stages):
            wider = config.width << stage
            first = Residual(channels, wider, 1 if stage == 0 else 2)
            self.stages.append(nn.Sequential(first, *(Residual(wider, wider, 1) for _ in range(config.blocks - 1))))
            channels = wider
        self.head = nn.Linear(2 * channels, config.classes)

    def forward(self, photo: Tensor) -> Tensor:
        """Logits of each class."""
        features = functional.relu(self.stem(photo))
        for stage in self.stages:
            features = stage(features)
        logits: Tensor = self.head(torch.cat((features.mean(dim=(2, 3)), features.amax(dim=(2, 3))), dim=1))
        return logits
