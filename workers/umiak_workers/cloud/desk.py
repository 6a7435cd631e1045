"""What the cloud does in its thinking thread: photos decoded, thought about, remembered, cut to what was asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from umiak_workers.adapters.photo import decode_upload
from umiak_workers.cloud.cache import Cache
from umiak_workers.cloud.metrics import CloudMetrics
from umiak_workers.cloud.minds import Mind, View
from umiak_workers.cloud.question import Question
from umiak_workers.cloud.regions import check_boxes
from umiak_workers.cloud.stages import Stages
from umiak_workers.cloud.think import CACHE_BYTES
from umiak_workers.contract.config import CloudConfig
from umiak_workers.contract.errors import UmiakError
from umiak_workers.contract.messages import ExampleHeader, Region
from umiak_workers.predictors.answering import Answering


@dataclass(frozen=True)
class Example:
    """A hard example on its way to the thinking thread."""

    header: ExampleHeader
    photo: bytes
    edge: Answering
    stages: Stages


@dataclass(frozen=True)
class Thought:
    """An example that was thought about, cut to what was asked."""

    opinion: View
    regions: tuple[Region, ...]
    pictures: tuple[bytes, ...]
    whole: bytes
    confidence: float


@dataclass
class Desk:
    """Where examples are thought about; `mind` stays None until the models are loaded. For one thread at a time."""

    config: CloudConfig
    metrics: CloudMetrics
    mind: Mind | None = None
    opinions: Cache[View] = field(default_factory=lambda: Cache(CACHE_BYTES))

    def begin(self, examples: Sequence[Example]) -> list[Callable[[], Thought]]:
        """For the waiting room: what several examples share is done now, the rest when it is each one's turn."""
        assert self.mind is not None, "nobody asks before the models are loaded"
        prepared = [self._prepared(example) for example in examples]
        views = iter(self.mind.think_all([found for found in prepared if isinstance(found, Question)]))
        ways = [
            partial(self._new, example, next(views)) if isinstance(found, Question) else found
            for example, found in zip(examples, prepared, strict=True)
        ]
        return [partial(_thought, example, way) for example, way in zip(examples, ways, strict=True)]

    def _prepared(self, example: Example) -> Question | Callable[[], View]:
        """The photo as a question, or where there is none to ask the way to what is remembered, or to what is wrong.

        The same photo and edge model are thought about once; what is not to be kept is neither looked up nor
        remembered, so that measurements measure.
        """
        header, config = example.header, self.config
        opinion = self.opinions.get(_name(example)) if header.keep else None
        if opinion is not None:
            self.metrics.remembered.inc()
            return partial(_remembered, opinion, header)
        try:
            with example.stages.timed("decode"):
                image = decode_upload(example.photo, config.max_image_bytes, config.max_image_pixels)
            check_boxes(header.regions, image.shape[0], image.shape[1])
        except UmiakError as error:
            return partial(_wrong, error)
        return Question(header.digest if header.keep else "", image, example.edge, example.stages)

    def _new(self, example: Example, think: Callable[[], View]) -> View:
        opinion = self.opinions.get(_name(example)) if example.header.keep else None
        if opinion is not None:  # the same photo stood before it in the batch
            self.metrics.remembered.inc()
            return opinion
        opinion = think()
        if example.header.keep:
            self.opinions.put(_name(example), opinion, opinion.nbytes)
        self.metrics.masks.inc(opinion.masks)
        return opinion


def _name(example: Example) -> str:
    return f"{example.header.digest} {example.edge.digest}"


def _remembered(opinion: View, header: ExampleHeader) -> View:
    check_boxes(header.regions, *opinion.size)
    return opinion


def _wrong(error: UmiakError) -> View:
    raise error


def _thought(example: Example, view: Callable[[], View]) -> Thought:
    header, opinion = example.header, view()
    with example.stages.timed("encode"):
        regions, pictures = opinion.answers(header.regions if header.answer else ())
        whole, confidence = pictures[0], regions[0].confidence
        if header.keep and header.regions and header.answer:
            (everything,), (whole,) = opinion.answers(())
            confidence = everything.confidence
    return Thought(opinion, regions if header.answer else (), pictures if header.answer else (), whole, confidence)
