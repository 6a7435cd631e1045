"""The nouns that travel between edge, router, cloud, hub and agent.

Wire messages are versioned and tolerant (unknown fields are ignored); configs are strict and live in `config.py`.
Times are seconds since the Unix epoch (float), durations milliseconds, sizes bytes, digests `sha256:<hex>`.
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from umiak_workers.contract.wire import Message

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
FrameId = Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[a-z0-9.-]+/[0-9]{1,18}$")]
"""`<edge>/<source>/<sequence>`."""

Count = Annotated[int, Field(ge=0, le=2**53)]
"""A running total: exact as a float, so that it can be summed and drawn."""

Task = Literal["semantic-segmentation", "image-classification", "object-detection", "keypoint-detection"]
AnsweredBy = Literal["edge", "cloud"]
Reason = Literal[
    "Easy",  # no rule called the frame hard
    "NotJudged",  # no rule called it hard, and one could not tell: the edge model does not say what it goes by
    "CloudAnswered",  # hard, and the cloud was in time
    "CloudUnreachable",  # hard, the cloud could not be asked or refused
    "DeadlineNear",  # hard, the cloud was not in time
    "CloudTooSlow",  # hard, the cloud was not expected in time: nobody waited for it
    "QueueFull",  # hard, but nothing more may be kept
    "Other",  # said by a newer release, in a word that this one does not know
]


def _known_reason(said: object) -> object:
    return "Other" if isinstance(said, str) and said not in get_args(Reason) else said


SaidReason = Annotated[Reason, BeforeValidator(_known_reason)]


class Scores(Message):
    """What the edge model says of its own answer, from its native low-resolution logits."""

    margin: Annotated[float, Field(ge=0, le=1)]
    max_probability: Annotated[float, Field(ge=0, le=1)]
    entropy: Annotated[float, Field(ge=0)]
    """Nats, 0..ln(classes)."""
    classes: Annotated[int, Field(ge=2)] = 2
    """How many the model chose from; 2 where an older release did not say."""
    appeal: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Mean gain to expect from asking the cloud: pixels mended less pixels spoilt, as a share of the photo.

    Absent where the model has no appeal head.
    """
    confidences: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(max_length=100)] | None = None
    """Of the boxes that count as found, surest first, none where nothing was; absent where the answer is no boxes."""


class Box(Message):
    """A rectangle of pixels in the photo: left, top, width, height."""

    left: Annotated[int, Field(ge=0)]
    top: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]


MOST_TILES = 16_384
"""Tiles of one photo; a 4K photo has as many at 24 pixels a side."""
MOST_REGIONS = 256
"""Boxes that one example may name."""


class Tiles(Message):
    """How hard each square of a photo is to the edge model: row by row from the top left, 0 (easy) to 255.

    The last row and column may be narrower than `side` pixels.
    """

    side: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=1)]
    columns: Annotated[int, Field(ge=1)]
    hardness: Annotated[tuple[Annotated[int, Field(ge=0, le=255)], ...], Field(max_length=MOST_TILES)]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if len(self.hardness) != self.rows * self.columns:
            raise ValueError(f"{len(self.hardness)} tiles for {self.rows} rows of {self.columns}")
        return self


class PredictionHeader(Message):
    """Edge server's image route -> router: the answer to one photo; its payload follows, as the task packs it."""

    version: Literal[1] = 1
    task: Task = "semantic-segmentation"
    model: Digest
    line: str
    width: int
    height: int
    scores: Scores
    inference_milliseconds: float
    mask_size: int
    """Bytes of the payload; the name is older than payloads that are no masks."""
    tiles: Tiles | None = None
    """Where in the photo it is hard; absent where nobody configured regions, or where they would be too many."""


class ModelRef(Message):
    """A model by line (`<namespace>/<name>`) and digest."""

    line: str
    digest: Digest


class ExampleHeader(Message):
    """Router -> cloud: one hard example; the photo's bytes follow as they came from the source.

    Or, with `keep` false, as a copy written anew: of the photo's size, sharp in `regions` and coarse elsewhere.
    """

    version: Literal[1] = 1
    frame: FrameId
    task: Task = "semantic-segmentation"
    digest: Digest
    size: int
    media: Literal["image/jpeg", "image/png", "image/webp", "image/avif"]
    captured_at: float
    model: ModelRef
    regions: tuple[Box, ...] = Field(default=(), max_length=MOST_REGIONS)
    """Empty: the whole frame."""
    keep: bool = True
    """False: answer only, store no sample (a measurement, not an example)."""
    answer: bool = True
    """False: the edge has only lost the receipt; store the sample again, idempotently."""


class Receipt(Message):
    """The hub has durably decided about one example: stored once, or rejected with a reason."""

    version: Literal[1] = 1
    frame: FrameId
    digest: Digest
    outcome: Literal["stored", "rejected"]
    reason: str = ""
    stored_at: float


class Region(Message):
    """The cloud's opinion on one rectangle; its payload follows (in a label map 255 = no opinion, the edge's stays)."""

    box: Box
    size: int
    confidence: Annotated[float, Field(ge=0, le=1)]


class CloudAnswerHeader(Message):
    """Cloud -> router: regions, then their payloads in order. `receipt` only once the hub has stored it."""

    version: Literal[1] = 1
    frame: FrameId
    task: Task = "semantic-segmentation"
    regions: tuple[Region, ...]
    receipt: Receipt | None = None
    models: dict[str, str] = {}
    """What answered: role (`edge`, `labeller`, `sam`) -> digest."""
    stages_milliseconds: dict[str, float] = {}


