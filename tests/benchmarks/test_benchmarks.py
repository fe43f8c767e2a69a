"""Short forms work, what they compute with is right, and speed changed no output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from model.predictor import load_predictor
from model.sentence_encoder import MiniLMEncoder
from tests.benchmarks import (
    bench_changes,
    bench_explainers,
    bench_growth,
    bench_healthchain,
    bench_roofline,
    bench_stages,
    bench_throughput,
    golden,
    page,
)
from tests.benchmarks.charts import LARGE, NOW, SMALL, TYPICAL, Size, chart_of, hook_body
from tests.benchmarks.game import chart_game
from tests.benchmarks.harness import line, median, ratio, slope, take_turns
from tests.benchmarks.targets import rows

LOGIT = 1e-4


def test_outputs_are_those_of_the_code_before_it_was_made_faster() -> None:
    known = json.loads(golden.FILE.read_text())
    if known["checkpoint"] != golden.checkpoint_digest():
        pytest.skip("golden.json is of another checkpoint; write it again: tests.benchmarks.golden")
    found = golden.outputs()
    assert found.keys() == known["charts"].keys()
    for name, expected in known["charts"].items():
        assert found[name]["record"] == expected["record"], name
        assert found[name]["logit"] == pytest.approx(expected["logit"], abs=LOGIT)
        assert list(found[name]["reasons"]) == list(expected["reasons"])
        values, before = (list(one["reasons"].values()) for one in (found[name], expected))
        assert values == pytest.approx(before, abs=LOGIT)
        assert found[name]["lime"] == pytest.approx(expected["lime"], abs=LOGIT)


@pytest.mark.parametrize(
    ("size", "sentences"), [(SMALL, 6), (TYPICAL, 60), (Size("own", 90, 2, 3, 24), 12)]
)
def test_a_chart_holds_what_its_size_says(size: Size, sentences: int) -> None:
    resources = chart_of(size).resources
    observations = [one for one in resources if one["resourceType"] == "Observation"]
    notes = [one for one in resources if one["resourceType"] == "DocumentReference"]
    assert len([one for one in observations if "device" not in one]) == size.observations
    assert len(notes) == size.notes
    assert sentences == size.notes * 6
    samples = sum(len(o["valueSampledData"]["data"].split()) for o in observations if "device" in o)
    assert samples == (5 * (60 * size.device_hours + 1) if size.device_hours else 0)


def test_a_hook_request_holds_the_whole_chart() -> None:
    chart = chart_of(SMALL)
    prefetch = json.loads(hook_body(chart))["prefetch"]
    bundles = [value for value in prefetch.values() if value["resourceType"] == "Bundle"]
    assert sum(len(bundle["entry"]) for bundle in bundles) + 2 == len(chart.resources)
    assert LARGE.observations == 10_000 and NOW.tzinfo is not None


def test_works_take_turns_in_changing_order() -> None:
    order: list[str] = []
    ticks: Iterator[float] = iter(range(100))
    works: dict[str, Callable[[], object]] = {
        name: lambda name=name: order.append(name)
        for name in "ab"  # type: ignore[misc]
    }
    taken = take_turns(works, rounds=2, warm_up=0, clock=lambda: next(ticks))
    assert order == ["a", "b", "b", "a"]
    assert {name: list(seconds) for name, seconds in taken.items()} == {"a": [1, 1], "b": [1, 1]}


def test_estimates_are_known_answers() -> None:
    assert median(np.array([1.0, 2.0, 3.0])).value == 2
    assert ratio(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0])).value == 2
    square = slope([1.0, 10.0, 100.0], {n: np.full(3, 3 * n**2) for n in (1.0, 10.0, 100.0)})
    assert (square.value, square.low, square.high) == pytest.approx((2, 2, 2))
    x = np.arange(40.0)
    assert line(x, 5 + 0.5 * x).value == pytest.approx(0.5)


def test_multiply_adds_of_a_product_are_counted() -> None:
    node = helper.make_node("MatMul", ["a", "b"], ["c"])
    shapes = {"a": (2, 3, 5), "b": (5, 7), "c": (2, 3, 7)}
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    graph = helper.make_graph([node], "product", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    feed = {name: np.ones(shapes[name], np.float32) for name in "ab"}
    counted = bench_roofline.count(model, feed)
    assert counted.multiply_adds == 2 * 3 * 5 * 7
    assert counted.megabytes == pytest.approx(4 * (30 + 35 + 42) / 1e6)


def test_the_budget_at_an_error_is_read_between_the_budgets_tried() -> None:
    assert bench_explainers.walks_at(0.05, {1: 0.2, 2: 0.1, 4: 0.05}) == pytest.approx(4)
    assert bench_explainers.walks_at(0.1 / 2**0.5, {2: 0.1, 4: 0.05}) == pytest.approx(2 * 2**0.5)


def test_encoding_anew_gives_the_values_of_the_fusion() -> None:
    game = chart_game(load_predictor(golden.CHECKPOINT, threads=1), SMALL)
    masks = np.random.default_rng(0).random((4, game.players)) < 0.5
    anew = game.encoding_anew(MiniLMEncoder(threads=1))
    assert anew(masks) == pytest.approx(game.fused()(masks), abs=LOGIT)


def test_a_target_without_a_result_is_said_to_be_missing() -> None:
    table = rows({})
    assert {row[2] for row in table} == {"not measured here"}
    assert {row[3] for row in table} == {""}


@pytest.mark.parametrize(
    "main",
    [
        bench_stages.main,
        bench_changes.main,
        bench_growth.main,
        bench_roofline.main,
        bench_healthchain.main,
        bench_throughput.main,
    ],
    ids=lambda main: main.__module__.rpartition("_")[2],
)
def test_the_short_form_works_and_is_on_the_page(
    main: Callable[[list[str]], None], tmp_path: Path
) -> None:
    main(["--quick", "--out", str(tmp_path)])
    ((name, result),) = page.read(tmp_path).items()
    assert result["quick"] and len(result["lines"]) > 1
    shown = (tmp_path / "index.html").read_text()
    assert page.TITLES[name] in shown
    assert "A quick run" in shown
