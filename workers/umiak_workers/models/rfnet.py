"""RFNet's RGB branch at any width: the edge's small network and the cloud's larger labeller are the same code.

The shape follows seed 001, section 2 (RFNet): a ResNet-18-type encoder, spatial pyramid pooling at its end and a
decoder of three up-sampling steps fed by skips, answering at a quarter of the input's size.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from umiak_workers.models.blocks import PyramidPooling, Residual, UpStep, conv_bn

Count = Annotated[int, Field(ge=1, le=1024)]


class RFNetConfig(BaseModel):
    """`width` = channels of the first stage (ResNet-18 has 64), `blocks` = residual blocks per stage (it has 2)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    classes: Count
    width: Count
    decoder: Count
    """Channels of the decoder."""
    blocks: Count = 2


class RFNet(nn.Module):
    """Photos to logits: Nx3xHxW float32 normalised -> NxCxH/4xW/4 float32."""

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
        self.encoder = Encoder(widths, config.blocks)
        self.pyramid = PyramidPooling(widths[3], config.decoder)
        self.steps = nn.ModuleList(UpStep(width, config.decoder) for width in reversed(widths[:3]))
        self.head = nn.Conv2d(config.decoder, config.classes, 3, padding=1)

    def forward(self, photos: Tensor) -> Tensor:
        """Logits at a quarter of the size."""
        *skips, last = self.encoder(photos)
        features = self.pyramid(last)
        for step, skip in zip(self.steps, reversed(skips), strict=True):
            features = step(features, skip)
        logits: Tensor = self.head(features)
        return logits


class Encoder(nn.Module):
    """A 7x7 stem with pooling and four residual stages; answers the features of each stage (1/4, 1/8, 1/16, 1/32)."""

    def __init__(self, widths: list[int], blocks: int) -> None:
        super().__init__()
        self.stem = conv_bn(3, widths[0], 7, stride=2)
        stages = []
        inputs = widths[0]
        for number, width in enumerate(widths):
            first = Residual(inputs, width, 2 if number else 1)
            stages.append(nn.Sequential(first, *(Residual(width, width, 1) for _ in range(blocks - 1))))
            inputs = width
        self.stages = nn.ModuleList(stages)

    def forward(self, photos: Tensor) -> list[Tensor]:
        """Features of the four stages."""
        features = functional.max_pool2d(functional.relu(self.stem(photos)), 3, stride=2, padding=1)
        answers = []
        for stage in self.stages:
            features = stage(features)
            answers.append(features)
        return answers
