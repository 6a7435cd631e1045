"""The arithmetic of `umiak bench edge`: operations from shapes, turns, rows; and the command from end to end."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from umiak_workers.adapters.artefacts import builtin_folder, load_model, write_artefact
from umiak_workers.bench.edge import cost, macs, peak_megabytes, rows, take_turns
from umiak_workers.bench.edge_memory import high_water
from umiak_workers.cli import bench as bench_command
from umiak_workers.contract.errors import ArtefactError, ConfigError
from umiak_workers.models.build import build, rebuild
from umiak_workers.models.export import export_graph
from umiak_workers.predictors.onnx_graph import parse_graph
from umiak_workers.predictors.quantized import quantize
from umiak_workers.predictors.segmentation import Image, SegmentationOutput


def graph(nodes: list[Any], size: list[Any]) -> bytes:
    """x -> y with a 3x3 kernel `k` from 2 to 4 channels and a 5x7 matrix `m`."""
    built = helper.make_graph(
        nodes,
        "counted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, size)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.zeros((4, 2, 3, 3), np.float32), "k"),
            numpy_helper.from_array(np.zeros((5, 7), np.float32), "m"),
        ],
    )
    return bytes(
        helper.make_model(built, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()
    )


class Stub:
    """Answers nothing and notes the turn."""

    def __init__(self, name: str, turns: list[str]) -> None:
        self.name, self.turns = name, turns

    def predict(self, image: Image) -> SegmentationOutput:
        self.turns.append(self.name)
        return SegmentationOutput(np.zeros((1, 1), np.uint8), np.zeros((2, 1, 1), np.float32))


def test_operations_are_counted_from_shapes() -> None:
    convolution = helper.make_node("Conv", ["x", "k"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1])
    assert macs(graph([convolution], [1, 2, 10, 8])) == 4 * 5 * 4 * (2 * 3 * 3)
    product = helper.make_node("MatMul", ["x", "m"], ["y"])
    assert macs(graph([product], [1, 3, 5])) == 3 * 7 * 5
    assert macs(graph([helper.make_node("Gemm", ["x", "m"], ["y"], transA=1)], [5, 3])) == 3 * 7 * 5
    assert macs(graph([helper.make_node("Relu", ["x"], ["y"])], [1, 2, 10, 8])) == 0


def test_a_graph_whose_shapes_are_open_is_refused() -> None:
    convolution = helper.make_node("Conv", ["x", "k"], ["y"], name="first")
    with pytest.raises(ArtefactError, match="the shapes of Conv 'first' are not known"):
        macs(graph([convolution], ["n", 2, "high", "wide"]))


def test_the_cost_of_a_real_model_is_that_of_its_module() -> None:
    model = load_model(builtin_folder("yard-edge"))
    found = cost(model)
    assert found.parameters == sum(part.numel() for part in rebuild(model.card, model.weights).parameters())
    stem = 96 * 128 * 16 * 3 * 49  # half of 192x256, 16 channels, 7x7 of three
    assert stem < found.macs < 20 * stem


def test_a_photos_own_mean_and_contrast_hide_no_shape() -> None:
    sizes: dict[str, Any] = {"classes": 3, "width": 4, "decoder": 8, "blocks": 1}
    plain, standardised = (
        export_graph(build("rfnet", {**sizes, **more}), 48, 64) for more in ({}, {"standardise": True})
    )
    assert macs(standardised) == macs(plain) > 100_000


def test_a_rank_that_is_open_is_refused_too() -> None:
    flat = helper.make_node("Reshape", ["x", "wanted"], ["flat"])
    product = helper.make_node("MatMul", ["flat", "m"], ["y"], name="second")
    wanted = helper.make_tensor_value_info("wanted", TensorProto.INT64, ["n"])
    model = parse_graph(graph([flat, product], [1, 5]))
    model.graph.input.append(wanted)
    with pytest.raises(ArtefactError, match="the shapes of MatMul 'second' are not known"):
        macs(model.SerializeToString())


def test_int8_costs_as_many_operations_and_the_label_map() -> None:
    model = load_model(builtin_folder("yard-edge"))
    parts = quantize(model, [model.golden.image], False, "a test", lambda: None)
    labels = len(model.card.classes) * 192 * 256 * 9  # of each class, every label cell from nine logits
    assert macs(parts.graph) - macs(model.graph) == labels


def test_every_photo_goes_through_all_before_the_next_in_changing_order() -> None:
    turns: list[str] = []
    ticks = iter(range(10**6))
    photos = [np.zeros((1, 1, 3), np.uint8)] * 40
    taken = take_turns(
        {name: Stub(name, turns) for name in "abc"}, photos, 1, lambda: None, clock=lambda: float(next(ticks))
    )
    rounds = ["".join(turns[start : start + 3]) for start in range(9, len(turns), 3)]
    assert {"".join(sorted(one)) for one in rounds} == {"abc"}
    assert len(set(rounds)) == 6
    assert {name: times == [1000.0] * 40 for name, times in taken.items()} == dict.fromkeys("abc", True)


def test_rows_say_how_much_faster_and_how_much_worse() -> None:
    good, bad = np.asarray([[9, 1, 0], [1, 9, 0]]), np.asarray([[8, 2, 0], [2, 8, 0]])
    found = rows(
        "m",
        {"fp32": [4.0, 4.0, 8.0], "int8": [1.0, 2.0, 3.0], "torch": [8.0] * 3},
        {"fp32": 100.0, "int8": None},
        {"fp32": [good] * 12, "int8": [bad] * 12},
        "fp32",
        seed=1,
    )
    assert [(row.way, row.p50, row.speed, row.megabytes) for row in found] == [
        ("fp32", 4.0, 1.0, 100.0),
        ("int8", 2.0, 2.0, None),
        ("torch", 8.0, 0.5, None),
    ]
    fp32, int8, torch = found
    assert (fp32.miou, fp32.gain) == (pytest.approx(9 / 11), None)
    assert int8.gain == int8.low == int8.high == pytest.approx(8 / 12 - 9 / 11)  # every frame alike
    assert torch.miou is None
    assert int8.p95 == pytest.approx(2.9)


def test_memory_is_read_from_the_kernel() -> None:
    assert high_water("Name:\tpython\nVmHWM:\t  2000 kB\nVmRSS:\t 9 kB\n") == pytest.approx(2.048)
    assert high_water("Name:\tpython\n") is None


@pytest.mark.processes
def test_memory_of_a_process_that_only_answers() -> None:
    found = peak_megabytes("onnx", [builtin_folder("yard-edge")], threads=1, timeout=120)
    assert found is None or 20 < found < 1000


@pytest.mark.processes
def test_the_command_from_end_to_end(tmp_path: Path) -> None:
    model = load_model(builtin_folder("yard-edge"))
    parts = quantize(model, [model.golden.image], False, "a test", lambda: None)
    write_artefact(tmp_path / "small", parts.card, parts.graph, parts.weights, parts.golden)
    arguments = ["edge", "--data", "yard:day?seed=9&frames=4", "--int8", str(tmp_path / "small"), "--timed", "2"]
    result = CliRunner().invoke(
        bench_command.app, [*arguments, "--json", str(tmp_path / "edge.json")], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "edge.json").read_text())
    (found,) = facts["models"]
    assert found["digest"] == model.digest
    ways = {row["way"]: row for row in found["rows"]}
    assert list(ways) == ["torch fp32", "onnx fp32", "onnx fp32, folded", "onnx int8"]
    assert ways["onnx int8"]["low"] <= ways["onnx int8"]["gain"] <= ways["onnx int8"]["high"]
    assert "onnx int8" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "--data: nowhere/val: a data folder holds"),
        (["--int8", "a", "--int8", "b"], "--int8: 2 for 1 models"),
        (["--data", "yard:day?frames=1", "--calibrate", "nowhere"], "--calibrate: nowhere"),
    ],
)
def test_what_is_wrong_is_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(bench_command.app, ["edge", *arguments], catch_exceptions=False)
