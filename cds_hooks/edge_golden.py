"""What the exporter predicted for invented patients, and whether another machine says the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from cds_hooks.errors import CommandError
from fhir_adapters.chart import Chart
from fhir_adapters.record_builder import build_record
from model.predictor import Predictor
from model.record import PatientRecord

MOMENT: Final = datetime(2026, 3, 1, 8, tzinfo=UTC)
LOGIT_TOLERANCE: Final = 1e-4
TOP: Final = 5
CLEAR_LOGIT: Final = 1e-3  # between neighbours in the ranking: less could change places elsewhere
FEWEST, MOST = 3, 4  # patients; a sample chart has some 300 kB


@dataclass(frozen=True, slots=True)
class Said:
    """A prediction and its reasons."""

    version: str
    logit: float
    seed: int  # of the explanation: follows from what the chart says
    top: tuple[str, ...]  # the strongest, the first the strongest of all


def write_golden(file: Path, charts: Sequence[Chart], predictor: Predictor) -> int:
    """Write the charts that have a clear ranking, and what is predicted; return how many.

    Raises CommandError where fewer than FEWEST have one.
    """
    rows: list[dict[str, Any]] = []
    for chart in charts:
        if len(rows) == MOST:
            break
        record = build_record(chart, MOMENT)
        found, is_clear = said(predictor, record)
        if found is not None and is_clear:
            rows.append(
                {
                    "patient_id": chart.patient_id,
                    "encounter_id": chart.encounter_id,
                    "resources": list(chart.resources),
                    "version": found.version,
                    "logit": found.logit,
                    "seed": found.seed,
                    "top": list(found.top),
                }
            )
    if len(rows) < FEWEST:
        raise CommandError(
            f"only {len(rows)} of {len(charts)} sample patients have five clear reasons under this"
            f" checkpoint; a self-test needs {FEWEST}"
        )
    file.write_text(json.dumps({"moment": MOMENT.isoformat(), "patients": rows}), encoding="utf-8")
    return len(rows)


def said(predictor: Predictor, record: PatientRecord) -> tuple[Said | None, bool]:
    """Predict; None where it does not apply. Also: whether the five strongest stand apart."""
    prediction, explanation = predictor(record)
    if explanation is None:
        return None, False
    ranked = sorted(explanation.tokens, key=lambda token: -abs(token.shap_logit))
    sizes = [abs(token.shap_logit) for token in ranked[: TOP + 1]]
    gaps = [larger - smaller for larger, smaller in pairwise(sizes)]
    found = Said(
        version=prediction.model_version,
        logit=explanation.logit,
        seed=explanation.seed,
        top=tuple(token.token_id for token in ranked[:TOP]),
    )
    return found, len(gaps) == TOP and min(gaps) >= CLEAR_LOGIT


def read_golden(file: Path) -> list[tuple[Chart, PatientRecord, Said]]:
    """Return the charts, their records and what the exporter said."""
    golden = json.loads(file.read_text(encoding="utf-8"))
    moment = datetime.fromisoformat(golden["moment"])
    rows = []
    for row in golden["patients"]:
        chart = Chart(row["patient_id"], tuple(row["resources"]), encounter_id=row["encounter_id"])
        expected = Said(row["version"], row["logit"], row["seed"], tuple(row["top"]))
        rows.append((chart, build_record(chart, moment), expected))
    return rows


def differences(expected: Said, found: Said | None) -> list[str]:
    """Return a sentence for each thing that differs by more than rounding."""
    if found is None:
        return ["no prediction here; the exporter made one"]
    lines = []
    if found.version != expected.version:
        lines.append(f"model version {found.version}; the exporter had {expected.version}")
    if not abs(found.logit - expected.logit) <= LOGIT_TOLERANCE:
        lines.append(f"logit {found.logit:.6f}; the exporter had {expected.logit:.6f}")
    if found.seed != expected.seed:
        lines.append("the chart is read otherwise here: the explanation has another seed")
    if found.top != expected.top:
        lines.append(f"reasons {', '.join(found.top)}; the exporter had {', '.join(expected.top)}")
    return lines


def prefetch(chart: Chart) -> dict[str, Any]:
    """Return a chart as a client sends it."""
    by_type: dict[str, list[Mapping[str, Any]]] = {}
    for resource in chart.resources:
        by_type.setdefault(resource["resourceType"], []).append(resource)
    bundles = {
        key: {
            "resourceType": "Bundle",
            "type": "searchset",
            "entry": [{"resource": one} for one in by_type.get(kind, [])],
        }
        for key, kind in (("vitalSigns", "Observation"), ("notes", "DocumentReference"))
    }
    return {"patient": by_type["Patient"][0], "encounter": by_type["Encounter"][0], **bundles}
