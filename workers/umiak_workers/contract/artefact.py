"""A model artefact on paper: the manifest whose digest names a model, and the card that says what the model is.

A model's digest is the SHA-256 of its manifest's canonical bytes, and the manifest holds size and digest of every other
file; so one digest, signed or compared, covers graph, weights, card and golden input alike.
"""

import hashlib
import json
import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from umiak_workers.contract.errors import ArtefactError
from umiak_workers.contract.messages import Task
from umiak_workers.contract.wire import explain

MANIFEST = "manifest.json"
CARD = "card.json"
GRAPH = "graph.onnx"
WEIGHTS = "weights.safetensors"
GOLDEN = "golden.safetensors"
FILES = (CARD, GRAPH, WEIGHTS, GOLDEN)
"""What a manifest lists, each exactly once; a promptable model has no graph, its architecture is built in torch."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ClassName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9 _-]{0,63}$")]
Level = Annotated[int, Field(ge=0, le=255)]
Side = Annotated[int, Field(ge=16, le=8192)]
Triple = tuple[float, float, float]


class Paper(BaseModel):
    """Base of what an artefact states about itself: frozen, strict and closed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class FileFact(Paper):
    """Size in bytes and SHA-256 (hex) of one file."""

    sha256: Sha256
    size: Annotated[int, Field(ge=1)]


class Manifest(Paper):
    """Every file of an artefact but the manifest itself."""

    schema_: Literal["umiak.dev/model/v1"] = Field(default="umiak.dev/model/v1", alias="schema")
    files: dict[str, FileFact]

    @model_validator(mode="after")
    def _exactly_the_known_files(self) -> "Manifest":
        if set(self.files) | {GRAPH} != set(FILES):
            raise ValueError(f"files must be exactly {', '.join(FILES)} (without {GRAPH} for a promptable model)")
        return self

    def canonical_bytes(self) -> bytes:
        """Bytes that are the same wherever the same manifest is written; this is what manifest.json holds."""
        return canonical_json(self.model_dump(mode="json", by_alias=True))


class InputSpec(Paper):
    """The graph's input. For float32 the predictor feeds `(photo / 255 - mean) / std`; uint8 goes in as it is."""

    name: str
    layout: Literal["NHWC", "NCHW"]
    dtype: Literal["uint8", "float32"]
    height: Side
    width: Side
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _normalised_once(self) -> "InputSpec":
        if self.dtype == "uint8" and (self.mean != (0.0, 0.0, 0.0) or self.std != (1.0, 1.0, 1.0)):
            raise ValueError("a uint8 input is normalised inside the graph: leave mean and std out")
        if min(self.std) <= 0:
            raise ValueError("std must be positive")
        return self


class OutputSpec(Paper):
    """Names of the graph's outputs: `logits` 1xCxhxw float32 (1xC of a classification), and where there are such
    `labels` 1xHxW uint8 and `appeal` 1xhxw float32 in -1..1, the gain to expect from asking the cloud.

    A detector's logits are a heat map of each class, then four of places and sizes; a key point model's are a heat map
    of each joint.
    """

    logits: str
    labels: str | None = None
    appeal: str | None = None


class Architecture(Paper):
    """How to build the module these weights fit: a key of `umiak_workers.models.BUILDERS` and its config."""

    name: str
    config: dict[str, JsonValue]


class DataSource(Paper):
    """What the model was trained on: its URI or title, licence, and which lights, weathers or places it saw."""

    name: str
    licence: str
    saw: tuple[str, ...] = ()


class Card(Paper):
    """Everything a person or a program needs to know before using a model."""

    schema_: Literal["umiak.dev/card/v1"] = Field(default="umiak.dev/card/v1", alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,126}[a-z0-9])?$")]
    task: Task | Literal["promptable-segmentation"] = "semantic-segmentation"
    classes: Annotated[tuple[ClassName, ...], Field(max_length=255)] = ()
    """At least two, or one for a detector; of a key point model its joints; none for a promptable model."""
    void: Level = 255
    palette: tuple[tuple[Level, Level, Level], ...] = ()
    input: InputSpec
    outputs: OutputSpec
    architecture: Architecture | None = None
    data: tuple[DataSource, ...] = ()
    licence: str
    metrics: dict[str, float] = {}
    base_data: str | None = None
    """URI of labelled data that a fine-tuning Job mixes in and guards against forgetting."""
    training_only: tuple[str, ...] = ()
    """Tensors of the weights file that the graph does not use."""
    layer_sets: dict[str, tuple[str, ...]] = {}
    """Named sets of layers, each a list of prefixes of tensor names."""
    made_by: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> "Card":
        promptable = self.task == "promptable-segmentation"
        if promptable != (not self.classes) or (len(self.classes) == 1 and self.task != "object-detection"):
            raise ValueError(f"classes: {len(self.classes)} for a {self.task} model")
        if promptable and self.architecture is None:
            raise ValueError("architecture: a promptable model needs one, it has no graph")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a name appears twice")
        if self.palette and len(self.palette) != len(self.classes):
            raise ValueError(f"palette: {len(self.palette)} colours for {len(self.classes)} classes")
        if self.void < len(self.classes):
            raise ValueError(f"void: {self.void} is the id of class {self.classes[self.void]!r}")
        return self

    def canonical_bytes(self) -> bytes:
        """What card.json holds; an output that most models lack is left out, so that older programs read the card."""
        unused = {"outputs": {"appeal"}} if self.outputs.appeal is None else None
        return canonical_json(self.model_dump(mode="json", by_alias=True, exclude=unused))

    def with_metrics(self, metrics: dict[str, float], made_by: str) -> "Card":
        """The same card after another training run; non-finite figures are refused."""
        if not all(math.isfinite(value) for value in metrics.values()):
            raise ArtefactError(f"metrics of {self.name} are not finite: {metrics}")
        return self.model_copy(update={"metrics": metrics, "made_by": made_by})


def canonical_json(value: JsonValue) -> bytes:
    """Sorted keys, no spaces, ASCII: the one spelling that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def model_digest(manifest: Manifest) -> str:
    """`sha256:<hex>`, the one name of a model everywhere."""
    return "sha256:" + hashlib.sha256(manifest.canonical_bytes()).hexdigest()


def parse_manifest(text: bytes) -> Manifest:
    """A manifest from its file; raises ArtefactError, also when the bytes are not the canonical ones."""
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise ArtefactError(f"{MANIFEST}: {explain(error)}") from error
    if manifest.canonical_bytes() != text:
        raise ArtefactError(f"{MANIFEST}: not written canonically, so its digest would be ambiguous")
    return manifest


def parse_card(text: bytes | str) -> Card:
    """A card from JSON; raises ArtefactError that names the field."""
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        raise ArtefactError(f"{CARD}: {explain(error)}") from error
