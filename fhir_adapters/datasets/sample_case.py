"""What a sample patient is made from: an illness in numbers, and what was written about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fhir_adapters.datasets.sample_physiology import Baseline, Keyframes

NoteKind = Literal[
    "history_and_physical",
    "progress",
    "nursing",
    "consult",
    "emergency",
    "procedure",
    "operative",
    "social_work",
    "chest_x_ray",
    "head_ct",
    "echocardiography",
    "endoscopy",
]
Panel = Literal[
    "blood_count",
    "metabolic",
    "gas",
    "lactate",
    "inflammation",
    "cardiac",
    "coagulation",
    "liver",
]


@dataclass(frozen=True, slots=True)
class LabDraw:
    """Blood drawn at one time."""

    hours: float  # after admission
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class SampleNote:
    """A note. ``{lactate}`` in its text quotes the chart, ``{first_lactate}`` the first value.

    Quoted are values that stood in the chart when the note was written, never later ones.
    """

    hours: float  # after admission
    kind: NoteKind
    text: str
    form: Literal["inline", "binary", "html"] = "inline"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A Condition; ``icd10`` is an ICD-10-CM code."""

    icd10: str
    display: str
    acute: bool = True  # else on the problem list from before


@dataclass(frozen=True, slots=True)
class Order:
    """An active ServiceRequest with a LOINC code."""

    loinc: str
    display: str
    hours: float


@dataclass(frozen=True, slots=True)
class SampleCase:
    """One synthetic inpatient."""

    name: str  # also the end of the ids: "sepsis"
    given: str
    family: str  # begins with "Example": nobody takes it for a real name
    gender: Literal["female", "male"]
    age_years: int
    hours: float  # from admission to now
    encounter_class: str
    location: str
    reason: str
    baseline: Baseline
    course: Mapping[str, Keyframes]
    diagnoses: tuple[Diagnosis, ...]
    medications: tuple[str, ...]
    draws: tuple[LabDraw, ...]
    notes: tuple[SampleNote, ...]
    oxygen: Keyframes = ((0, 0.21),)
    mobility: Keyframes = ((0, 0.1),)
    vitals_every_hours: float = 1
    orders: tuple[Order, ...] = ()
    ventilated: tuple[tuple[float, bool], ...] = ()  # charted (hours, on the ventilator)
    units: Mapping[str, str] = field(default_factory=dict)  # variable -> unit charted instead
    glucose_sensor: bool = False
