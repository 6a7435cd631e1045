"""The one config file of every container: typed, strict (an unknown key is an error), free of addresses and paths.

Beside `config.json` lie `endpoints.json` (where symbolic endpoints are), `token` (who this container is) and, for the
few that need them, key files. State lives in the folder given by `--state`.
"""

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from umiak_workers.contract.calibration import Knots, Unit, check_rising
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.messages import Digest, Name, Task
from umiak_workers.contract.release import LINE_PATTERN
from umiak_workers.contract.wire import explain

CONFIG_FILE = "config.json"
ENDPOINTS_FILE = "endpoints.json"
TOKEN_FILE = "token"
CA_FILE = "ca.crt"
"""Authorities (PEM) that a container's clients trust beside those of its machine; absent where there are none."""
OPERATOR_KEY_FILE = "operator.key"
"""hub: the key under which every token is proven (hex text)."""
RESOURCE_KEY_FILE = "resource.key"
"""cloud: the key under which tokens of its own JointInference are proven (hex text)."""
SIGNING_KEY_FILE = "signing.key"
"""signer: Ed25519 private key, PEM (PKCS#8)."""

Line = Annotated[str, Field(pattern=LINE_PATTERN)]
Uri = Annotated[str, Field(min_length=1, max_length=2048)]
MiB = 1024 * 1024


class Config(BaseModel):
    """Base of every config: frozen and strict."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSource(Config):
    """A model by URI (`builtin:`, `file:`, `https:`, `s3:`) and digest; the digest decides."""

    uri: Uri
    digest: Digest


class Tiling(Config):
    """How fine the edge server says where a photo is hard."""

    side: Annotated[int, Field(ge=16, le=512)] = 48
    """Pixels of a tile."""
    by: Literal["Margin", "Appeal"] = "Margin"
    """1 - margin, or the gain that the model's appeal head expects from asking the cloud."""


class EdgeConfig(Config):
    """`edge`: the model server."""

    role: Literal["edge"] = "edge"
    line: Line
    task: Task = "semantic-segmentation"
    """A model of another task is not taken."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    gpu: bool = False
    """The model runs on the GPU; a server without one does not start."""
    max_image_bytes: Annotated[int, Field(ge=1024, le=64 * MiB)] = 8 * MiB
    max_image_pixels: Annotated[int, Field(ge=1, le=100_000_000)] = 16_000_000
    regions: Tiling | None = None
    """None: it does not say where a photo is hard."""


class DirectorySource(Config):
    """A folder of the state volume; each photo in it becomes one frame, then leaves the folder."""

    name: Name = "directory"
    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")] = "inbox"


class HttpSource(Config):
    """Photos pushed to the router's own listener."""

    name: Name = "http"


STREAM_PATTERN = r"^rtsps?://[^\s@]+$"
VIDEO_FILE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}(/[A-Za-z0-9][A-Za-z0-9._-]{0,62}){0,4}$"
DEVICE_PATTERN = r"^/dev/video[0-9]{1,3}$"


class VideoSource(Config):
    """Frames of a stream (`uri`), of a file under the state volume (`file`) or of a camera device (`device`)."""

    name: Name = "video"
    uri: Annotated[str, Field(pattern=STREAM_PATTERN, max_length=65536)] | None = None
    """RTSP, without user and password."""
    file: Annotated[str, Field(pattern=VIDEO_FILE_PATTERN)] | None = None
    device: Annotated[str, Field(pattern=DEVICE_PATTERN)] | None = None
    frames_per_second: Annotated[float, Field(gt=0, le=120)] | None = None
    """Frames beyond this are not looked at; None: all are."""
    transport: Literal["tcp", "udp"] = "tcp"
    """How a stream's frames travel."""
    credentials: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """A folder with the files `username` and `password` of the stream, beside this file unless absolute."""
    loop: bool = False
    """A file starts again at its end."""
    realtime: bool = False
    """A file plays at its own speed, as a camera does, and frames that come too fast are dropped."""

    @property
    def live(self) -> bool:
        """Frames do not wait: the newest one wins."""
        return self.file is None or self.realtime

    @model_validator(mode="after")
    def _one_of(self) -> "VideoSource":
        if sum(one is not None for one in (self.uri, self.file, self.device)) != 1:
            raise ValueError("set exactly one of uri, file and device")
        if self.uri is None and (self.credentials is not None or self.transport != "tcp"):
            raise ValueError("credentials and transport are a stream's: set uri, or leave them out")
        if self.file is None and (self.loop or self.realtime):
            raise ValueError("loop and realtime are a file's: set file, or leave them out")
        return self


