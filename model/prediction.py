"""What the model returns: a prediction and its explanation, as plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Modality = Literal["structured", "note", "device"]
RiskGroup = Literal["low", "high", "uncertain"]


@dataclass(frozen=True, slots=True)
class StructuredEvidence:
    """The course of one charted variable inside the look-back window."""

    variable: str
    display: str
    unit: str
    measured: bool  # False: the token says that the variable was never measured
    value: float | None = None  # last value; None if not measured
    text: str = ""  # for values that are words: "female", "medical icu"
    time: datetime | None = None
    minimum: float | None = None
    maximum: float | None = None
    count: int = 0
    trend_per_hour: float | None = None  # least-squares slope; None with fewer than 2 values


@dataclass(frozen=True, slots=True)
class DeviceEvidence:
    """One patch of one device channel."""

    channel: str
    display: str
    unit: str
    start: datetime
    end: datetime
    mean: float
    minimum: float
    maximum: float
    coverage: float  # share of the patch that has accepted samples, 0..1


@dataclass(frozen=True, slots=True)
class SentenceEvidence:
    """One note sentence."""

    text: str
    section: str
    note_type: str
    time: datetime
    negated: bool
    historical: bool
    family: bool
    hypothetical: bool


Evidence = StructuredEvidence | DeviceEvidence | SentenceEvidence


@dataclass(frozen=True, slots=True)
class TokenAttribution:
    """What one token did to the logit, by three methods, with where it came from."""

    token_id: str  # "structured/lactate", "note/2/5" (note, sentence), "device/heart_rate/7"
    modality: Modality
    organ_system: str  # "cardiovascular", "renal", ..., "general"
    evidence: Evidence
    sources: tuple[str, ...]  # FHIR references
    shap_logit: float  # signed Shapley value, logits
    shap_standard_error_logit: float
    attention: float  # pooled attention weight, >= 0; sums to 1 with the sink's
    lime_logit: float | None = None  # LIME coefficient; only note sentences have one


@dataclass(frozen=True, slots=True)
class GroupAttribution:
    """Exact sum of the attributions of a group of tokens."""

    group: str  # a modality or an organ system
    shap_logit: float
    standard_error_logit: float
    token_count: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far three ways of asking "why" name the same tokens. None: too few tokens to compare."""

    attention_shap_top5: float | None  # share of the 5 strongest tokens in common, 0..1
    attention_shap_spearman: float | None  # on tokens above the noise floor, -1..1
    shap_lime_note_common: int | None  # of the strongest note sentences, how many both name
    shap_lime_note_compared: int | None  # min(5, number of sentences)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Signed attributions of one task's logit. ``reliable`` False: do not show the reasons."""

    task: str
    tokens: tuple[TokenAttribution, ...]
    by_modality: tuple[GroupAttribution, ...]
    by_organ_system: tuple[GroupAttribution, ...]
    empty_logit: float  # f(no token), the logit that the attributions start from
    logit: float  # f(all tokens)
    efficiency_gap_logit: float  # sum(shap) - (logit - empty_logit)
    agreement: Agreement
    coalition_evaluations: int
    seed: int
    reliable: bool
    unreliable_reason: str = ""


@dataclass(frozen=True, slots=True)
class Applicability:
    """Whether the model may speak about this patient at all."""

    applicable: bool
    reasons: tuple[str, ...] = ()  # sentences, one for each failed check
    warnings: tuple[str, ...] = ()  # sentences that limit, but do not forbid
    available: tuple[Modality, ...] = ()  # modalities that the record holds
    codes: tuple[str, ...] = ()  # a short stable word for each reason: "too-little-data", ...


@dataclass(frozen=True, slots=True)
class TaskPrediction:
    """A calibrated probability and its conformal set."""

    task: str  # "in_hospital_death"
    display: str  # "in-hospital death"
    probability: float
    base_rate: float  # share of events in the training population
    risk_group: RiskGroup  # "uncertain": the conformal set holds both outcomes
    conformal_set: tuple[str, ...]  # subset of ("survives", "dies"), task dependent
    conformal_confidence: float  # 1 - alpha


@dataclass(frozen=True, slots=True)
class Prediction:
    """The model's answer for one record. ``tasks`` is empty where it is not applicable."""

    tasks: tuple[TaskPrediction, ...]
    applicability: Applicability
    model_name: str
    model_version: str
    trained_on: str  # one sentence for the card
    prediction_time: datetime
