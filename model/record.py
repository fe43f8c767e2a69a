"""The patient record: where the FHIR adapters, the model and the service meet.

Plain frozen data without tensors and without FHIR. Three rules hold everywhere:

* every item carries the FHIR reference that it came from (``Observation/123``);
* all times are aware UTC datetimes or seconds since the Unix epoch;
* absent is absent: a variable that was never measured has no item, never a zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

Sex = Literal["female", "male", "other", "unknown"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One charted value: a vital sign that a person recorded, a laboratory result, a score."""

    variable: str  # a name of fhir_adapters/variables.csv, for example "lactate"
    value: float  # in the variable's canonical unit
    unit: str  # the canonical unit, UCUM
    time: datetime  # when it was true of the patient (effective time, UTC)
    source: str  # "Observation/123"
    interpretation: str | None = None  # the laboratory's own flag: "H", "LL", ...
    reference_low: float | None = None  # the laboratory's own range, in ``unit``; shown to people,
    reference_high: float | None = None  # never an input of the model


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a note with what the note asserts about it."""

    text: str
    section: str = ""  # heading it stands under, "" if none
    negated: bool = False
    historical: bool = False
    family: bool = False  # about somebody else than the patient
    hypothetical: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """One clinical note, split into sentences; copied-forward sentences are kept once."""

    note_type: str  # display text of the document type, for example "Progress note"
    time: datetime
    sentences: tuple[Sentence, ...]
    source: str  # "DocumentReference/7"


@dataclass(frozen=True, slots=True, eq=False)
class DeviceSeries:
    """One channel of a monitor or wearable; parallel arrays of length n, sorted by time."""

    channel: str  # a name of fhir_adapters/variables.csv, for example "heart_rate"
    unit: str  # canonical unit, UCUM
    times_s: npt.NDArray[np.float64]  # (n,) seconds since the Unix epoch
    values: npt.NDArray[np.float32]  # (n,) in the canonical unit; gaps are absent, not NaN
    sources: tuple[str, ...]  # references that the points came from
    source_index: npt.NDArray[np.int32]  # (n,) index into sources
    device: str = ""  # "Device/5" or a display name, "" if unknown
    period_s: float | None = None  # nominal sampling period where the source states one
    device_name: str = ""  # what people call the device, where the chart holds it; never an input


@dataclass(frozen=True, slots=True)
class Demographics:
    """Who the patient is, at prediction time. ``None`` means that the chart does not say."""

    source: str  # "Patient/1"
    age_years: float | None = None
    sex: Sex = "unknown"  # administrative gender
    deceased: bool = False  # only ever true of a live prediction: of a past one it is the outcome


@dataclass(frozen=True, slots=True)
class Stay:
    """The encounter that the prediction is about."""

    source: str  # "Encounter/9"
    encounter_class: str = ""  # code of Encounter.class: "IMP", "EMER", "AMB", ...
    unit_type: str = ""  # "medical icu", "surgical icu", "coronary care unit", ... or ""
    start: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One fact about reading the chart: what was left out or is incomplete, and why.

    ``sentence`` names the resource and the reason, and holds no patient data beyond ids:
    "Observation/123: unit 'F' is not convertible to Cel".
    """

    source: str  # reference, prefetch key or search; "" where none applies
    reason: str  # a short stable word: "status", "unit", "implausible", "future", "missing", ...
    sentence: str


@dataclass(frozen=True, slots=True)
class ReadingReport:
    """What was read, what was used, and what was left out and why."""

    resources_read: Mapping[str, int] = field(default_factory=dict)  # by resource type
    values_used: Mapping[str, int] = field(default_factory=dict)  # by modality
    left_out: tuple[ReportLine, ...] = ()  # items that did not reach the record
    incomplete: tuple[ReportLine, ...] = ()  # sources that may hold more than was seen
    remarks: tuple[ReportLine, ...] = ()  # items that were used with a reservation: "<", no unit


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """All that the model may see of one patient. Nothing in it is later than prediction_time."""

    demographics: Demographics
    prediction_time: datetime
    measurements: tuple[Measurement, ...] = ()  # sorted by time
    notes: tuple[Note, ...] = ()  # sorted by time
    device_series: tuple[DeviceSeries, ...] = ()  # one a channel
    stay: Stay | None = None
    report: ReadingReport = field(default_factory=ReadingReport)