Miner = Literal[
    "ScoreMargin",
    "MaxProbability",
    "Entropy",
    "AppealHead",
    "BoxThreshold",
    "IBT",
    "Random",
    "EdgeOnly",
    "CloudOnly",
]
BOX_MINERS = ("BoxThreshold", "IBT")
"""Those that go by the boxes of a detection."""


class Cost(Config):
    """A budget of money, in any currency: so much an hour where an upload costs a fee, something per 10**6 bytes, or
    both."""

    per_hour: Annotated[float, Field(gt=0, le=1_000_000)]
    per_upload: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    per_megabyte: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0

    @model_validator(mode="after")
    def _any_of(self) -> "Cost":
        if not self.per_upload + self.per_megabyte:
            raise ValueError("say what an upload costs: per_upload, per_megabyte or both")
        return self


class MinerRule(Config):
    """One rule of the chain that decides what is hard.

    Exactly one of `threshold` (on the miner's hardness in [0, 1], hard when above), `budget` (share of frames),
    `bytes_per_second` (of photos) and `cost`; EdgeOnly and CloudOnly need none. With `calibration` the threshold is on
    the expected gain that the table gives for the hardness.
    """

    miner: Miner
    nothing_found: Unit | None = None
    """How hard a photo without any box is: BoxThreshold and IBT need it, for nobody else knows the scene."""
    certain: Unit | None = None
    """IBT: the confidence from which a box is not doubtful."""
    threshold: Unit | None = None
    calibration: Annotated[Knots, AfterValidator(check_rising)] | None = None
    budget: Unit | None = None
    bytes_per_second: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    cost: Cost | None = None

    @property
    def kind(self) -> str:
        """What of the rule stands still while its numbers change live."""
        if self.calibration is not None:
            return "calibrated threshold"
        numbers = ("threshold", "budget", "bytes_per_second", "cost")
        return next((name for name in numbers if getattr(self, name) is not None), "plain")

    @model_validator(mode="after")
    def _one_of(self) -> "MinerRule":
        given = sum(one is not None for one in (self.threshold, self.budget, self.bytes_per_second, self.cost))
        if self.miner not in ("EdgeOnly", "CloudOnly") and given != 1:
            raise ValueError(f"{self.miner} takes exactly one of threshold, budget, bytes_per_second and cost")
        if self.calibration is not None and self.threshold is None:
            raise ValueError("a calibration needs a threshold: a budget ranks frames, on any scale")
        return self

    @model_validator(mode="after")
    def _of_boxes(self) -> "MinerRule":
        if (self.nothing_found is not None) != (self.miner in BOX_MINERS):
            raise ValueError("BoxThreshold and IBT need nothing_found, no other miner takes it")
        if (self.certain is not None) != (self.miner == "IBT"):
            raise ValueError("IBT needs certain, no other miner takes it")
        return self


class Bounds(Config):
    """How much may be kept."""

    items: Annotated[int, Field(ge=1, le=10_000_000)]
    bytes: Annotated[int, Field(ge=4096)]


Codec = Literal["AVIF", "WebP", "JPEG"]
"""Few bytes, fewer milliseconds, fewest milliseconds: `umiak bench codec`."""


