"""What was made faster around the network, beside what stood there before, for bench_changes."""

from __future__ import annotations

import gc
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import create_engine, insert

from cds_hooks import store, stored_explanation, tables
from cds_hooks.collector import collector_paused
from cds_hooks.json_body import parse_exactly, parse_json
from cds_hooks.stored_explanation import StoredExplanation
from fhir_adapters import notes, vitals
from fhir_adapters.chart import Chart
from fhir_adapters.record_builder import build_record
from fhir_adapters.usual_observations import UsualObservations
from model.predictor import Predictor
from tests.benchmarks.charts import LARGE, NOW, TYPICAL, Size, chart_of, hook_body

Works = Mapping[str, Callable[[], object]]


def request_changes(load: Callable[[], Predictor], *, quick: bool) -> Iterator[tuple[str, Works]]:
    """Yield each comparison by name. ``load`` gives the shipped model, which quick ones lack."""
    yield "JSON of a typical chart", bodies(TYPICAL)
    yield "record of a typical chart", observations(TYPICAL)
    yield "50 rows of cards", rows()
    if quick:
        return
    yield "copies among notes seen before, large chart", copies(LARGE)
    yield "JSON of a large chart", bodies(LARGE)
    yield "record of a large chart", observations(LARGE)
    yield "large chart from bytes to record, collector paused", pause()
    predictor = load()
    yield "stored explanation, typical chart", explanations(predictor, TYPICAL)
    yield "stored explanation, large chart", explanations(predictor, LARGE)


def bodies(size: Size) -> Works:
    """Read a hook's JSON with the standard library, and with orjson."""
    body = hook_body(chart_of(size))
    if parse_json(body) != parse_exactly(body):
        raise SystemExit("orjson read another value than the standard library")
    return {"before": lambda: parse_exactly(body), "now": lambda: parse_json(body)}


class _LongWay(UsualObservations):
    """Leaves every Observation to the long way."""

    def read(self, observation: dict[str, Any], source: str) -> None:
        return None


def observations(size: Size) -> Works:
    """Make a chart's record, with each Observation read the long way, and the short way."""
    chart = chart_of(size)

    def read(way: type[UsualObservations]) -> object:
        vitals.UsualObservations = way  # type: ignore[misc]
        try:
            return build_record(chart, NOW).measurements
        finally:
            vitals.UsualObservations = UsualObservations  # type: ignore[misc]

    if read(_LongWay) != read(UsualObservations):
        raise SystemExit("the short way of reading gives other measurements")
    return {"before": lambda: read(_LongWay), "now": lambda: read(UsualObservations)}


def copies(size: Size) -> Works:
    """Find copied sentences among notes, with their words taken anew, and remembered."""
    found = chart_of(size).resources
    documents = [one for one in found if one["resourceType"] == "DocumentReference"]
    remembered = notes._assertion_key

    def read(key: Any) -> object:
        notes._assertion_key = key
        try:
            return notes.read_notes(documents, {}, NOW)
        finally:
            notes._assertion_key = remembered

    return {"before": lambda: read(remembered.__wrapped__), "now": lambda: read(remembered)}


def rows() -> Works:
    """Insert a card with a statement of its own, and with the one that is kept."""
    engine = create_engine("sqlite://")
    tables.metadata.create_all(engine)
    connection = engine.connect()
    row = dict.fromkeys((column.name for column in tables.cards.columns), "x")
    row |= {"created_s": 0.0, "shown": True}  # type: ignore[dict-item]

    def anew() -> None:
        for _ in range(50):
            values = {**row, "card_uuid": str(uuid.uuid4())}
            connection.execute(insert(tables.cards).values(**values))

    def kept() -> None:
        for _ in range(50):
            connection.execute(store._INSERT_CARD, {**row, "card_uuid": str(uuid.uuid4())})

    return {"before": anew, "now": kept}


def pause() -> Works:
    """Make a record out of bytes while the collector runs, and while it rests."""
    body, chart = hook_body(chart_of(LARGE)), chart_of(LARGE)
    gc.collect()
    gc.freeze()  # as gunicorn's workers do, see warm_up.py

    def read() -> int:
        prefetch = parse_json(body)["prefetch"]
        found = Chart(chart.patient_id, tuple(prefetch.values()), encounter_id=chart.encounter_id)
        return len(build_record(found, NOW).measurements)

    def paused() -> int:
        with collector_paused():
            return read()

    return {"before": read, "now": paused}


def explanations(predictor: Predictor, size: Size) -> Works:
    """Write an explanation with the standard library's encoder, and with orjson."""
    record = build_record(chart_of(size), NOW)
    prediction, explanation = predictor(record)
    life = timedelta(hours=1)
    names = (str(uuid.uuid4()), "meam-risk", "h", NOW, NOW + life)
    stored = StoredExplanation(*names, record, prediction, explanation)

    def before() -> bytes:
        kept = stored_explanation.orjson.dumps
        stored_explanation.orjson.dumps = _by_the_standard_library
        try:
            return stored_explanation.to_bytes(stored)
        finally:
            stored_explanation.orjson.dumps = kept

    return {"before": before, "now": lambda: stored_explanation.to_bytes(stored)}


def _by_the_standard_library(document: Any, **_: object) -> bytes:
    tagged = stored_explanation._tagged_as_it_is
    return json.dumps(document, default=tagged, separators=(",", ":")).encode("ascii")
