"""The parts of the `segment-anything` package, without what its `__init__` brings along.

That `__init__` imports helpers which pull in torchvision and through it torch's compiler: half of a cloud worker's
start-up time for image transforms that nobody here uses. The modules below need torch alone, so they are imported
beside a placeholder of the package, which is gone again afterwards.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING

_PACKAGE = "segment_anything"


def _module(name: str) -> ModuleType:
    """`segment_anything.<name>`; raises ModuleNotFoundError where the package is not installed."""
    if _PACKAGE in sys.modules:
        return importlib.import_module(f"{_PACKAGE}.{name}")
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise ModuleNotFoundError(f"{_PACKAGE} is not installed; it comes with the extra `cloud`", name=_PACKAGE)
    sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
    try:
        return importlib.import_module(f"{_PACKAGE}.{name}")
    finally:
        del sys.modules[_PACKAGE]


if TYPE_CHECKING:
    from segment_anything import sam_model_registry
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
else:
    _modeling = _module("modeling")
    ImageEncoderViT, MaskDecoder = _modeling.ImageEncoderViT, _modeling.MaskDecoder
    PromptEncoder, Sam, TwoWayTransformer = _modeling.PromptEncoder, _modeling.Sam, _modeling.TwoWayTransformer
    sam_model_registry = _module("build_sam").sam_model_registry

__all__ = ["ImageEncoderViT", "MaskDecoder", "PromptEncoder", "Sam", "TwoWayTransformer", "sam_model_registry"]