class Regions(Config):
    """Uploads in part: a hard frame goes up sharp in its hard tiles and coarse elsewhere."""

    threshold: Unit
    """Tiles at least this hard are sent sharp, so 0 means all, and in any case the hardest one."""
    cell: Annotated[int, Field(ge=2, le=64)] = 2
    """Pixels of a square whose mean is all that is sent of it elsewhere."""
    codec: Codec = "AVIF"
    """What they are written as."""
    quality: Annotated[int, Field(ge=1, le=100)] = 40
    """On the codec's own scale."""
    learning: Literal["WholePhotoLater", "None"] = "WholePhotoLater"
    """What becomes of an example that was answered in part: delivered whole for the replay store, or dropped."""


class RouterConfig(Config):
    """`router`: photos in, one final answer per frame out."""

    role: Literal["router"] = "router"
    namespace: Name
    resource: Name
    edge: Name
    line: Line
    task: Task = "semantic-segmentation"
    directory: DirectorySource | None = None
    http: HttpSource | None = HttpSource()
    video: VideoSource | None = None
    rules: Annotated[tuple[MinerRule, ...], Field(min_length=1, max_length=8)]
    deadline_milliseconds: Annotated[int, Field(ge=10, le=600_000)] = 2000
    queue: Bounds = Bounds(items=2000, bytes=256 * MiB)
    answers: Bounds = Bounds(items=20_000, bytes=256 * MiB)
    in_flight: Annotated[int, Field(ge=1, le=64)] = 4
    max_image_bytes: Annotated[int, Field(ge=1024, le=64 * MiB)] = 8 * MiB
    heartbeat_seconds: Annotated[float, Field(gt=0, le=3600)] = 10
    regions: Regions | None = None
    """None: hard photos go up whole. It takes an edge server that says where photos are hard."""
    seed: int = 0

    @model_validator(mode="after")
    def _by_task(self) -> "RouterConfig":
        if self.task != "semantic-segmentation" and self.regions is not None:
            raise ValueError(f"regions: {self.task} is of the whole photo, leave them out")
        return self


class AgentConfig(Config):
    """`agent`: keeps the edge on the head of its line."""

    role: Literal["agent"] = "agent"
    namespace: Name
    resource: Name
    edge: Name
    line: Line
    initial: ModelSource
    trusted_keys: Annotated[tuple[str, ...], Field(min_length=1)]
    """Ed25519 public keys, base64 of the 32 raw bytes."""
    poll_seconds: Annotated[float, Field(gt=0, le=3600)] = 10
    max_artefact_bytes: Annotated[int, Field(ge=4096)] = 512 * MiB


Views = Literal["one", "mirrored", "closer"]
"""How often the labeller looks at a photo: once, at its mirror image too, at four corners as well (six passes)."""


class Fusion(Config):
    """How masks get their labels (seed 001, 3.2). Defaults: the best of `umiak bench fusion --sweep` on yards."""

    labels: Literal["labeller", "both"] = "labeller"
    """Whose scores count where there is a labeller: its own, or the mean of its and the edge model's probabilities."""
    views: Views = "one"
    vote: Literal["probability", "logits", "majority"] = "probability"
    minimum_area: Annotated[int, Field(ge=0)] = 20
    """pixels"""
    margin: Annotated[float, Field(ge=0, le=1)] = 0.6
    """A mask relabels only where its winning class leads by this share of the vote."""
    prompts: Annotated[int, Field(ge=1, le=1024)] = 32
    """Most prompts per frame."""
    minimum_quality: Annotated[float, Field(ge=0, le=1)] = 0.65
    """SAM's own predicted IoU below which a mask is not used."""
    certain: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Probability above which a pixel keeps its own label against any mask."""


LABELLER_STANDS = ("object-detection", "keypoint-detection")
"""Tasks whose labeller answers alone: boxes or joints of both models together were measured to be worse."""


class CloudConfig(Config):
    """`cloud`: answers hard examples; stateless but for caches."""

    role: Literal["cloud"] = "cloud"
    namespace: Name
    resource: Name
    line: Line
    task: Task = "semantic-segmentation"
    sam: ModelSource | None = None
    labeller: ModelSource | None = None
    """None: masks are labelled by the edge model's own scores. Every task but segmentation needs one."""
    fusion: Fusion = Fusion()
    threads: Annotated[int, Field(ge=1, le=256)] = 2
    gpu: bool = False
    """SAM runs on the GPU; labeller and edge models do so where this ONNX Runtime can."""
    max_image_bytes: Annotated[int, Field(ge=1024, le=64 * MiB)] = 8 * MiB
    max_image_pixels: Annotated[int, Field(ge=1, le=100_000_000)] = 16_000_000
    max_waiting: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Requests that may wait; one more gets 503 with Retry-After."""
    batch: Annotated[int, Field(ge=1, le=16)] = 1
    """Photos of those that wait that SAM's image encoder takes in one pass; each takes its memory, pixels included."""
    model_cache_bytes: Annotated[int, Field(ge=MiB)] = 2048 * MiB

    @model_validator(mode="after")
    def _by_task(self) -> "CloudConfig":
        if self.task != "semantic-segmentation" and (self.sam is not None or self.labeller is None):
            raise ValueError(f"{self.task} is answered by a labeller alone: name one, and no sam")
        if self.fusion.views != "one" and (self.task != "semantic-segmentation" or self.labeller is None):
            raise ValueError(
                "fusion.views: a labeller of semantic-segmentation looks more than once, nothing else does"
            )
        if self.task in LABELLER_STANDS and self.fusion.labels == "both":
            raise ValueError(f"fusion.labels: of {self.task} the labeller's answer stands, both are not joined")
        return self


