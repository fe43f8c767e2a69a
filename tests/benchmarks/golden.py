"""What the model says of the benchmark's charts and the sample patients, to compare code with.

``python -m tests.benchmarks.golden`` writes golden.json. It was written by the code as it stood
before the hook path was made faster (commit f098c62), and is written again only where an output
is meant to change: a new checkpoint, or another reading of charts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fhir_adapters.chart import Chart
from fhir_adapters.datasets.sample_patients import sample_charts
from fhir_adapters.record_builder import build_record
from model.predictor import Predictor, load_predictor
from model.record import PatientRecord
from tests.benchmarks.charts import NOW, SIZES, chart_of

FILE = Path(__file__).with_name("golden.json")
CHECKPOINT = Path("model/checkpoints/meam-risk")
SHOWN = 5
PATIENTS = 3  # of the sample patients: every sentence of them has to be encoded


def charts() -> Iterator[tuple[str, Chart]]:
    """Yield every chart of the comparison with its name."""
    for name, size in SIZES.items():
        yield name, chart_of(size)
    yield from islice(sample_charts(NOW).items(), PATIENTS)


def outputs() -> dict[str, Any]:
    """Return what is compared, by chart."""
    predictor = load_predictor(CHECKPOINT)
    return {name: told(build_record(chart, NOW), predictor) for name, chart in charts()}


def told(record: PatientRecord, predictor: Predictor) -> dict[str, Any]:
    """Return the record's digest, the logit, and the five strongest reasons."""
    _, explanation = predictor(record)
    if explanation is None:
        raise SystemExit("a chart of the comparison is outside the model's population")
    sizes = np.array([abs(token.shap_logit) for token in explanation.tokens])
    strongest = [explanation.tokens[place] for place in np.argsort(-sizes)[:SHOWN].tolist()]
    return {
        "record": record_digest(record),
        "logit": explanation.logit,
        "reasons": {token.token_id: token.shap_logit for token in strongest},
        "lime": [one.lime_logit for one in explanation.tokens if one.lime_logit is not None],
    }


def record_digest(record: PatientRecord) -> str:
    """Return the sha256 of what a record holds, but its report: members that came later do not
    count."""
    parts = [
        [record.demographics.source, record.demographics.age_years, record.demographics.sex],
        [[str(getattr(one, name)) for name in _MEASURED] for one in record.measurements],
        [
            [note.note_type, str(note.time), note.source]
            + [[str(getattr(one, name)) for name in _SAID] for one in note.sentences]
            for note in record.notes
        ],
        [
            [series.channel, series.unit, list(series.sources), series.period_s]
            + [getattr(series, name).tolist() for name in _SAMPLED]
            for series in record.device_series
        ],
        record.stay and [record.stay.source, record.stay.encounter_class, record.stay.unit_type],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


_MEASURED = ("variable", "value", "unit", "time", "source", "interpretation")
_SAID = ("text", "section", "negated", "historical", "family", "hypothetical")
_SAMPLED = ("times_s", "values", "source_index")


def checkpoint_digest() -> str:
    """Return the sha256 of the checkpoint's list of files and digests."""
    return hashlib.sha256((CHECKPOINT / "manifest.json").read_bytes()).hexdigest()


def main() -> None:
    """Write the file."""
    golden = {"checkpoint": checkpoint_digest(), "charts": outputs()}
    FILE.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
