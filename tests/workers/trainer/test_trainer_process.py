"""The real trainer process against a real hub: one report in the end, and nothing before that looks like one."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from hub_kit import HubKit, digest_of, hub_config, make_hub, token_of

from umiak_workers.adapters.artefacts import builtin_folder
from umiak_workers.adapters.hub_client import HubClient
from umiak_workers.contract.config import FitConfig, Promotion, TrainerConfig
from umiak_workers.contract.errors import Unavailable
from umiak_workers.contract.messages import RoundReport, SampleHeader, Scores
from umiak_workers.core.mask_png import encode_mask
from umiak_workers.trainer.patient import PatientHub

pytestmark = pytest.mark.processes


def as_photo(image: Any) -> bytes:
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=92)
    return file.getvalue()


@pytest.fixture
def kit(role: Callable[..., Any], tmp_path: Path, dusk: Any, edge_model: Any) -> Iterator[HubKit]:
    """A hub with the built-in model as head of a line, a LifelongLearning and twelve cloud-answered samples."""
    made = make_hub(role, tmp_path / "hub", hub_config(), {}).start()
    made.put(made.joint_inference(builtin_folder("yard-edge").as_uri(), edge_model.digest))
    made.put(made.learning())
    cloud = made.client("cloud")
    for number, sample in enumerate(dusk[:12]):
        photo, label = as_photo(sample.image), encode_mask(sample.label)
        header = SampleHeader(
            frame=f"edge-1/http/{number}",
            digest=digest_of(photo),
            image_size=len(photo),
            label_size=len(label),
            media="image/jpeg",
            captured_at=1000.0 + number,
            edge_model=edge_model.digest,
            scores=Scores(margin=0.1, max_probability=0.5, entropy=0.7),
            confidence=0.8,
        )
        assert cloud.put_sample(made.namespace, "watch", header, photo, label).outcome == "stored"
    yield made
    made.stop()


@pytest.fixture
def trainer(kit: HubKit, role: Callable[..., Any], edge_model: Any, tmp_path: Path) -> Callable[..., Any]:
    """`trainer(epochs=1)` -> the Job's process, not started; its bounds promote whatever comes out."""
    deadline = time.monotonic() + 60
    operator = kit.client("operator")
    while operator.manifest_bytes(edge_model.digest) is None:
        assert time.monotonic() < deadline, "the hub has not imported the base model"
        time.sleep(0.2)

    def make(epochs: int = 1) -> Any:
        config = TrainerConfig(
            namespace=kit.namespace,
            resource="night",
            joint_inference="watch",
            round="night-round-1",
            line=kit.line,
            base=edge_model.digest,
            watermark=12,
            base_data="yard:day?seed=101&frames=8&shot=1",
            fit=FitConfig(epochs=epochs, batch=4, threads=1),
            promotion=Promotion(min_gain=-1, max_forgetting=1),
        )
        return role("trainer", config, {"umiak://hub": kit.url}, token_of("trainer", kit.namespace), tmp_path / "work")

    (tmp_path / "work").mkdir()
    return make


def rounds_of(kit: HubKit) -> tuple[RoundReport, ...]:
    return kit.view(kit.learning()).rounds


def test_a_round_ends_in_one_report_and_a_candidate_however_often_it_runs(
    kit: HubKit, trainer: Callable[..., Any], tmp_path: Path
) -> None:
    assert trainer().start().wait_exit(240) == 0
    (first,) = rounds_of(kit)
    assert (first.round, first.outcome, first.samples, first.watermark) == ("night-round-1", "Promoted", 12, 12)
    assert kit.client("agent").manifest_bytes(first.candidate) is not None
    again = trainer()
    assert again.start().wait_exit(240) == 0
    (second,) = rounds_of(kit)
    assert second.model_copy(update={"finished_at": first.finished_at}) == first
    log = again.log()
    assert '"epoch": 1' in log
    assert '"seconds_left"' in log
    assert not list((tmp_path / "work").glob("umiak-trainer-*"))


def test_a_hub_that_comes_back_is_waited_for(kit: HubKit, trainer: Callable[..., Any]) -> None:
    kit.role.kill()
    job = trainer().start()
    deadline = time.monotonic() + 60
    while "trying again" not in job.log():
        assert time.monotonic() < deadline, job.log()
        time.sleep(0.1)
    kit.start()
    assert job.wait_exit(240) == 0
    assert len(rounds_of(kit)) == 1


def test_a_stopped_round_says_so_by_its_exit_code_and_leaves_nothing(
    kit: HubKit, trainer: Callable[..., Any], tmp_path: Path
) -> None:
    job = trainer(epochs=1000).start()
    deadline = time.monotonic() + 120
    while '"epoch": 1' not in job.log():
        assert time.monotonic() < deadline, job.log()
        time.sleep(0.1)
    assert job.stop() == 143
    assert rounds_of(kit) == ()
    assert not list((tmp_path / "work").glob("umiak-trainer-*"))


def test_patience_ends(free_port: Callable[[], int]) -> None:
    with HubClient(f"http://127.0.0.1:{free_port()}", "x", 1) as client, pytest.raises(Unavailable):
        PatientHub(client, 2).every_sample("plant", "watch", 3)
