"""A world that works: settings, a patient's resources, a hook request, and a predictor.

Each test takes it and breaks one thing.
"""

from __future__ import annotations

import base64
import json
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cds_hooks.settings import Settings, development_settings
from model.prediction import (
    Agreement,
    Applicability,
    DeviceEvidence,
    Explanation,
    GroupAttribution,
    Modality,
    Prediction,
    SentenceEvidence,
    StructuredEvidence,
    TaskPrediction,
    TokenAttribution,
)
from model.record import DeviceSeries, Measurement, PatientRecord, Sentence

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PATIENT = "pat-1"
BASE_RATE = 0.14
TOKEN = "opaque-access-token-7f3a"

_CENTERS = {"lactate": (1.2, 0.6), "heart_rate": (80.0, 0.03), "creatinine": (1.0, 0.5)}
_WORDS = {"septic": 1.0, "chest pain": 0.4, "comfortable": -0.5}


class LinearPredictor:
    """A logistic model by hand: its Shapley values are the terms of its sum."""

    def __init__(self, **changes: Any) -> None:
        self.changes = changes  # of the Explanation
        self.records: list[PatientRecord] = []

    def __call__(
        self, record: PatientRecord, *, deadline_s: float | None = None
    ) -> tuple[Prediction, Explanation | None]:
        self.records.append(record)
        if record.demographics.deceased:
            return _prediction(record, (), ("The patient has died.",)), None
        age = record.demographics.age_years
        if age is not None and age < 18:
            return _prediction(record, (), ("The patient is younger than 18 years.",)), None
        if not (record.measurements or record.notes or record.device_series):
            return _prediction(record, (), ("The chart holds too few data.",)), None
        tokens = tuple(_tokens(record))
        empty = math.log(BASE_RATE / (1 - BASE_RATE))
        logit = empty + sum(token.shap_logit for token in tokens)
        probability = 1 / (1 + math.exp(-logit))
        group = "low" if probability < 0.2 else "high" if probability > 0.4 else "uncertain"
        task = TaskPrediction(
            task="in_hospital_death",
            display="in-hospital death",
            probability=probability,
            base_rate=BASE_RATE,
            risk_group=group,  # type: ignore[arg-type]
            conformal_set=("survives", "dies") if group == "uncertain" else ("dies",),
            conformal_confidence=0.9,
        )
        return _prediction(record, (task,), ()), replace(
            _explanation(tokens, empty, logit), **self.changes
        )


def _prediction(
    record: PatientRecord, tasks: tuple[TaskPrediction, ...], reasons: tuple[str, ...]
) -> Prediction:
    held: dict[Modality, Any] = {
        "structured": record.measurements,
        "note": record.notes,
        "device": record.device_series,
    }
    return Prediction(
        tasks=tasks,
        applicability=Applicability(
            applicable=not reasons,
            reasons=reasons,
            available=tuple(name for name, items in held.items() if items),
        ),
        model_name="linear-test",
        model_version="1",
        trained_on="Trained on nothing: a sum by hand.",
        prediction_time=record.prediction_time,
    )


def _explanation(tokens: tuple[TokenAttribution, ...], empty: float, logit: float) -> Explanation:
    groups = tuple(
        GroupAttribution(
            name,
            sum(t.shap_logit for t in tokens if t.modality == name),
            0.0,
            sum(1 for t in tokens if t.modality == name),
        )
        for name in ("structured", "note", "device")
    )
    return Explanation(
        task="in_hospital_death",
        tokens=tokens,
        by_modality=groups,
        by_organ_system=(),
        empty_logit=empty,
        logit=logit,
        efficiency_gap_logit=0.0,
        agreement=Agreement(0.8, 0.9, 4, 5),
        coalition_evaluations=0,
        seed=0,
        reliable=True,
    )


def _tokens(record: PatientRecord) -> list[TokenAttribution]:
    tokens = []
    for name in dict.fromkeys(m.variable for m in record.measurements):
        items = [m for m in record.measurements if m.variable == name]
        tokens.append(_structured(name, items))
    if not any(m.variable == "lactate" for m in record.measurements):
        tokens.append(_structured("lactate", []))
    for n, note in enumerate(record.notes):
        for s, sentence in enumerate(note.sentences):
            evidence = SentenceEvidence(
                sentence.text,
                sentence.section,
                note.note_type,
                note.time,
                sentence.negated,
                sentence.historical,
                sentence.family,
                sentence.hypothetical,
            )
            weight = _sentence_weight(sentence)
            tokens.append(_token(f"note/{n}/{s}", "note", evidence, (note.source,), weight))
    tokens += [_device(series) for series in record.device_series]
    return tokens


def _structured(name: str, items: list[Measurement]) -> TokenAttribution:
    center, slope = _CENTERS.get(name, (0.0, 0.0))
    if not items:
        evidence = StructuredEvidence(name, name.title(), "", measured=False)
        return _token(f"structured/{name}", "structured", evidence, (), -0.2)
    values = [m.value for m in items]
    evidence = StructuredEvidence(
        name,
        name.replace("_", " ").title(),
        items[-1].unit,
        measured=True,
        value=values[-1],
        time=items[-1].time,
        minimum=min(values),
        maximum=max(values),
        count=len(values),
    )
    weight = slope * (values[-1] - center)
    sources = tuple(m.source for m in reversed(items))
    return _token(f"structured/{name}", "structured", evidence, sources, weight)


