"""The second head of an edge model: it learns where the cloud helps, and leaves the first head alone."""

import numpy as np
import torch

from umiak_workers.contract.artefact import Card, InputSpec, OutputSpec
from umiak_workers.models.appeal import AppealHead, AppealNet, Lessons, fit_head, outcome_shares
from umiak_workers.models.build import build, rebuild, state_tensors
from umiak_workers.models.export import export_graph
from umiak_workers.predictors.onnx import OnnxGraph
from umiak_workers.predictors.onnx_graph import spare_tensors, strip

CONFIG = {"classes": 3, "width": 4, "decoder": 8, "blocks": 1}


def test_outcomes_are_shares_of_each_cells_labelled_pixels() -> None:
    label = np.array([[0, 0, 1, 255]], np.uint8)
    edge = np.array([[0, 1, 0, 0]], np.uint8)
    cloud = np.array([[1, 0, 1, 0]], np.uint8)
    shares = outcome_shares(label, edge, cloud, classes=2, height=1, width=2)
    assert shares[:, 0].tolist() == [[0.5, 0.5], [0.5, 0.0], [0.0, 0.0]]  # mended, spoilt, the same


def doubtful(count: int, seed: int) -> Lessons:
    """Where two classes tie the cloud mends; where the third leads it spoils; elsewhere nothing changes."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, (count, 6, 8)).repeat(2, axis=1).repeat(2, axis=2)
    clear = np.array([[0.1, 0.0, -4.0], [-4.0, -4.0, 4.0], [4.0, -4.0, -4.0]], np.float32)
    logits = clear[kind].transpose(0, 3, 1, 2) + rng.normal(0, 0.1, (count, 3, 12, 16)).astype(np.float32)
    return Lessons(logits.astype(np.float32), np.eye(3, dtype=np.float32)[kind].transpose(0, 3, 1, 2))


def test_the_head_learns_where_asking_pays() -> None:
    torch.manual_seed(0)
    network = AppealNet.__new__(AppealNet)
    torch.nn.Module.__init__(network)
    network.appeal = AppealHead(3)
    losses: list[float] = []
    fit_head(network.appeal, doubtful(24, 1), 150, 1, lambda done, loss: losses.append(loss))
    unseen = doubtful(4, 2)
    with torch.inference_mode():
        gain = network.expected_gain(torch.from_numpy(unseen.logits)).numpy()
    truth = unseen.outcomes[:, 0] - unseen.outcomes[:, 1]
    assert losses[-1] < 0.5 * losses[0]
    assert np.abs(gain).max() <= 1
    assert gain[truth == 1].mean() > 0.6
    assert gain[truth == -1].mean() < -0.6
    assert abs(gain[truth == 0].mean()) < 0.2


def test_class_scores_are_those_of_the_model_without_the_head() -> None:
    torch.manual_seed(1)
    plain, judged = build("rfnet", CONFIG).eval(), build("rfnet-appeal", CONFIG).eval()
    judged.load_state_dict(plain.state_dict(), strict=False)
    photo = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        assert torch.equal(plain(photo), judged(photo))


def test_the_exported_graph_answers_both_heads_as_torch_does() -> None:
    torch.manual_seed(2)
    network = build("rfnet-appeal", CONFIG).eval()
    assert isinstance(network, AppealNet)
    weights = state_tensors(network)
    exported = export_graph(network, 32, 48)
    card = Card(
        name="judged",
        classes=("a", "b", "c"),
        input=InputSpec(name="image", layout="NHWC", dtype="uint8", height=32, width=48),
        outputs=OutputSpec(logits="logits", labels="labels", appeal="appeal"),
        architecture={"name": "rfnet-appeal", "config": CONFIG},  # type: ignore[arg-type]
        licence="Apache-2.0",
        training_only=spare_tensors(exported, weights),
    )
    image = np.random.default_rng(3).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    answer = OnnxGraph(card, strip(exported, weights), weights, threads=1).predict(image)
    assert answer.appeal is not None
    assert answer.appeal.shape == answer.logits.shape[1:]
    with torch.inference_mode():
        expected = network.expected_gain(torch.from_numpy(answer.logits)[None])[0].numpy()
    assert np.abs(answer.appeal - expected).max() <= 1e-5
    assert isinstance(rebuild(card, weights), AppealNet)


def test_a_card_without_the_head_is_written_as_before() -> None:
    outputs = OutputSpec(logits="logits", labels="labels")
    card = Card(
        name="plain",
        classes=("a", "b"),
        input=InputSpec(name="image", layout="NHWC", dtype="uint8", height=32, width=48),
        outputs=outputs,
        licence="Apache-2.0",
    )
    assert b"appeal" not in card.canonical_bytes()
    judged = card.model_copy(update={"outputs": outputs.model_copy(update={"appeal": "appeal"})})
    assert b'"appeal":"appeal"' in judged.canonical_bytes()
