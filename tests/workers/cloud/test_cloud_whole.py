"""Boxes and joints of the cloud: the labeller's answer stands, what is refused, and a real worker with a real hub."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from cloud_kit import LINE, NAMESPACE, RESOURCE, Tiny, box, photo_of, start_worker
from hub_kit import HubKit
from pydantic import ValidationError

from umiak_workers.adapters.artefacts import builtin_folder, load_model
from umiak_workers.cloud.minds import MINDS, mind
from umiak_workers.cloud.stages import Stages
from umiak_workers.cloud.whole import LabellerAlone
from umiak_workers.contract import wire
from umiak_workers.contract.config import CloudConfig, Fusion, ModelSource
from umiak_workers.contract.errors import ConfigError, InvalidInput, InvalidPrediction, Refused, Unavailable
from umiak_workers.contract.messages import CloudAnswerHeader, Task
from umiak_workers.core.tasks import kind_of
from umiak_workers.datasets.yard import Yard
from umiak_workers.predictors.answering import Answering, answering

MODELS: dict[Task, tuple[str, str]] = {
    "object-detection": ("yard-detector-edge", "yard-detector-cloud"),
    "keypoint-detection": ("figure-keypoints-edge", "figure-keypoints-cloud"),
}
IMAGE = Yard("dusk", "clear", 5, 1, 1)[0].image


@dataclass(frozen=True)
class Two:
    """The built-in models of a task."""

    task: Task
    folders: tuple[Path, Path]
    edge: Answering
    labeller: Answering


@pytest.fixture(scope="session", params=MODELS)
def two(request: pytest.FixtureRequest) -> Two:
    folders = tuple(builtin_folder(name) for name in MODELS[request.param])
    models = (answering(load_model(folder), 1, request.param) for folder in folders)
    return Two(request.param, (folders[0], folders[1]), *models)


class Broken:
    """A model that answers nothing."""

    def __init__(self, like: Answering) -> None:
        self.card, self.digest = like.card, like.digest

    def predict(self, image: Any) -> Any:
        raise InvalidPrediction("logits are not finite")

    def check_golden(self) -> None: ...


def test_every_task_has_a_mind() -> None:
    assert set(MINDS) == set(get_args(Task))


def test_the_labellers_answer_stands_and_the_scores_are_the_edges(two: Two) -> None:
    view = mind(two.task, (two.labeller, None), Fusion()).think("", IMAGE, two.edge, Stages())
    mine, better = two.edge.predict(IMAGE), two.labeller.predict(IMAGE)
    (region,), (payload,) = view.answers(())
    assert payload == better.payload() != mine.payload()
    kind_of(two.task).check(payload)
    assert region.box == box(0, 0, IMAGE.shape[1], IMAGE.shape[0])
    assert region.confidence == pytest.approx(better.scores().max_probability, abs=1e-4)
    assert view.scores == mine.scores()
    assert view.models == {"edge": two.edge.digest, "labeller": two.labeller.digest}
    assert view.answers((region.box,)) == view.answers(())
    with pytest.raises(InvalidInput, match="of the whole photo"):
        view.answers((box(0, 0, 8, 8),))


def test_a_labeller_that_fails_is_left_out_and_an_edge_model_that_does_is_refused(two: Two) -> None:
    view = LabellerAlone(Broken(two.labeller)).think("", IMAGE, two.edge, Stages())
    assert view.models == {"edge": two.edge.digest}
    assert view.answers(())[1] == (two.edge.predict(IMAGE).payload(),)
    with pytest.raises(Refused, match="cannot answer this photo"):
        LabellerAlone(two.labeller).think("", IMAGE, Broken(two.edge), Stages())


def test_a_labeller_of_other_classes_is_refused(two: Two) -> None:
    other = next(task for task in MODELS if task != two.task)
    stranger = answering(load_model(builtin_folder(MODELS[other][1])), 1, other)
    with pytest.raises(Unavailable, match=f"labeller {stranger.card.name} has"):
        LabellerAlone(stranger).think("", IMAGE, two.edge, Stages())


def test_a_task_says_which_models_it_needs_and_that_answers_are_not_joined(two: Two) -> None:
    source = ModelSource(uri="builtin:x", digest="sha256:" + "0" * 64)
    facts: dict[str, Any] = {"namespace": "a", "resource": "b", "line": "a/c", "task": two.task}
    assert CloudConfig(**facts, labeller=source).sam is None
    for models in ({}, {"sam": source}, {"sam": source, "labeller": source}):
        with pytest.raises(ValidationError, match="a labeller alone"):
            CloudConfig(**facts, **models)
    with pytest.raises(ValidationError, match="the labeller's answer stands"):
        CloudConfig(**facts, labeller=source, fusion=Fusion(labels="both"))
    with pytest.raises(ConfigError, match="the labeller's answer stands"):
        mind(two.task, (two.labeller, None), Fusion(labels="both"))
    with pytest.raises(ConfigError, match="a labeller alone"):
        mind(two.task, (None, None), Fusion())


@pytest.mark.processes
def test_a_worker_answers_and_the_hub_keeps_it(
    role: Any, free_port: Callable[[], int], hub: HubKit, tiny: Tiny, two: Two
) -> None:
    hub.client("operator").push_model(two.folders[0])
    config = CloudConfig(
        namespace=NAMESPACE,
        resource=RESOURCE,
        line=LINE,
        task=two.task,
        threads=1,
        labeller=ModelSource(uri=two.folders[1].as_uri(), digest=two.labeller.digest),
    )
    worker = start_worker(role, free_port, tiny, hub.url, config)
    worker.role.wait_ready(worker.port, seconds=120)
    photo, facts = photo_of(9), {"model": {"line": LINE, "digest": two.edge.digest}, "keep": True}
    response = worker.post(worker.example(photo, task=two.task, **facts), photo)
    assert response.status_code == 200, response.text
    said, rest = wire.unpack(CloudAnswerHeader, response.headers[wire.HEADER_LENGTH], response.content)
    assert (said.task, said.receipt and said.receipt.outcome) == (two.task, "stored")
    kind_of(two.task).check(rest)
    trainer = hub.client("trainer")
    position = trainer.every_sample(NAMESPACE, RESOURCE, until=10**9).samples[-1].position
    assert trainer.sample_bytes(NAMESPACE, RESOURCE, position, "label") == rest

    refused = worker.post(worker.example(photo, **facts), photo)
    assert (refused.status_code, "task: semantic-segmentation is not answered here" in refused.text) == (400, True)
    worker.http.close()
    assert worker.role.stop() == 0