class Answer(Message):
    """One line of the edge's answer log and of the answer summary: what was said of a frame, by whom and why.

    Revision 0 is the one final answer, committed by the deadline; later revisions are late cloud answers.
    """

    version: Literal[1] = 1
    frame: FrameId
    revision: Annotated[int, Field(ge=0)]
    task: Task = "semantic-segmentation"
    answered_by: AnsweredBy
    reason: SaidReason
    rule: str = ""
    """The miner whose rule called the frame hard; empty for an easy one."""
    scores: Scores
    model: Digest
    cloud_models: dict[str, str] = {}
    captured_at: float
    answered_at: float
    stages_milliseconds: dict[str, float] = {}
    """edge, judge, queue, foveate, cloud, fuse, log, total; a stage that did not happen is absent."""
    bytes_up: int = 0
    bytes_down: int = 0
    sharp_area: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the photo that the cloud saw sharp and answered; absent where it saw the whole photo, or none."""


class AnswerHeader(Message):
    """Router's HTTP answer to a pushed photo: the answer, then payloads in the order of `masks` with their sizes."""

    version: Literal[1] = 1
    answer: Answer
    masks: dict[str, int] = {}
    """final, edge, cloud -> bytes; `edge` and `cloud` only when asked for with `?masks=all`."""


class SampleHeader(Message):
    """Cloud -> hub: a hard example with the cloud's answer as its label; the photo and that payload follow."""

    version: Literal[1] = 1
    frame: FrameId
    task: Task = "semantic-segmentation"
    digest: Digest
    image_size: int
    label_size: int
    media: Literal["image/jpeg", "image/png"]
    captured_at: float
    edge_model: Digest
    scores: Scores
    confidence: float
    models: dict[str, str] = {}


class SampleInfo(Message):
    """Hub -> trainer: one row of the replay listing; `position` grows by one per stored sample of a resource."""

    position: int
    frame: FrameId
    digest: Digest
    media: str
    captured_at: float
    confidence: float
    bytes: int


class SampleList(Message):
    """A page of the replay store, oldest first."""

    version: Literal[1] = 1
    samples: tuple[SampleInfo, ...]
    watermark: int
    """The highest position stored so far (0: none)."""


class AgentState(Message):
    """What one edge really runs of one line, said by its agent over HTTP (durable facts)."""

    version: Literal[1] = 1
    line: str
    active: Digest | None = None
    sequence: int
    """The highest accepted release sequence; 0 before the first."""
    state: Literal["Idle", "Downloading", "Installing", "Failed"]
    reason: str = ""
    wanted: Digest | None = None
    at: float
    bytes_downloaded: int = 0


LATENCY_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets in which answer times are counted; one more bucket holds all answers."""


class Latency(Message):
    """Answer times of one route since the router's process started."""

    counts: Annotated[tuple[Count, ...], Field(max_length=64)]
    """Answers that took at most each of LATENCY_SECONDS, then all of them: cumulative."""
    seconds: Annotated[float, Field(ge=0)]
    """Sum of all."""


class RouterState(Message):
    """Running totals of one router since its state volume was made; said with every heartbeat."""

    version: Literal[1] = 1
    frames: Count
    by_reason: dict[str, Count]
    queue_items: Count
    queue_bytes: Count
    queue_oldest_seconds: float
    dropped: Count
    bytes_up: Count
    bytes_down: Count
    settings_version: int
    at: float
    latency: dict[str, Latency] = {}
    """Route (`edge`, `cloud`) -> how long its answers took."""
    video_dropped: Count = 0
    """Frames of a video that came faster than the edge could look at them."""


class LiveCost(Message):
    """A budget of money; see MinerRule of the configs for this and for the bounds of all live numbers."""

    per_hour: float
    per_upload: float = 0.0
    per_megabyte: float = 0.0


class LiveRule(Message):
    """The live numbers of one rule: at most one of `threshold`, `budget`, `bytes_per_second` and `cost`.

    `calibration` goes with a threshold. A miner that takes no number has none. `nothing_found` and `certain` are those
    of the miners of boxes.
    """

    miner: str
    threshold: float | None = None
    calibration: tuple[tuple[float, ...], ...] | None = None
    budget: float | None = None
    bytes_per_second: float | None = None
    cost: LiveCost | None = None
    nothing_found: float | None = None
    certain: float | None = None


class LiveSettings(Message):
    """What may change without a restart; the router polls it from the hub and applies it in place.

    `rules` follows the config's rules in order and number (a mismatch means that the pod is about to be replaced:
    keep the config's). `threshold` and `budget` are those of the first rule that takes one.
    """

    version: Literal[1] = 1
    settings_version: int = 0
    threshold: float | None = None
    budget: float | None = None
    rules: tuple[LiveRule, ...] = ()
    deadline_milliseconds: int | None = None


class RoundReport(Message):
    """What a training Job did: promoted a candidate, or refused it and why."""

    version: Literal[1] = 1
    round: Name
    """The Job's name: it holds the template's hash, so base digest and watermark."""
    outcome: Literal["Promoted", "Refused", "Failed"]
    reason: str
    message: str
    base: Digest
    candidate: Digest | None = None
    watermark: int
    samples: int
    metrics: dict[str, float] = {}
    finished_at: float
