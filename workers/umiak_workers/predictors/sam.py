"""A promptable segmenter on torch: one embedding per photo, then as many masks as there are questions.

numpy in, numpy out; the parts of the `segment-anything` package do the work (seed 001, 2.1).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow

from umiak_workers.contract.errors import ArtefactError, InvalidInput, InvalidPrediction
from umiak_workers.core.masks import Prompt
from umiak_workers.core.model import Golden, Model
from umiak_workers.models.build import rebuild
from umiak_workers.models.sam import Asked, decode, geometry
from umiak_workers.models.sam_parts import Sam
from umiak_workers.predictors.promptable import Embedding, Masks

Image = NDArray[np.uint8]
AT_ONCE = 32
"""Prompts decoded together; more would only take more memory."""


class SamSegmenter:
    """A `Sam` of any size, ready to be asked. Not safe for use from several threads at once.

    `device` is torch's name of where it computes; embeddings and masks are handed over in main memory.
    """

    def __init__(self, sam: Sam, digest: str, device: str = "cpu") -> None:
        self.digest = digest
        self._device = torch.device(device)
        self._sam = sam.eval().to(self._device)
        self._side = int(sam.image_encoder.img_size)

    def encode(self, image: Image) -> Embedding:
        """Embed one HxWx3 uint8 photo; raises InvalidInput for another array, InvalidPrediction if it is not finite."""
        return self.encode_all((image,))[0]

    @torch.inference_mode()
    def encode_all(self, images: Sequence[Image]) -> tuple[Embedding, ...]:
        """Embed photos of any sizes in one batch, in their order; raises as `encode` does, for all of them at once."""
        features = self._sam.image_encoder(self._pixels(images)).cpu().numpy()
        if not np.isfinite(features).all():
            raise InvalidPrediction("the image embedding is not finite")
        return tuple(
            Embedding(features[row : row + 1], image.shape[0], image.shape[1]) for row, image in enumerate(images)
        )

    def _pixels(self, images: Sequence[Image]) -> torch.Tensor:
        return torch.stack([self._sam.preprocess(self._fitted(image).to(self._device)) for image in images])

    def _fitted(self, image: Image) -> torch.Tensor:
        """3xhxw float32 (0..255) of a photo whose longest side is the model's."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise InvalidInput(f"a photo is HxWx3 uint8, this is {image.shape} {image.dtype}")
        height, width = geometry(self._side, image.shape[0], image.shape[1])
        fitted = np.array(Pillow.fromarray(image).resize((width, height), Pillow.Resampling.BILINEAR))
        return torch.from_numpy(fitted).permute(2, 0, 1).float()

    @torch.inference_mode()
    def logits(self, embedding: Embedding, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """NxSxS mask logits of the model's own square, for prompts of one form."""
        asked = self._scaled(prompts, embedding)
        low: NDArray[np.float32] = decode(self._sam, self._features(embedding), asked)[0].cpu().numpy()
        return low

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: Sequence[Prompt], height: int, width: int) -> Masks:
        """Answer prompts (pixels of the photo) with masks of `height` x `width`, whatever the photo's own size is."""
        masks = np.zeros((len(prompts), height, width), dtype=bool)
        quality = np.zeros(len(prompts), dtype=np.float32)
        features = self._features(embedding)
        for rows in _alike(prompts):
            asked = self._scaled([prompts[row] for row in rows], embedding)
            logits, guess = decode(self._sam, features, asked)
            fitted = geometry(self._side, embedding.height, embedding.width)
            grown = self._sam.postprocess_masks(logits[:, None], fitted, (height, width))[:, 0]
            masks[rows] = (grown > self._sam.mask_threshold).cpu().numpy()
            quality[rows] = guess.cpu().numpy()
        if not np.isfinite(quality).all():
            raise InvalidPrediction("the predicted quality of a mask is not finite")
        return Masks(masks, np.clip(quality, 0, 1))

    def _features(self, embedding: Embedding) -> torch.Tensor:
        return torch.from_numpy(embedding.features).to(self._device)

    def _scaled(self, prompts: Sequence[Prompt], embedding: Embedding) -> Asked:
        scale = self._side / max(embedding.height, embedding.width)
        points = torch.tensor([prompt.points for prompt in prompts], dtype=torch.float32, device=self._device) * scale
        boxes = [prompt.box for prompt in prompts if prompt.box is not None]
        some = points.numel() > 0
        return Asked(
            points if some else None,
            torch.ones(points.shape[:2], device=self._device) if some else None,
            torch.tensor(boxes, dtype=torch.float32, device=self._device) * scale if boxes else None,
        )


