"""JointInference as Python sees it: an edge model on many nodes, a cloud worker behind it, and what counts as hard."""

from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import AfterValidator, AnyUrl, Field, ValidationError, model_validator

from umiak_operators.api.quantity import Resources
from umiak_operators.api.resource import Resource
from umiak_operators.api.spec import Digest, Name, Share, Spec, Uri, parse_spec
from umiak_workers.contract.calibration import Knots, check_rising
from umiak_workers.contract.config import (
    BOX_MINERS,
    DEVICE_PATTERN,
    LABELLER_STANDS,
    STREAM_PATTERN,
    VIDEO_FILE_PATTERN,
    Miner,
)
from umiak_workers.contract.messages import Task

FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Retention = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}[mh]$")]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
RESOURCE_PATTERN = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9_.-]*video[A-Za-z0-9_.-]*$"
GPU_PATTERN = r"^nvidia\.com/[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"
RUNTIME_CLASS_PATTERN = r"^nvidia([a-z0-9.-]*[a-z0-9])?$"
"""An allow-list by name: whoever may write a resource does not choose among all runtimes of a cluster."""
LabelValue = Annotated[str, Field(max_length=63)]


class EdgeModel(Spec):
    """The model line that edges follow, and what it starts with while it is empty."""

    line: Name
    uri: Uri
    digest: Digest


class Model(Spec):
    """A model by URI and digest."""

    uri: Uri
    digest: Digest


class Nodes(Spec):
    """Which nodes become edges."""

    match_labels: Annotated[dict[str, LabelValue], Field(min_length=1, max_length=16)]


class Http(Spec):
    """Photos pushed to the router on the loopback address of the edge pod and, with `host_port`, of its node."""

    host_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    host_ip: Annotated[IPv4Address, Field(alias="hostIP")] = IPv4Address("127.0.0.1")


class Directory(Spec):
    """A folder of the edge's state volume."""

    path: FolderName = "inbox"


class Device(Spec):
    """A camera of the node, which a device plugin gives the router under the name of an extended resource."""

    path: Annotated[str, Field(pattern=DEVICE_PATTERN)]
    resource: Annotated[str, Field(pattern=RESOURCE_PATTERN, max_length=128)]
    group: Annotated[int, Field(ge=1, le=65535)] = 44


class Video(Spec):
    """Frames of a stream, of a file of the state volume, or of a camera of the node."""

    uri: Annotated[str, Field(pattern=STREAM_PATTERN, max_length=1024)] | None = None
    file: Annotated[str, Field(pattern=VIDEO_FILE_PATTERN)] | None = None
    device: Device | None = None
    frames_per_second: Annotated[float, Field(gt=0, le=120)] | None = None
    transport: Literal["tcp", "udp"] = "tcp"
    credentials_secret: ObjectName | None = None
    loop: bool = False
    realtime: bool = False

    @model_validator(mode="after")
    def _one_of(self) -> "Video":
        if sum(one is not None for one in (self.uri, self.file, self.device)) != 1:
            raise ValueError("set exactly one of uri, file and device")
        if self.uri is not None:
            _check_address(self.uri)
        if self.uri is None and (self.credentials_secret is not None or self.transport != "tcp"):
            raise ValueError("credentialsSecret and transport are a stream's: set uri, or leave them out")
        if self.file is None and (self.loop or self.realtime):
            raise ValueError("loop and realtime are a file's: set file, or leave them out")
        return self


def _check_address(uri: str) -> None:
    try:
        AnyUrl(uri.replace("{edge}", "edge"))
    except ValidationError as error:
        raise ValueError(f"uri is no address: {error.errors()[0]['msg']}") from error


class Source(Spec):
    """Where frames come from: exactly one kind."""

    http: Http | None = None
    directory: Directory | None = None
    video: Video | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "Source":
        if sum(one is not None for one in (self.http, self.directory, self.video)) != 1:
            raise ValueError("set exactly one of http, directory and video")
        return self


class Gpu(Spec):
    """A GPU of the node: as its device plugin offers it, by the runtime class that brings its driver, or by both."""

    resource: Annotated[str, Field(pattern=GPU_PATTERN, max_length=128)] | None = None
    runtime_class_name: Annotated[str, Field(pattern=RUNTIME_CLASS_PATTERN, max_length=63)] | None = None

    @model_validator(mode="after")
    def _any_of(self) -> "Gpu":
        if self.resource is None and self.runtime_class_name is None:
            raise ValueError("name at least one of resource and runtimeClassName")
        return self


class EdgeRuntime(Spec):
    """What the model server may use."""

    threads: Annotated[int, Field(ge=1, le=64)] = 1
    resources: Resources = Resources()
    gpu: Gpu | None = None


class Edge(Spec):
    """The edge side."""

    model: EdgeModel
    nodes: Nodes
    source: Source
    runtime: EdgeRuntime = EdgeRuntime()
    min_ready: Annotated[int, Field(ge=0, le=100_000)] = 1


class Fusion(Spec):
    """How masks get their labels (seed 001, 3.2)."""

    labels: Literal["labeller", "both"] = "labeller"
    views: Literal["one", "mirrored", "closer"] = "one"
    vote: Literal["probability", "logits", "majority"] = "probability"
    minimum_area: Annotated[int, Field(ge=0, le=1_000_000)] = 20
    margin: Share = 0.6
    prompts: Annotated[int, Field(ge=1, le=1024)] = 32
    minimum_quality: Share = 0.65
    certain: Share = 0.7