class FitConfig(Config):
    """How long and how boldly a Job fine-tunes."""

    epochs: Annotated[int, Field(ge=1, le=1000)] = 8
    seconds: Annotated[float, Field(gt=0)] = 600.0
    """Training stops after the epoch that passes this."""
    batch: Annotated[int, Field(ge=1, le=1024)] = 8
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.001
    replay_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of replayed (cloud-labelled) samples in a batch; the rest is base data."""
    threads: Annotated[int, Field(ge=1, le=256)] = 2


class Promotion(Config):
    """When a candidate may become a release."""

    metric: Literal["miou"] = "miou"
    min_gain: float = 0.01
    """On the time-separated, pseudo-labelled holdout."""
    max_forgetting: Annotated[float, Field(ge=0)] = 0.05
    """Largest loss on the base holdout."""
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Share of the newest samples that is held back."""


class TrainerConfig(Config):
    """`trainer`: one round of lifelong learning, then exit 0 (report written) or non-zero (try again)."""

    role: Literal["trainer"] = "trainer"
    namespace: Name
    resource: Name
    """The LifelongLearning."""
    joint_inference: Name
    round: Name
    line: Line
    base: Digest
    watermark: Annotated[int, Field(ge=1)]
    base_data: Uri
    fit: FitConfig = FitConfig()
    promotion: Promotion = Promotion()
    seed: int = 0


class HubConfig(Config):
    """`hub`: models, lines, replay, fleet. Blobs and samples live under `--state`."""

    role: Literal["hub"] = "hub"
    trusted_keys: Annotated[tuple[str, ...], Field(min_length=1)]
    database_file: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """A file with the URL of a PostgreSQL, beside this one unless absolute; None: SQLite under `--state`.

    The URL holds a password, so it is in no config: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`.
    """
    silence_seconds: Annotated[float, Field(gt=0)] = 30
    max_blob_bytes: Annotated[int, Field(ge=4096)] = 1024 * MiB
    max_sample_bytes: Annotated[int, Field(ge=4096)] = 16 * MiB
    max_state_bytes: Annotated[int, Field(ge=MiB)] = 20 * 1024 * MiB


class SignerConfig(Config):
    """`signer`: holds the key, dials out to the hub, listens nowhere."""

    role: Literal["signer"] = "signer"
    poll_seconds: Annotated[float, Field(gt=0, le=3600)] = 1


C = TypeVar("C", bound=Config)


def parse_config(kind: type[C], text: bytes | str, where: str) -> C:
    """A config from its JSON; raises ConfigError that names `where` and each field."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error)}") from error
