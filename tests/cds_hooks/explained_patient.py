"""One patient with an explanation, written by hand: a world in which the page works."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np

from cds_hooks.stored_explanation import StoredExplanation
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
from model.record import (
    Demographics,
    DeviceSeries,
    Measurement,
    Note,
    PatientRecord,
    ReadingReport,
    ReportLine,
    Sentence,
    Stay,
)

NOW = datetime(2026, 11, 23, 7, 40, tzinfo=UTC)
CARD = "6d1f6bbd-6b0a-4a5e-9d1a-0c2f6f0f9a11"
# variable, display, unit, organ system, values at -36 h ... -1 h, attribution
CHARTED = (
    ("lactate", "Lactate", "mmol/L", "metabolic", (1.6, 2.4, 3.9, 4.6), 0.62),
    ("creatinine", "Creatinine", "mg/dL", "renal", (1.1, 1.4, 1.9, 2.3), 0.31),
    (
        *("systolic_blood_pressure", "Systolic blood pressure", "mm[Hg]", "cardiovascular"),
        (128, 112, 98, 92),
        0.24,
    ),
    ("platelets", "Platelets", "10*3/uL", "hematological", (210, 198, 176, 150), 0.08),
    ("potassium", "Potassium", "mmol/L", "metabolic", (4.1, 4.0, 4.2, 4.3), -0.05),
    (
        "glasgow_coma_scale",
        "Glasgow Coma Scale",
        "{score}",
        "neurological",
        (15, 15, 15, 15),
        -0.34,
    ),
)
SENTENCES = (
    ("Assessment", "Septic shock from a urinary source, started on noradrenaline.", 0.41, 0.36, ""),
    ("Assessment", "Remains confused at times.", 0.12, 0.15, ""),
    ("Assessment", "Denies chest pain.", -0.04, 0.01, "negated"),
    ("History", "Myocardial infarction in 2015.", 0.06, 0.09, "historical"),
    ("History", "Father died of colon cancer.", 0.0, 0.01, "family"),
    ("Plan", "Repeat lactate in 4 h; if rising, consider a second vasopressor.", 0.18, 0.05, ""),
    ("Plan", "Family informed.", -0.11, -0.14, ""),
)


def stored_explanation() -> StoredExplanation:
    """Return it."""
    tokens = (*_charted_tokens(), *_absent_tokens(), *_note_tokens(), *_device_tokens())
    logit = -2.1 + sum(token.shap_logit for token in tokens)
    return StoredExplanation(
        card_uuid=CARD,
        service_id="meam-risk",
        hook_instance="d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        created_at=NOW,
        expires_at=NOW + timedelta(hours=24),
        record=_record(),
        prediction=_prediction(),
        explanation=Explanation(
            task="in_hospital_death",
            tokens=tokens,
            by_modality=_sums(tokens, "modality"),
            by_organ_system=_sums(tokens, "organ_system"),
            empty_logit=-2.1,
            logit=logit,
            efficiency_gap_logit=2e-6,
            agreement=Agreement(
                attention_shap_top5=0.8,
                attention_shap_spearman=0.83,
                shap_lime_note_common=4,
                shap_lime_note_compared=5,
            ),
            coalition_evaluations=640,
            seed=7,
            reliable=True,
        ),
        limitations=(
            ReportLine("device", "timeout", "Device data: the FHIR server did not answer in time."),
        ),
    )


def _record() -> PatientRecord:
    return PatientRecord(
        demographics=Demographics("Patient/sepsis-1", 71.4, "female"),
        prediction_time=NOW,
        measurements=tuple(sorted(_measurements(), key=lambda one: one.time)),
        notes=(
            Note(
                note_type="Progress note",
                time=NOW - timedelta(hours=5),
                sentences=tuple(_sentence(*row[:2], row[4]) for row in SENTENCES),
                source="DocumentReference/n1",
            ),
        ),
        device_series=(_heart_rate(), _temperature()),
        stay=Stay("Encounter/e1", "IMP", "medical icu", NOW - timedelta(hours=40)),
        report=ReadingReport(
            resources_read={"Observation": 412, "DocumentReference": 1, "Patient": 1},
            values_used={"structured": 24, "note": 7, "device": 2},
            left_out=(
                ReportLine(
                    "Observation/17", "unit", "Observation/17: unit 'F' is not convertible to Cel"
                ),
            ),
        ),
    )


def _prediction() -> Prediction:
    return Prediction(
        tasks=(
            TaskPrediction(
                task="in_hospital_death",
                display="in-hospital death",
                probability=0.372,
                base_rate=0.14,
                risk_group="high",
                conformal_set=("dies",),
                conformal_confidence=0.9,
            ),
        ),
        applicability=Applicability(
            applicable=True,
            warnings=("Nobody over 90 was in the training data of this unit type.",),
            available=("structured", "note", "device"),
        ),
        model_name="meam-risk",
        model_version="0.1.0",
        trained_on="Open intensive care data of 2001 to 2015, two data sets.",
        prediction_time=NOW,
    )


def _times() -> tuple[datetime, ...]:
    return tuple(NOW - timedelta(hours=hours) for hours in (36, 22, 9, 1))


def _measurements() -> list[Measurement]:
    return [
        Measurement(variable, value, unit, time, f"Observation/{variable}-{i}")
        for variable, _, unit, _, values, _ in CHARTED
        for i, (time, value) in enumerate(zip(_times(), values, strict=True))
    ]


def _charted_tokens() -> list[TokenAttribution]:
    return [
        TokenAttribution(
            token_id=f"structured/{variable}",
            modality="structured",
            organ_system=system,
            evidence=StructuredEvidence(
                *(variable, display, unit, True, values[-1], "", _times()[-1]),
                minimum=min(values),
                maximum=max(values),
                count=4,
                trend_per_hour=(values[-1] - values[0]) / 35,
            ),
            sources=tuple(f"Observation/{variable}-{i}" for i in (3, 2, 1, 0)),
            shap_logit=shap,
            shap_standard_error_logit=0.02,
            attention=0.2 * abs(shap),
        )
        for variable, display, unit, system, values, shap in CHARTED
    ]


def _absent_tokens() -> list[TokenAttribution]:
    names = (("albumin", "Albumin", "g/dL", "hepatic"), ("troponin_i", "Troponin I", "ng/mL", ""))
    return [
        TokenAttribution(
            token_id=f"structured/{name}",
            modality="structured",
            organ_system=system or "cardiovascular",
            evidence=StructuredEvidence(name, display, unit, measured=False),
            sources=(),
            shap_logit=shap,
            shap_standard_error_logit=0.01,
            attention=0.01,
        )
        for (name, display, unit, system), shap in zip(names, (-0.09, 0.03), strict=True)
    ]


def _sentence(section: str, text: str, flag: str) -> Sentence:
    return Sentence(text, section, flag == "negated", flag == "historical", flag == "family", False)


def _note_tokens() -> list[TokenAttribution]:
    return [
        TokenAttribution(
            token_id=f"note/0/{i}",
            modality="note",
            organ_system="general",
            evidence=SentenceEvidence(
                *(text, section, "Progress note", NOW - timedelta(hours=5)),
                negated=flag == "negated",
                historical=flag == "historical",
                family=flag == "family",
                hypothetical=False,
            ),
            sources=("DocumentReference/n1",),
            shap_logit=shap,
            shap_standard_error_logit=0.03,
            attention=0.15 * abs(shap),
            lime_logit=lime,
        )
        for i, (section, text, shap, lime, flag) in enumerate(SENTENCES)
    ]


def _series(channel: str, unit: str, values: np.ndarray, period_s: float) -> DeviceSeries:
    n = len(values)
    times = NOW.timestamp() - period_s * np.arange(n)[::-1]
    keep = (np.arange(n) < 0.55 * n) | (np.arange(n) > 0.62 * n)  # the patient was in the scanner
    return DeviceSeries(
        channel=channel,
        unit=unit,
        times_s=times[keep],
        values=values[keep].astype(np.float32),
        sources=(f"Observation/{channel}-series",),
        source_index=np.zeros(int(keep.sum()), np.int32),
        device="Device/patch-1",
        period_s=period_s,
    )


def _heart_rate() -> DeviceSeries:
    n = 2880
    noise = np.random.default_rng(3).normal(0, 3, n)
    climb = 34 / (1 + np.exp(-(np.arange(n) - 1900) / 180))
    return _series("heart_rate", "/min", 84 + climb + noise, 60.0)


def _temperature() -> DeviceSeries:
    n = 576
    noise = np.random.default_rng(4).normal(0, 0.08, n)
    return _series("skin_temperature", "Cel", 36.4 + np.linspace(0, 2.1, n) + noise, 300.0)


def _device_tokens() -> list[TokenAttribution]:
    rows = (
        (
            "heart_rate",
            "Heart rate",
            "/min",
            "cardiovascular",
            (-0.06, -0.02, 0.0, 0.0, 0.05, 0.2, 0.3),
        ),
        (
            "skin_temperature",
            "Skin temperature",
            "Cel",
            "general",
            (0.0, 0.01, 0.02, 0.02, 0.06, 0.09),
        ),
    )
    tokens = []
    for channel, display, unit, system, effects in rows:
        for i, shap in enumerate(reversed(effects)):
            end = NOW - timedelta(hours=6 * i)
            evidence = DeviceEvidence(
                *(channel, display, unit, end - timedelta(hours=6), end),
                mean=112.0 if unit == "/min" else 38.1,
                minimum=98.0 if unit == "/min" else 37.6,
                maximum=126.0 if unit == "/min" else 38.6,
                coverage=0.97,
            )
            tokens.append(
                TokenAttribution(
                    token_id=f"device/{channel}/{7 - i}",
                    modality="device",
                    organ_system=system,
                    evidence=evidence,
                    sources=(f"Observation/{channel}-series",),
                    shap_logit=shap,
                    shap_standard_error_logit=0.02,
                    attention=0.1 * abs(shap),
                )
            )
    return tokens


def _sums(tokens: tuple[TokenAttribution, ...], field: str) -> tuple[GroupAttribution, ...]:
    names: dict[str | Modality, list[TokenAttribution]] = {}
    for token in tokens:
        names.setdefault(getattr(token, field), []).append(token)
    return tuple(
        GroupAttribution(
            group=name,
            shap_logit=sum(token.shap_logit for token in own),
            standard_error_logit=math.hypot(*(token.shap_standard_error_logit for token in own)),
            token_count=len(own),
        )
        for name, own in names.items()
    )
