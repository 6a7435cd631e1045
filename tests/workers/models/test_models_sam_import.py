"""Official checkpoints: the true layouts, what is taken as it is, and what is refused by name."""

import os
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from umiak_workers.contract.errors import ArtefactError
from umiak_workers.models import sam_import
from umiak_workers.models.sam_import import arrays, check_layout, import_checkpoint, layout, read_state
from umiak_workers.models.sam_parts import Sam, sam_model_registry

POSITION = "image_encoder.pos_embed"


def reduced(width: int = 32) -> Sam:
    """The published layout with a narrow image encoder of two layers, by the package's own builder."""
    builder: Any = sys.modules["segment_anything.build_sam"]
    return builder._build_sam(width, 2, 2, [1])


@pytest.fixture(autouse=True)
def small_vit_b(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the package builds as a vit_b is small here: a true one is 375 MB."""
    monkeypatch.setitem(sam_model_registry, "vit_b", lambda checkpoint=None: reduced())


@pytest.fixture(scope="module")
def state() -> "OrderedDict[str, torch.Tensor]":
    torch.manual_seed(7)
    return reduced().state_dict()


def saved(folder: Path, content: object) -> Path:
    path = folder / "sam_vit_b_01ec64.pth"
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("variant", "tensors", "published_bytes", "width", "depth"),
    [
        ("vit_b", 314, 375_042_383, 768, 12),
        ("vit_l", 482, 1_249_524_607, 1024, 24),
        ("vit_h", 594, 2_564_550_879, 1280, 32),
    ],
)
def test_the_true_layouts(
    variant: str, tensors: int, published_bytes: int, width: int, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, shapes and number of the tensors; their bytes are the published file's but for some 320 per tensor."""
    monkeypatch.undo()
    with torch.device("meta"):
        wanted = layout(sam_model_registry[variant](checkpoint=None))
    assert len(wanted) == tensors
    rest = published_bytes - 4 * sum(int(np.prod(shape)) for shape in wanted.values())
    assert 300 * tensors < rest < 330 * tensors
    head = width // {"vit_b": 12, "vit_l": 16, "vit_h": 16}[variant]
    last = depth - 1
    for name, shape in {
        POSITION: (1, 64, 64, width),
        "image_encoder.patch_embed.proj.weight": (width, 3, 16, 16),
        "image_encoder.blocks.0.attn.rel_pos_h": (27, head),
        f"image_encoder.blocks.{last}.attn.rel_pos_w": (127, head),
        f"image_encoder.blocks.{last}.attn.qkv.weight": (3 * width, width),
        f"image_encoder.blocks.{last}.mlp.lin1.bias": (4 * width,),
        "image_encoder.neck.0.weight": (256, width, 1, 1),
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": (2, 128),
        "prompt_encoder.point_embeddings.3.weight": (1, 256),
        "prompt_encoder.mask_downscaling.6.weight": (256, 16, 1, 1),
        "mask_decoder.transformer.layers.1.cross_attn_image_to_token.q_proj.weight": (128, 256),
        "mask_decoder.mask_tokens.weight": (4, 256),
        "mask_decoder.output_hypernetworks_mlps.3.layers.2.weight": (32, 256),
        "mask_decoder.iou_prediction_head.layers.2.bias": (4,),
    }.items():
        assert wanted[name] == shape
    assert f"image_encoder.blocks.{depth}.norm1.weight" not in wanted
    assert "pixel_mean" not in wanted


def test_every_tensor_arrives_as_it_was(state: "OrderedDict[str, torch.Tensor]", tmp_path: Path) -> None:
    sam = import_checkpoint(saved(tmp_path, state), "vit_b")
    found = arrays(sam)
    assert list(found) == list(state)
    assert all(np.array_equal(found[name], tensor.numpy()) for name, tensor in state.items())
    assert not sam.training
    assert sam.mask_decoder.num_multimask_outputs == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({POSITION: None}, rf"{POSITION} 1x64x64x32 is missing"),
        ({POSITION: torch.zeros(1, 64, 64, 8)}, rf"{POSITION} is 1x64x64x8, it must be 1x64x64x32"),
        ({POSITION: torch.zeros(1, 64, 64, 1024)}, "the file looks like a vit_l"),
        ({POSITION: torch.zeros(1, 64, 64, 32, dtype=torch.float16)}, r"torch\.float16"),
        ({POSITION: torch.full((1, 64, 64, 32), torch.nan)}, "not finite"),
        ({"optimizer.step": torch.zeros(3, 4)}, r"optimizer\.step 3x4 does not belong there"),
        ({"step": torch.tensor(4.0)}, "step a single number does not belong"),
        ({"epoch": 4}, "'epoch' is a int, not a tensor"),
    ],
)
def test_the_first_tensor_that_is_wrong_is_named(
    state: "OrderedDict[str, torch.Tensor]", tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    altered = {name: value for name, value in {**state, **change}.items() if value is not None}
    with pytest.raises(ArtefactError, match=message):
        import_checkpoint(saved(tmp_path, altered), "vit_b")


def test_the_first_of_several_is_the_first_of_the_network(state: "OrderedDict[str, torch.Tensor]") -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in state.items()}
    names = list(wanted)
    broken = {name: tensor for name, tensor in state.items() if name not in (names[3], names[9])}
    with pytest.raises(ArtefactError, match=names[3]):
        check_layout({"a.extra": torch.zeros(1), **broken}, wanted)


class Harmful:
    """What a pickle does to whoever trusts it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["HARM"],)


def test_code_in_a_file_is_refused_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARM", str(tmp_path / "harm"))
    path = saved(tmp_path, {"weight": Harmful()})
    with pytest.raises(ArtefactError, match=r"it asks for \w+\.mkdir"):
        read_state(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("nested", [{"model": {"weight": torch.zeros(2)}}, {"state_dict": OrderedDict()}])
def test_a_training_checkpoint_is_no_plain_state_dict(tmp_path: Path, nested: dict[str, object]) -> None:
    with pytest.raises(ArtefactError, match="not a plain state_dict"):
        read_state(saved(tmp_path, nested))


def test_files_that_are_something_else(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="no such file"):
        read_state(tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(ArtefactError, match=r"torch\.save"):
        read_state(tmp_path / "text.pth")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(ArtefactError, match="zip form"):
        read_state(tmp_path / "old.pth")
    with zipfile.ZipFile(tmp_path / "empty.pth", "w") as archive:
        archive.writestr("photos/a.txt", "no weights")
    with pytest.raises(ArtefactError, match="plain weights"):
        read_state(tmp_path / "empty.pth")
    with pytest.raises(ArtefactError, match="list"):
        read_state(saved(tmp_path, [torch.zeros(2)]))


def test_sizes_nobody_published(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="vit_b, vit_l, vit_h"):
        import_checkpoint(tmp_path / "x.pth", "vit_t")
    assert tuple(sam_import._WIDTHS.values()) == sam_import.PUBLISHED
