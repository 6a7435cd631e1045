"""The class that the cloud gives a photo: who takes part, what is refused, and a real worker with a real hub."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from cloud_kit import LINE, NAMESPACE, RESOURCE, Tiny, box, photo_of, start_worker
from hub_kit import HubKit
from pydantic import ValidationError

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.cloud.classify import Classifier
from umiak_workers.cloud.minds import mind
from umiak_workers.cloud.stages import Stages
from umiak_workers.contract import wire
from umiak_workers.contract.config import CloudConfig, Fusion, ModelSource
from umiak_workers.contract.errors import ConfigError, InvalidInput, InvalidPrediction, Unavailable
from umiak_workers.contract.messages import CloudAnswerHeader, Task
from umiak_workers.core.scores import softmax
from umiak_workers.core.tasks.classification import unpack
from umiak_workers.predictors.classification import OnnxClassifier

IMAGE = np.random.default_rng(0).integers(1, 256, (64, 96, 3), dtype=np.uint8)
HARD = IMAGE // 3 + 1


@dataclass(frozen=True)
class Two:
    """An edge model and a labeller of the same classes, with their folders."""

    folders: tuple[Path, Path]
    edge: OnnxClassifier
    labeller: OnnxClassifier


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Callable[..., str]) -> Two:
    root = tmp_path_factory.mktemp("classes")
    folders = (root / "edge", root / "labeller")
    for seed, folder in enumerate(folders):
        tiny_classifier(folder, seed + 1)
    return Two(folders, *(OnnxClassifier(load_model(folder), 1) for folder in folders))


@pytest.mark.parametrize("labels", ["labeller", "both"])
def test_the_labeller_or_the_mean_of_both_decides(two: Two, labels: Any) -> None:
    view = Classifier(two.labeller, Fusion(labels=labels)).think("", HARD, two.edge, Stages())
    mine, better = (softmax(model.predict(HARD).logits) for model in (two.edge, two.labeller))
    expected = better if labels == "labeller" else (mine + better) / 2
    (region,), (payload,) = view.answers(())
    said = unpack(payload).probabilities
    assert [said[name] for name in two.edge.card.classes] == pytest.approx(expected, abs=1e-5)
    assert region.box == box(0, 0, 96, 64)
    assert region.confidence == pytest.approx(expected.max(), abs=1e-4)
    assert view.scores == two.edge.predict(HARD).scores()
    assert view.models == {"edge": two.edge.digest, "labeller": two.labeller.digest}


def test_a_part_of_a_photo_has_no_class(two: Two) -> None:
    view = Classifier(two.labeller, Fusion()).think("", IMAGE, two.edge, Stages())
    assert view.answers((box(0, 0, 96, 64),)) == view.answers(())
    with pytest.raises(InvalidInput, match="of the whole photo"):
        view.answers((box(0, 0, 48, 64),))


def test_a_labeller_that_fails_is_left_out_and_one_of_other_classes_is_refused(
    two: Two, tmp_path: Path, tiny_classifier: Callable[..., str]
) -> None:
    class Broken:
        card, digest = two.labeller.card, two.labeller.digest

        def predict(self, image: Any) -> Any:
            raise InvalidPrediction("logits are not finite")

    view = Classifier(Broken(), Fusion()).think("", IMAGE, two.edge, Stages())  # type: ignore[arg-type]
    assert view.models == {"edge": two.edge.digest}
    assert view.chances == pytest.approx(softmax(two.edge.predict(IMAGE).logits))
    tiny_classifier(tmp_path / "pets", 1, ("cat", "dog"))
    with pytest.raises(Unavailable, match="labeller tiny-classes has cat, dog"):
        Classifier(OnnxClassifier(load_model(tmp_path / "pets"), 1), Fusion()).think("", IMAGE, two.edge, Stages())


def test_a_task_says_which_models_it_needs() -> None:
    source = ModelSource(uri="builtin:x", digest="sha256:" + "0" * 64)
    facts: dict[str, Any] = {"namespace": "a", "resource": "b", "line": "a/c", "task": "image-classification"}
    assert CloudConfig(**facts, labeller=source).sam is None
    for models in ({}, {"sam": source}, {"sam": source, "labeller": source}):
        with pytest.raises(ValidationError, match="a labeller alone"):
            CloudConfig(**facts, **models)
    with pytest.raises(ConfigError, match="poetry is not answered"):
        mind(cast(Task, "poetry"), (None, None), Fusion())


@pytest.mark.processes
def test_a_worker_answers_classes_and_the_hub_keeps_them(
    role: Any, free_port: Callable[[], int], hub: HubKit, tiny: Tiny, two: Two
) -> None:
    hub.client("operator").push_model(two.folders[0])
    config = CloudConfig(
        namespace=NAMESPACE,
        resource=RESOURCE,
        line=LINE,
        task="image-classification",
        threads=1,
        labeller=ModelSource(uri=two.folders[1].as_uri(), digest=two.labeller.digest),
    )
    worker = start_worker(role, free_port, tiny, hub.url, config)
    worker.role.wait_ready(worker.port, seconds=120)
    photo, facts = photo_of(7), {"model": {"line": LINE, "digest": two.edge.digest}, "keep": True}
    header = worker.example(photo, task="image-classification", **facts)
    response = worker.post(header, photo)
    assert response.status_code == 200, response.text
    said, rest = wire.unpack(CloudAnswerHeader, response.headers[wire.HEADER_LENGTH], response.content)
    assert (said.task, said.receipt and said.receipt.outcome) == ("image-classification", "stored")
    assert unpack(rest).label in two.edge.card.classes
    trainer = hub.client("trainer")
    position = trainer.every_sample(NAMESPACE, RESOURCE, until=10**9).samples[-1].position
    assert trainer.sample_bytes(NAMESPACE, RESOURCE, position, "label") == rest

    refused = worker.post(worker.example(photo, **facts), photo)
    assert (refused.status_code, "task: semantic-segmentation is not answered here" in refused.text) == (400, True)
    of_masks = worker.example(photo, task="image-classification", model={"line": LINE, "digest": tiny.edge_digest})
    refused = worker.post(of_masks, photo)
    assert (refused.status_code, "is a semantic-segmentation model" in refused.text) == (503, True)
    worker.http.close()
    assert worker.role.stop() == 0