def _alike(prompts: Sequence[Prompt]) -> Iterable[list[int]]:
    """Rows of prompts that can be asked together: all with a box or none, with equally many points, AT_ONCE at most."""
    forms: dict[tuple[bool, int], list[int]] = {}
    for row, prompt in enumerate(prompts):
        forms.setdefault((prompt.box is not None, len(prompt.points)), []).append(row)
    for rows in forms.values():
        yield from (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))


def load_sam(model: Model, device: str = "cpu") -> SamSegmenter:
    """The segmenter of an artefact, once it has answered its golden input; weights are bound by name, each or none.

    Raises ArtefactError if card and weights do not fit, InvalidPrediction if the answer is not the recorded one.
    """
    if model.card.task != "promptable-segmentation":
        raise ArtefactError(f"{model.card.name} is a {model.card.task} model, not a promptable one")
    sam = rebuild(model.card, model.weights)
    if not isinstance(sam, Sam):
        raise ArtefactError(f"{model.card.name}: its architecture is no promptable segmenter")
    segmenter = SamSegmenter(sam, model.digest, device)
    check_golden(segmenter, model.golden)
    return segmenter


def gpu_missing() -> str:
    """Why torch cannot use a GPU here; empty where it can. Torch itself is told to compute exactly from then on."""
    libraries = Path(torch.__file__).parent / "lib"
    if not (libraries / "libtorch_cuda_linalg.so").exists():
        return "this PyTorch has no libraries for GPUs (make images IMAGES=cloud ARGS='--torch cuda' leaves them in)"
    if not torch.cuda.is_available():
        return (
            "PyTorch sees no GPU: does the node have a driver, and the pod a resource or runtime class that brings it?"
        )
    torch.backends.cudnn.allow_tf32 = False  # its products keep ten bits: a golden answer would be too far off
    return ""


def golden_prompts(height: int, width: int) -> tuple[Prompt, ...]:
    """What every promptable model is asked about its golden photo: two overlapping boxes with a point in each."""
    first = Prompt((width * 0.1, height * 0.4, width * 0.6, height * 0.9), ((width * 0.35, height * 0.65),))
    second = Prompt((width * 0.3, height * 0.1, width * 0.9, height * 0.7), ((width * 0.6, height * 0.4),))
    return first, second


def record_golden(segmenter: SamSegmenter, image: Image, tolerance: float) -> Golden:
    """What this model answers to `image` now, kept to recognise it later."""
    answer = segmenter.logits(segmenter.encode(image), golden_prompts(*image.shape[:2]))
    return Golden(image, answer, tolerance)


def check_golden(segmenter: SamSegmenter, golden: Golden) -> None:
    """Answer the golden input; raises InvalidPrediction unless every mask logit is within the tolerance."""
    answer = record_golden(segmenter, golden.image, golden.tolerance).logits
    if answer.shape != golden.logits.shape:
        raise InvalidPrediction(f"golden input: mask logits are {answer.shape}, recorded were {golden.logits.shape}")
    worst = float(np.abs(answer - golden.logits).max())
    if not worst <= golden.tolerance:
        raise InvalidPrediction(f"golden input: a mask logit is off by {worst:.4g}, allowed is {golden.tolerance:.4g}")