class Cloud(Spec):
    """The cloud worker; at least one of `sam` and `labeller`, and `sam` for segmentation only."""

    replicas: Annotated[int, Field(ge=0, le=64)] = 1
    sam: Model | None = None
    labeller: Model | None = None
    fusion: Fusion = Fusion()
    batch: Annotated[int, Field(ge=1, le=16)] = 1
    resources: Resources = Resources()
    gpu: Gpu | None = None

    @model_validator(mode="after")
    def _any_of(self) -> "Cloud":
        if self.sam is None and self.labeller is None:
            raise ValueError("name at least one of sam and labeller")
        if self.labeller is None and self.fusion.views != "one":
            raise ValueError("fusion.views: it is the labeller that looks more than once, name one")
        return self


class Cost(Spec):
    """A budget of money: what an upload costs, and how much that may be in an hour."""

    per_hour: Annotated[float, Field(gt=0, le=1_000_000)]
    per_upload: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    per_megabyte: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0

    @model_validator(mode="after")
    def _any_of(self) -> "Cost":
        if not self.per_upload + self.per_megabyte:
            raise ValueError("say what an upload costs: perUpload, perMegabyte or both")
        return self


class MinerRule(Spec):
    """One rule that may call a frame hard."""

    miner: Miner
    nothing_found: Share | None = None
    certain: Share | None = None
    threshold: Share | None = None
    calibration: Annotated[Knots, AfterValidator(check_rising)] | None = None
    budget: Share | None = None
    bytes_per_second: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    cost: Cost | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "MinerRule":
        given = sum(one is not None for one in (self.threshold, self.budget, self.bytes_per_second, self.cost))
        if self.miner in ("EdgeOnly", "CloudOnly"):
            if given:
                raise ValueError(f"{self.miner} takes no threshold and no budget")
        elif given != 1:
            raise ValueError(f"{self.miner} takes exactly one of threshold, budget, bytesPerSecond and cost")
        if self.calibration is not None and self.threshold is None:
            raise ValueError("a calibration needs a threshold: a budget ranks frames, on any scale")
        return self

    @model_validator(mode="after")
    def _of_boxes(self) -> "MinerRule":
        if (self.nothing_found is not None) != (self.miner in BOX_MINERS):
            raise ValueError("BoxThreshold and IBT need nothingFound, no other miner takes it")
        if (self.certain is not None) != (self.miner == "IBT"):
            raise ValueError("IBT needs certain, no other miner takes it")
        return self


class Regions(Spec):
    """Uploads in part: hard tiles sharp, the rest coarse."""

    side: Annotated[int, Field(ge=16, le=512)] = 48
    by: Literal["Margin", "Appeal"] = "Margin"
    threshold: Share
    cell: Annotated[int, Field(ge=2, le=64)] = 2
    codec: Literal["AVIF", "WebP", "JPEG"] = "AVIF"
    quality: Annotated[int, Field(ge=1, le=100)] = 40
    learning: Literal["WholePhotoLater", "None"] = "WholePhotoLater"


class HardExamples(Spec):
    """The chain of rules; the first that says hard decides. Without `regions` hard photos go up whole."""

    miners: Annotated[tuple[MinerRule, ...], Field(min_length=1, max_length=8)]
    regions: Regions | None = None


class Replay(Spec):
    """Bounds of the replay store: the oldest samples leave first."""

    capacity: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    retention: Retention = "168h"

    def retention_seconds(self) -> int:
        """`retention` in seconds."""
        return int(self.retention[:-1]) * {"m": 60, "h": 3600}[self.retention[-1]]


class JointInference(Spec):
    """The whole spec."""

    task: Task = "semantic-segmentation"
    collaboration: Literal["Route"] = "Route"
    edge: Edge
    cloud: Cloud | None = None
    hard_examples: HardExamples
    deadline_milliseconds: Annotated[int, Field(ge=10, le=600_000)] = 2000
    on_cloud_loss: Literal["AnswerAtEdge"] = "AnswerAtEdge"
    replay: Replay = Replay()

    @model_validator(mode="after")
    def _cloud_or_edge_only(self) -> "JointInference":
        if self.cloud is None and any(rule.miner != "EdgeOnly" for rule in self.hard_examples.miners):
            raise ValueError("without cloud every miner must be EdgeOnly: add cloud, or use EdgeOnly")
        return self

    @model_validator(mode="after")
    def _by_task(self) -> "JointInference":
        if self.task == "semantic-segmentation":
            return self
        if self.cloud is not None and self.cloud.sam is not None:
            raise ValueError(f"cloud.sam is for semantic-segmentation: {self.task} needs a labeller alone")
        if self.cloud is not None and self.cloud.fusion.views != "one":
            raise ValueError(f"cloud.fusion.views is for semantic-segmentation: of {self.task} leave it out")
        if self.hard_examples.regions is not None:
            raise ValueError(f"hardExamples.regions is for semantic-segmentation: {self.task} is of the whole photo")
        if any(rule.miner == "AppealHead" for rule in self.hard_examples.miners):
            raise ValueError(f"AppealHead is for semantic-segmentation: models of {self.task} have no such head")
        if self.task in LABELLER_STANDS and self.cloud is not None and self.cloud.fusion.labels == "both":
            raise ValueError(f"cloud.fusion.labels: of {self.task} the labeller's answer stands, leave both out")
        return self

    @model_validator(mode="after")
    def _boxes_by_task(self) -> "JointInference":
        if self.task != "object-detection" and any(rule.miner in BOX_MINERS for rule in self.hard_examples.miners):
            raise ValueError(f"BoxThreshold and IBT are for object-detection: {self.task} has no boxes")
        return self


def parse(resource: Resource) -> JointInference:
    """The spec of a JointInference; raises InvalidSpec."""
    return parse_spec(JointInference, resource)
