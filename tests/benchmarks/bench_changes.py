"""Each optimisation of the hook path beside what stood there before, in turns, on equal outputs.

Run as ``python -m tests.benchmarks.bench_changes [--quick]`` from the repository root. What stood
there before is kept here, as it was. Processor time; the fusion also by the clock, because what it
gained is waiting.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from cds_hooks.app import create_app  # what the service holds, for the collector to go through
from cds_hooks.json_body import parse_exactly
from fhir_adapters import notes
from fhir_adapters.recent_sentences import RecentSentences
from fhir_adapters.record_builder import build_record
from fhir_adapters.sampled_data import _parse
from model.onnx_network import CHUNK, Memory
from model.predictor import Predictor, load_predictor
from tests.benchmarks.charts import LARGE, NOW, TYPICAL, Size, chart_of, hook_body
from tests.benchmarks.harness import Doubles, median, ratio, take_turns
from tests.benchmarks.request_changes import request_changes
from tests.benchmarks.saved import Result, options, run

CHECKPOINT = Path("model/checkpoints/meam-risk")
ROUNDS = 15
COALITIONS = 1_008
Works = Mapping[str, Callable[[], object]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as the options say."""
    given = options(__doc__, arguments)
    run("changes", given, measure)


def measure(result: Result) -> None:
    """Compare every change."""
    _tell(result, "SampledData, a day of five channels", samples())
    _tell(result, "notes seen before, typical chart", texts(TYPICAL))
    for name, works in request_changes(lambda: load_predictor(CHECKPOINT), quick=result.quick):
        _tell(result, name, works)
    if not result.quick:
        _tell(result, "notes seen before, large chart", texts(LARGE))
        _tell(result, "parsing a large chart beside the service's objects", collector())
        predictor = load_predictor(CHECKPOINT, threads=2)
        works = fusion(predictor)
        _tell(result, f"fusion of {COALITIONS} coalitions, processor time", works)
        _tell(result, f"fusion of {COALITIONS} coalitions, clock", works, time.perf_counter)


def _tell(
    result: Result, name: str, works: Works, clock: Callable[[], float] = time.process_time
) -> None:
    taken = take_turns(works, rounds=2 if result.quick else ROUNDS, warm_up=2, clock=clock)
    gained = ratio(taken["before"], taken["now"])
    middle = {key: median(seconds * 1e3).value for key, seconds in taken.items()}
    result.say(
        f"{name}: {middle['before']:.2f} ms before, {middle['now']:.2f} ms now, "
        f"{gained.shown()} times as fast"
    )
    result.figures[name] = {**middle, "gained": gained.to_json()}


def samples() -> Works:
    """Read every number and letter of a day's SampledData."""
    found = [
        one["valueSampledData"] for one in chart_of(TYPICAL).resources if "valueSampledData" in one
    ]
    for data in found:
        numbers, limited = _parse(data)
        before, limited_before = parse_before(data)
        np.testing.assert_array_equal(numbers, before)
        for letter in set(limited) | set(limited_before):
            none = np.zeros(len(numbers), bool)
            np.testing.assert_array_equal(
                limited.get(letter, none), limited_before.get(letter, none)
            )
    return {
        "before": lambda: [parse_before(data) for data in found],
        "now": lambda: [_parse(data) for data in found],
    }


def parse_before(data: Mapping[str, Any]) -> tuple[Doubles, dict[str, Any]]:
    """Read samples one by one, twice more where there are letters among them."""
    tokens = data["data"].split()
    try:
        return np.fromiter(map(float, tokens), np.float64, len(tokens)), {}
    except ValueError:
        limited = {
            letter: np.fromiter((token == letter for token in tokens), bool, len(tokens))
            for letter in "LU"
        }
    numbers = (np.nan if token in "ELU" else float(token) for token in tokens)
    return np.fromiter(numbers, np.float64, len(tokens)), limited


def texts(size: Size) -> Works:
    """Read a chart's notes, with and without what was split before."""
    documents = [
        one for one in chart_of(size).resources if one["resourceType"] == "DocumentReference"
    ]
    known = RecentSentences()

    def read(recent: RecentSentences) -> notes.NotesReading:
        notes._RECENT = recent
        return notes.read_notes(documents, {}, NOW)

    if read(known) != read(RecentSentences()):
        raise SystemExit("remembered sentences differ from fresh ones")
    return {"before": lambda: read(RecentSentences()), "now": lambda: read(known)}


def collector() -> Works:
    """Parse 6 MB with the objects of the service in the collector's sight, and out of it."""
    body = hook_body(chart_of(LARGE))
    held = (create_app, load_predictor(CHECKPOINT))

    def parse(*, frozen: bool) -> object:
        (gc.freeze if frozen else gc.unfreeze)()
        return held and parse_exactly(body)

    return {"before": lambda: parse(frozen=False), "now": lambda: parse(frozen=True)}


def fusion(predictor: Predictor) -> Works:
    """Each step of the graph divided among two threads, and whole shares side by side."""
    tokens = predictor.tokenize(build_record(chart_of(TYPICAL), NOW))
    memory = predictor.network.encode(tokens)
    mask = np.random.default_rng(1).random((COALITIONS, tokens.token_count)) < 0.5
    session = _divided(predictor.checkpoint.fuse_graph)
    before = fuse_before(session, memory, mask)
    np.testing.assert_allclose(predictor.network.fuse(memory, mask).logits, before, atol=1e-5)
    return {
        "before": lambda: fuse_before(session, memory, mask),
        "now": lambda: predictor.network.fuse(memory, mask),
    }


def _divided(graph: bytes) -> ort.InferenceSession:
    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = 2, 1
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])


def fuse_before(session: ort.InferenceSession, memory: Memory, mask: np.ndarray) -> np.ndarray:
    """Run chunk after chunk, with the threads inside the session."""
    padded = np.zeros((len(mask), memory.padded_count), np.bool_)
    padded[:, memory.columns] = mask
    chunks = (padded[start : start + CHUNK] for start in range(0, len(mask), CHUNK))
    wanted = ["logits", "attention"]
    answers = [session.run(wanted, {**memory.parts, "mask": chunk}) for chunk in chunks]
    return np.concatenate([logits for logits, _ in answers])  # attention is of one coalition now


if __name__ == "__main__":
    main()