def _device(series: DeviceSeries) -> TokenAttribution:
    center, slope = _CENTERS.get(series.channel, (0.0, 0.0))
    mean = float(series.values.mean())
    evidence = DeviceEvidence(
        series.channel,
        series.channel.replace("_", " ").title(),
        series.unit,
        datetime.fromtimestamp(series.times_s[0], UTC),
        datetime.fromtimestamp(series.times_s[-1], UTC),
        mean,
        float(series.values.min()),
        float(series.values.max()),
        1.0,
    )
    weight = slope * (mean - center)
    return _token(f"device/{series.channel}/0", "device", evidence, series.sources, weight)


def _sentence_weight(sentence: Sentence) -> float:
    weight = sum(w for word, w in _WORDS.items() if word in sentence.text.lower())
    return -weight if sentence.negated else weight


def _token(
    token_id: str, modality: Modality, evidence: Any, sources: tuple[str, ...], weight: float
) -> TokenAttribution:
    return TokenAttribution(token_id, modality, "general", evidence, sources, weight, 0.01, 0.1)


def settings(folder: Path, **changes: Any) -> Settings:
    """Open development settings; the budget is wide, for the test machine may be busy."""
    changes.setdefault("deadline_ms", 5_000)
    return development_settings(folder, **changes)


def hours_before(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).isoformat()


def patient(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": PATIENT,
        "birthDate": "1956-03-04",
        "gender": "female",
        **changes,
    }


def encounter() -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": "enc-1",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": f"Patient/{PATIENT}"},
        "period": {"start": hours_before(40)},
    }


def observation(
    identity: str, loinc: str, value: float, unit: str, hours: float, category: str, **more: Any
) -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "category": [{"coding": [{"system": system, "code": category}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
        "subject": {"reference": f"Patient/{PATIENT}"},
        "effectiveDateTime": hours_before(hours),
        "valueQuantity": {
            "value": value,
            "unit": unit,
            "system": "http://unitsofmeasure.org",
            "code": unit,
        },
        **more,
    }


def vital_signs(rate: float = 88) -> list[dict[str, Any]]:
    return [
        observation(f"hr-{n}", "8867-4", rate + n, "/min", 8 - n, "vital-signs") for n in range(6)
    ]


def laboratory(lactate: float = 4.1) -> list[dict[str, Any]]:
    return [
        observation("lac-1", "2524-7", 1.9, "mmol/L", 10, "laboratory"),
        observation("lac-2", "2524-7", lactate, "mmol/L", 2, "laboratory"),
        observation("crea-1", "2160-0", 1.8, "mg/dL", 3, "laboratory"),
    ]


def device_data() -> list[dict[str, Any]]:
    return [
        observation(
            f"dev-{n}",
            "8867-4",
            100 + n % 3,
            "/min",
            6 - n / 10,
            "activity",
            device={"reference": "Device/watch"},
        )
        for n in range(40)
    ]


def note(
    text: str = "Looks septic. Denies chest pain.", identity: str = "note-1", **attachment: Any
) -> dict[str, Any]:
    content = attachment or {
        "contentType": "text/plain",
        "data": base64.b64encode(text.encode(errors="replace")).decode(),
    }
    return {
        "resourceType": "DocumentReference",
        "id": identity,
        "status": "current",
        "type": {
            "coding": [{"system": "http://loinc.org", "code": "11506-3"}],
            "text": "Progress note",
        },
        "subject": {"reference": f"Patient/{PATIENT}"},
        "date": hours_before(5),
        "content": [{"attachment": content}],
    }


def bundle(resources: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(resources),
        "entry": [{"resource": one, "search": {"mode": "match"}} for one in resources],
        **members,
    }


def full_prefetch() -> dict[str, Any]:
    return {
        "patient": patient(),
        "encounter": encounter(),
        "vitalSigns": bundle(vital_signs()),
        "laboratory": bundle(laboratory()),
        "notes": bundle([note()]),
        "reports": bundle([]),
        "bedside": bundle([observation("gcs-1", "9269-2", 14, "{score}", 4, "survey")]),
        "deviceData": bundle(device_data()),
        "deviceData-procedure": bundle([]),
        "orders": bundle([]),
        "tasks": bundle([]),
    }


def calm_prefetch() -> dict[str, Any]:
    """A patient of low risk: there is nothing to advise."""
    return {
        **full_prefetch(),
        "vitalSigns": bundle(vital_signs(72)),
        "laboratory": bundle([]),
        "notes": bundle([]),
        "deviceData": bundle([]),
    }


def hook_request(prefetch: Mapping[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    return {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "context": {
            "userId": "Practitioner/doc-1",
            "patientId": PATIENT,
            "encounterId": "enc-1",
        },
        "prefetch": full_prefetch() if prefetch is None else prefetch,
        **members,
    }


def authorization(**changes: Any) -> dict[str, Any]:
    return {
        "access_token": TOKEN,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "user/Patient.read user/Observation.read",
        "subject": "cds-service",
        **changes,
    }


def shifted(request: dict[str, Any], by: timedelta) -> dict[str, Any]:
    """The same request with all effective times moved."""
    if by == timedelta(0):
        return request
    text = json.dumps(request)
    moved = re.sub(
        r"2026-11-2\d(T[0-9:.]+\+00:00)",
        lambda found: (datetime.fromisoformat(found[0]) + by).isoformat(),
        text,
    )
    whole: dict[str, Any] = json.loads(moved)
    return whole
