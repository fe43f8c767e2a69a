"""What stays of an answered hook when its explanation is gone: enough for a service report.

The risk, why there is none, the patient's subgroups, and in which bin of training's values each
input fell. All of it is clinical, so it is kept encrypted, and as long as cards are. Beside it, in
clear text, stand a keyed fingerprint of the patient and figures of the service.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from model.prediction import Explanation, Prediction
from model.record import PatientRecord

# "card": a whole card; "short": the cool-down's short form; "held-back": nothing, the user has
# seen it; "nothing": low risk, nothing to advise. In shadow mode what would have been shown.
Answer = Literal["card", "short", "held-back", "nothing"]
_FORMAT = 1
_AGE_BANDS = ((18, 49), (50, 64), (65, 79), (80, 200))
UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class KeptTask:
    """One task of a prediction."""

    task: str
    display: str
    probability: float
    base_rate: float
    risk_group: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The encrypted part."""

    answer: Answer
    tasks: tuple[KeptTask, ...] = ()  # empty: no estimate
    codes: tuple[str, ...] = ()  # why there is no estimate, see model.applicability
    explained: bool = False  # reasons passed their own check
    subgroups: Mapping[str, str] = field(default_factory=dict)  # "age": "65 to 79", ...
    bins: Mapping[str, int] = field(default_factory=dict)  # by input, see drift.py
    bin_count: int = 0  # how many bins an input has


@dataclass(frozen=True, slots=True)
class KeptPrediction:
    """One answered hook."""

    service_id: str
    hook_instance: str
    issuer: str
    patient_id: str  # stored as a keyed fingerprint
    model: str
    duration_ms: float
    finding: Finding
    card_uuid: str | None = None
    shown: bool = True
    tenant: str = ""
    prediction_uuid: str = field(default_factory=lambda: str(uuid.uuid4()))


def finding_of(
    answer: Answer,
    record: PatientRecord,
    prediction: Prediction,
    explanation: Explanation | None,
    bins: Mapping[str, int],
    bin_count: int,
) -> Finding:
    """Reduce an answer to what is kept."""
    return Finding(
        answer=answer,
        tasks=tuple(
            KeptTask(one.task, one.display, one.probability, one.base_rate, one.risk_group)
            for one in prediction.tasks
        ),
        codes=prediction.applicability.codes,
        explained=explanation is not None and explanation.reliable,
        subgroups=subgroups_of(record, prediction),
        bins=bins,
        bin_count=bin_count,
    )


def subgroups_of(record: PatientRecord, prediction: Prediction) -> dict[str, str]:
    """Return the groups by which accuracy is reported."""
    age = record.demographics.age_years
    bands = (_band(low, high) for low, high in _AGE_BANDS if age and low <= int(age) <= high)
    return {
        "age": next(bands, UNKNOWN),
        "sex": record.demographics.sex if record.demographics.sex != "unknown" else UNKNOWN,
        "unit": (record.stay.unit_type if record.stay else "") or UNKNOWN,
        "kinds of data": " and ".join(prediction.applicability.available) or "none",
    }


def _band(low: int, high: int) -> str:
    return f"{low} or older" if high > 120 else f"{low} to {high}"


def payload_of(kept: KeptPrediction) -> bytes:
    """Return what is to be encrypted."""
    finding = kept.finding
    document = {
        "format": _FORMAT,
        "answer": finding.answer,
        "tasks": [
            [one.task, one.display, one.probability, one.base_rate, one.risk_group]
            for one in finding.tasks
        ],
        "codes": finding.codes,
        "explained": finding.explained,
        "subgroups": dict(finding.subgroups),
        "bins": dict(finding.bins),
        "binCount": finding.bin_count,
    }
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode("ascii"), level=1)


def finding_from(payload: bytes) -> Finding:
    """Read what payload_of wrote. Raises ValueError for another format."""
    document: dict[str, Any] = json.loads(zlib.decompress(payload))
    if document["format"] != _FORMAT:
        raise ValueError(f"a prediction has format {document['format']}, we read {_FORMAT}")
    return Finding(
        answer=document["answer"],
        tasks=tuple(KeptTask(*one) for one in document["tasks"]),
        codes=tuple(document["codes"]),
        explained=document["explained"],
        subgroups=document["subgroups"],
        bins=document["bins"],
        bin_count=document["binCount"],
    )
