"""A prediction as a FHIR R4 RiskAssessment.

``status`` is of the value set observation-status: "final" with an estimate, and "cancelled"
("the measurement was not started or not completed") where the model does not apply to the
patient. "registered" would promise a result to come. A cancelled one has no ``prediction``, and
its notes say why.

``probabilityDecimal`` is a percentage: R4 says so (its largest value is 100), though the same
number between 0 and 1 would be read as a tiny risk. The rationale repeats it in words.

The reasons name values, times and sources. They do not quote notes, whose words may be about
anybody: a sentence is named by the type, time and source of its note.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from cds_hooks.escape import plain
from cds_hooks.explanation_page.figures import value_text
from cds_hooks.reasons import shown_tokens
from cds_hooks.wording import percent
from model.prediction import (
    DeviceEvidence,
    Explanation,
    Prediction,
    RiskGroup,
    SentenceEvidence,
    StructuredEvidence,
    TaskPrediction,
    TokenAttribution,
)
from model.record import PatientRecord

Json = dict[str, Any]

NO_ESTIMATE = "No estimate: "
_RISK_PROBABILITY = "http://terminology.hl7.org/CodeSystem/risk-probability"
_RISK_CODES: dict[RiskGroup, str] = {"low": "low", "high": "high"}  # it has none for "uncertain"
_REFERENCE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")
_NAMESPACE = uuid.UUID("5c5f2c0e-6a8b-4f7e-9d36-3f0b1d0e5a41")  # ours, drawn once
_MOST_SOURCES = 200  # of the strongest findings; a chart of 10,000 values would fill the line
_MOST_NOTES = 6
_NAME_LIMIT = 60
_LINE_LIMIT = 240


def risk_assessment(
    record: PatientRecord, prediction: Prediction, explanation: Explanation | None
) -> Json:
    """Return the resource; ``tasks`` empty makes a cancelled one without a risk.

    The id is the same for the same patient, model and time, so that filing it twice is once.
    """
    patient = record.demographics.source
    time = prediction.prediction_time.isoformat()
    model = f"{plain(prediction.model_name)} {plain(prediction.model_version)}"
    resource: Json = {
        "resourceType": "RiskAssessment",
        "id": str(uuid.uuid5(_NAMESPACE, f"{patient} {model} {time}")),
        "status": "final" if prediction.tasks else "cancelled",
        "method": {"text": model},
        "subject": {"reference": patient},
    }
    if record.stay is not None:
        resource["encounter"] = {"reference": record.stay.source}
    resource["occurrenceDateTime"] = time
    basis = _basis(explanation)
    if basis:
        resource["basis"] = basis
    if prediction.tasks:
        resource["prediction"] = [_outcome(task, explanation) for task in prediction.tasks]
    resource["note"] = [{"text": text} for text in _notes(record, prediction)]
    return resource


def _outcome(task: TaskPrediction, explanation: Explanation | None) -> Json:
    """Return one entry of ``prediction``. Only the explained task has reasons."""
    explained = explanation if explanation and explanation.task == task.task else None
    risk: Json = {"text": f"{task.risk_group}, at {task.conformal_confidence:.0%} confidence"}
    code = _RISK_CODES.get(task.risk_group)
    if code is not None:
        risk["coding"] = [{"system": _RISK_PROBABILITY, "code": code}]
    return {
        "outcome": {"text": task.display},
        "probabilityDecimal": float(f"{100 * task.probability:.4g}"),
        "qualitativeRisk": risk,
        "rationale": " ".join(_rationale(task, explained)),
    }


def _rationale(task: TaskPrediction, explanation: Explanation | None) -> Iterator[str]:
    yield (
        f"Estimated risk of {plain(task.display, _NAME_LIMIT)}: {percent(task.probability)};"
        f" average of the patients that the model learnt from: {percent(task.base_rate)}."
    )
    if explanation is None:
        return
    if not explanation.reliable:
        yield "Reasons are not given: the explanation did not pass its own check."
        return
    reasons = [_reason(token) for token in shown_tokens(explanation)]
    if reasons:
        yield f"Strongest reasons (association, not cause): {'; '.join(reasons)}."
    else:
        yield "No single finding stands out."


def _reason(token: TokenAttribution) -> str:
    effect = "raises" if token.shap_logit > 0 else "lowers"
    source = f" [{plain(token.sources[0], _NAME_LIMIT)}]" if token.sources else ""
    return f"{_finding(token)} {effect} it{source}"


def _finding(token: TokenAttribution) -> str:
    evidence = token.evidence
    if isinstance(evidence, SentenceEvidence):
        note = plain(evidence.note_type, _NAME_LIMIT) or "a note"
        return f"a sentence of the {note} of {_clock(evidence.time)}"
    name = plain(evidence.display, _NAME_LIMIT)
    if isinstance(evidence, DeviceEvidence):
        mean = value_text(evidence.mean, evidence.unit)
        return f"{name} {mean} on average ({_clock(evidence.start)} to {_clock(evidence.end)})"
    return f"{name} {_structured(evidence)}"


def _structured(evidence: StructuredEvidence) -> str:
    if not evidence.measured:
        return "not measured"
    if evidence.text or evidence.value is None:
        return plain(evidence.text, _NAME_LIMIT)
    value = value_text(evidence.value, evidence.unit)
    return f"{value} ({_clock(evidence.time)})" if evidence.time else value


def _clock(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _basis(explanation: Explanation | None) -> list[Json]:
    """Return what the estimate rests on, by strength; parts of a resource count as the whole."""
    if explanation is None:
        return []
    by_strength = sorted(explanation.tokens, key=lambda t: (-abs(t.shap_logit), t.token_id))
    sources = (source.partition("#")[0] for token in by_strength for source in token.sources)
    distinct = dict.fromkeys(source for source in sources if _REFERENCE.fullmatch(source))
    return [{"reference": source} for source in list(distinct)[:_MOST_SOURCES]]


def _notes(record: PatientRecord, prediction: Prediction) -> Iterator[str]:
    """Yield why there is no estimate, what limits it, and what the model is."""
    checks = prediction.applicability
    yield from (f"{NO_ESTIMATE}{plain(reason, _LINE_LIMIT)}" for reason in checks.reasons)
    limits = (*checks.warnings, *(line.sentence for line in record.report.incomplete))
    yield from _first(plain(limit, _LINE_LIMIT) for limit in limits)
    yield (
        f"{plain(prediction.trained_on, 400)} For adult inpatients. Research software, not a"
        " medical device: it does not replace clinical judgement."
    )


def _first(sentences: Iterable[str]) -> list[str]:
    distinct = list(dict.fromkeys(sentences))
    if len(distinct) <= _MOST_NOTES:
        return distinct
    return [*distinct[:_MOST_NOTES], f"{len(distinct) - _MOST_NOTES} more limits."]
