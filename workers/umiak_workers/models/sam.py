"""Promptable segmenters from the parts of the `segment-anything` package: a small one, and the published sizes.

Seed 001, 2.1: an image encoder makes one embedding per photo, a prompt encoder embeds points and boxes, a mask decoder
joins both into masks with a predicted quality. A card's architecture `{"name": "sam", "config": {...}}` either names a
published size (`{"variant": "vit_b"}`) or gives every size of a small one.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial

import torch
from pydantic import JsonValue, TypeAdapter, ValidationError
from torch import Tensor, nn

from umiak_workers.contract.errors import ArtefactError
from umiak_workers.contract.wire import explain
from umiak_workers.models.sam_parts import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
    sam_model_registry,
)

PUBLISHED = ("vit_b", "vit_l", "vit_h")
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""How every size wants pixels normalised: (0..255 - MEAN) / STD per channel."""


@dataclass(frozen=True)
class SamConfig:
    """Sizes of a small segmenter; `image` = side of the square that a photo is fitted into, in pixels."""

    image: int
    patch: int
    width: int
    depth: int
    heads: int
    window: int
    """Tokens per side of an attention window."""
    global_layers: tuple[int, ...]
    """Layers of the image encoder that attend to the whole photo."""
    embedding: int
    """Channels of the image and prompt embeddings."""
    decoder_depth: int
    decoder_heads: int
    decoder_mlp: int
    quality_hidden: int

    def __post_init__(self) -> None:
        if self.image % self.patch or self.width % self.heads:
            raise ValueError("image must be a multiple of patch, width one of heads")
        if self.embedding % (2 * self.decoder_heads) or self.embedding % 8:
            raise ValueError("embedding must be a multiple of 8 and of twice decoder_heads")

    def to_json(self) -> dict[str, JsonValue]:
        """What a card holds."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


SMALL = SamConfig(
    image=256,
    patch=16,
    width=128,
    depth=4,
    heads=4,
    window=8,
    global_layers=(1, 3),
    embedding=64,
    decoder_depth=2,
    decoder_heads=2,
    decoder_mlp=256,
    quality_hidden=64,
)
"""For photos of a few hundred pixels on a CPU: about 1.1 million parameters."""


def build_sam(config: Mapping[str, JsonValue]) -> Sam:
    """A fresh segmenter from a card's config; raises ArtefactError that names the field."""
    if "variant" in config:
        return _published(config)
    try:
        return assemble(TypeAdapter(SamConfig).validate_json(json.dumps(dict(config)), strict=True, extra="forbid"))
    except ValidationError as error:
        raise ArtefactError(f"architecture sam: {explain(error)}") from error


def _published(config: Mapping[str, JsonValue]) -> Sam:
    if set(config) != {"variant"} or config["variant"] not in PUBLISHED:
        raise ArtefactError(f"architecture sam: variant is one of {', '.join(PUBLISHED)} and stands alone")
    return sam_model_registry[str(config["variant"])](checkpoint=None)


def assemble(config: SamConfig) -> Sam:
    """The three parts at the given sizes; one mask per prompt, no multimask outputs."""
    side = config.image // config.patch
    encoder = ImageEncoderViT(
        img_size=config.image,
        patch_size=config.patch,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=config.heads,
        mlp_ratio=4,
        out_chans=config.embedding,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=config.window,
        global_attn_indexes=config.global_layers,
    )
    prompts = PromptEncoder(
        embed_dim=config.embedding,
        image_embedding_size=(side, side),
        input_image_size=(config.image, config.image),
        mask_in_chans=16,
    )
    decoder = MaskDecoder(
        num_multimask_outputs=0,
        transformer=TwoWayTransformer(
            depth=config.decoder_depth,
            embedding_dim=config.embedding,
            mlp_dim=config.decoder_mlp,
            num_heads=config.decoder_heads,
        ),
        transformer_dim=config.embedding,
        iou_head_depth=3,
        iou_head_hidden_dim=config.quality_hidden,
    )
    return Sam(encoder, prompts, decoder, list(MEAN), list(STD)).eval()


def aligned(sam: Sam) -> Sam:
    """Make a fresh segmenter look, from its first step on, at the places it is asked about; returns it.

    Queries and keys of the attention between prompts and photo start with one common projection, so that their product
    is a kernel of the positional encoding: largest where point and pixel coincide. With independent projections a
    small model spends most of a short training on finding that out.
    """
    transformer = sam.mask_decoder.transformer
    crossings = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        crossings += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    with torch.no_grad():
        for attention in crossings:
            nn.init.orthogonal_(attention.q_proj.weight).mul_(2.0)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            nn.init.zeros_(attention.q_proj.bias)
            nn.init.zeros_(attention.k_proj.bias)
    return sam


@dataclass(frozen=True)
class Asked:
    """Prompts of one photo that share a form, in pixels of the model's square.

    `points` BxPx2 (x, y) with `inside` BxP (1 in the thing, 0 out of it) or neither; `boxes` Bx4 (left, top, right,
    bottom) or none. All float32.
    """

    points: Tensor | None
    inside: Tensor | None
    boxes: Tensor | None


def decode(sam: Sam, embedding: Tensor, asked: Asked) -> tuple[Tensor, Tensor]:
    """(mask logits BxSxS at a quarter of a token, predicted IoU B) of B prompts on one embedding 1xExhxw.

    Of a published size's three alternatives for a lone point the one with the best predicted IoU is taken; a box, or
    several points, leave no doubt about what is meant (Segment Anything, section 3 and appendix A).
    """
    points = None if asked.points is None else (asked.points, asked.inside)
    sparse, dense = sam.prompt_encoder(points=points, boxes=asked.boxes, masks=None)
    alone = asked.boxes is None and asked.points is not None and asked.points.shape[1] == 1
    several = alone and sam.mask_decoder.num_multimask_outputs > 0
    masks, quality = sam.mask_decoder(
        image_embeddings=embedding,
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=several,
    )
    best = quality.argmax(dim=1)
    rows = torch.arange(len(best), device=best.device)
    return masks[rows, best], quality[rows, best]


def parameters(module: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(item.numel() for item in module.parameters())


def geometry(side: int, height: int, width: int) -> tuple[int, int]:
    """(height, width) in pixels that a photo takes in the model's square: longest side fitted, the rest is padding."""
    scale = side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
