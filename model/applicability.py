"""Whether the model may speak about a patient: asked before any risk is stated.

Alive, adult, inpatient, enough data, and data like those of training. A failed check gives a
sentence for the card instead of a risk; a warning is a sentence beside the risk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from model.calibration import availability_pattern
from model.prediction import Applicability
from model.record import PatientRecord
from model.tokens import (
    PATCH_STATS,
    STATICS,
    STRUCTURED_STATS,
    Floats,
    TokenArrays,
    TokenConfig,
)

ADULT_YEARS: Final = 18
# Codes of v3 ActCode: inpatient, its two kinds, short stay and observation in a bed.
INPATIENT_CLASSES: Final = ("IMP", "ACUTE", "NONAC", "SS", "OBSENC")
CLASS_WORDS: Final = {
    "AMB": "ambulatory",
    "EMER": "emergency",
    "FLD": "in the field",
    "HH": "at home",
    "PRENC": "before admission",
    "VR": "virtual",
}
LAST: Final = STRUCTURED_STATS.index("last")
AGE_OF_LAST: Final = STRUCTURED_STATS.index("hours_since_last")
PATCH_MEAN: Final = PATCH_STATS.index("mean")
FEWEST_OUTSIDE: Final = 3  # one or two odd values are a patient, not another population
# How the sentence of each reason begins, by the word that counts it.
DECEASED: Final = "The chart says that the patient has died"
AGE_UNKNOWN: Final = "The chart does not state the patient's age"
UNDER_AGE: Final = "The model is for adults"
NOT_INPATIENT: Final = "The model is for inpatients"
TOO_LITTLE: Final = "Too little data"
UNLIKE: Final = "Unlike the training data"
CODES: Final = {
    "deceased": DECEASED,
    "age-unknown": AGE_UNKNOWN,
    "under-age": UNDER_AGE,
    "not-inpatient": NOT_INPATIENT,
    "too-little-data": TOO_LITTLE,
    "out-of-distribution": UNLIKE,
}


@dataclass(frozen=True)
class ApplicabilityRules:
    """Limits, fitted on training records. Ranges are (low, high), NaN where nothing was seen."""

    structured_ranges: Floats  # (V, 2) of the last value
    device_ranges: Floats  # (channels, 2) of patch means
    cases_by_pattern: Mapping[str, int] = field(default_factory=dict)
    minimum_variables: int = 5  # distinct variables and channels; fewer carry almost no risk
    maximum_share_outside: float = 0.2  # of the values, beyond the central 99.8 % of training
    stale_hours: float = 12.0  # without any newer value a warning is due
    rare_pattern_cases: int = 100  # fewer training cases with these modalities give a warning

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers for applicability.json; null where nothing was seen."""
        return {
            "structured_ranges": _ranges_to_json(self.structured_ranges),
            "device_ranges": _ranges_to_json(self.device_ranges),
            "cases_by_pattern": dict(self.cases_by_pattern),
            "minimum_variables": self.minimum_variables,
            "maximum_share_outside": self.maximum_share_outside,
            "stale_hours": self.stale_hours,
            "rare_pattern_cases": self.rare_pattern_cases,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ApplicabilityRules:
        """Inverse of to_json."""
        fields = dict(data)
        for name in ("structured_ranges", "device_ranges"):
            pairs = [pair or (np.nan, np.nan) for pair in fields[name]]
            fields[name] = np.array(pairs, np.float32).reshape(len(pairs), 2)
        return cls(**fields)


def fit_applicability(records: Sequence[TokenArrays], config: TokenConfig) -> ApplicabilityRules:
    """Take the ranges and the availability patterns of training records."""
    last = np.stack([r.structured_stats[:, LAST] for r in records], axis=1)  # (V, R)
    means = np.concatenate([r.patch_stats[:, PATCH_MEAN] for r in records])
    channel = np.concatenate([r.patch_channel for r in records])
    device = [central_range(means[channel == index]) for index in range(len(config.channels))]
    patterns = [availability_pattern(r.available) for r in records]
    return ApplicabilityRules(
        structured_ranges=np.array([central_range(row) for row in last], np.float32),
        device_ranges=np.array(device, np.float32).reshape(len(device), 2),
        cases_by_pattern={p: patterns.count(p) for p in sorted(set(patterns))},
    )


def central_range(values: Floats) -> tuple[float, float]:
    """Return the 0.1 % and 99.9 % quantiles of the defined values."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return (np.nan, np.nan)
    low, high = np.quantile(defined.astype(np.float64), (0.001, 0.999))
    return float(low), float(high)


def check_patient(record: PatientRecord) -> tuple[list[str], list[str]]:
    """Return reasons against, and warnings, that need no tokens: alive, adult, inpatient."""
    reasons, warnings = [], []
    if record.demographics.deceased:
        reasons.append(f"{DECEASED}.")
    age = record.demographics.age_years
    if age is None:
        reasons.append(f"{AGE_UNKNOWN}; the model is for adults.")
    elif age < ADULT_YEARS:
        reasons.append(f"{UNDER_AGE}; the patient is under {ADULT_YEARS} years old.")
    encounter_class = record.stay.encounter_class if record.stay else ""
    if not encounter_class:
        warnings.append(
            "The chart does not say whether this is an inpatient stay; the model is for inpatients."
        )
    elif encounter_class.upper() not in INPATIENT_CLASSES:
        named = CLASS_WORDS.get(encounter_class.upper(), "")
        words = f" ({named})" if named else ""
        reasons.append(f"{NOT_INPATIENT}; the encounter is of class {encounter_class[:20]}{words}.")
    return reasons, warnings


def check_data(
    tokens: TokenArrays, config: TokenConfig, rules: ApplicabilityRules
) -> tuple[list[str], list[str]]:
    """Return reasons against, and warnings, from the data: enough, recent, like in training."""
    reasons, warnings = [], []
    statics = [config.variable_index[s] for s in STATICS if s in config.variable_index]
    charted = tokens.structured_measured.copy()
    charted[statics] = False
    channels = np.unique(tokens.patch_channel)
    found = int(charted.sum()) + len(channels)
    if found < rules.minimum_variables:
        plural = "variable" if found == 1 else "variables"
        reasons.append(
            f"{TOO_LITTLE}: {found} measured {plural} in the last {config.lookback_hours} "
            f"hours, and at least {rules.minimum_variables} are needed."
        )
    outside, compared = _outside(tokens, charted, rules)
    if outside >= FEWEST_OUTSIDE and outside > rules.maximum_share_outside * compared:
        reasons.append(
            f"{UNLIKE}: {outside} of {compared} measured variables lie outside "
            "the range that the model was trained on."
        )
    newest = _newest_hours(tokens, charted, config)
    if np.isfinite(newest) and newest > rules.stale_hours:
        warnings.append(f"The newest measurement is {newest:.0f} hours old.")
    pattern = availability_pattern(tokens.available)
    cases = rules.cases_by_pattern.get(pattern, 0)
    if cases < rules.rare_pattern_cases:
        plural = "patient" if cases == 1 else "patients"
        warnings.append(
            f"Only {cases} training {plural} had exactly these kinds of data "
            f"({pattern.replace('+', ' and ')})."
        )
    return reasons, warnings


def _outside(
    tokens: TokenArrays, charted: np.ndarray, rules: ApplicabilityRules
) -> tuple[int, int]:
    """Count variables and channels outside their range, and all that can be compared."""
    last = tokens.structured_stats[charted, LAST]
    low, high = rules.structured_ranges[charted].T
    structured = (last < low) | (last > high)  # false where the range is NaN
    low, high = rules.device_ranges[tokens.patch_channel].T
    mean = tokens.patch_stats[:, PATCH_MEAN]
    odd_patch = (mean < low) | (mean > high)
    channels = np.unique(tokens.patch_channel)
    device = sum(odd_patch[tokens.patch_channel == c].mean() > 0.5 for c in channels)
    return int(structured.sum() + device), len(last) + len(channels)


def _newest_hours(tokens: TokenArrays, charted: np.ndarray, config: TokenConfig) -> float:
    """Age of the newest value; for device data to the end of its newest patch, at least."""
    ages = tokens.structured_stats[charted, AGE_OF_LAST].tolist()
    if len(tokens.patch_index):
        last_patch = config.patch_count - 1
        ages.append(float(last_patch - tokens.patch_index.max()) * config.patch_hours)
    return min(ages, default=np.inf)


def applicability(
    tokens: TokenArrays, reasons: Sequence[str], warnings: Sequence[str]
) -> Applicability:
    """Gather the sentences of all checks."""
    return Applicability(
        applicable=not reasons,
        reasons=tuple(reasons),
        warnings=tuple(warnings),
        available=tokens.available,
        codes=tuple(code_of(reason) for reason in reasons),
    )


def code_of(reason: str) -> str:
    """Return the word that counts a reason."""
    return next(code for code, head in CODES.items() if reason.startswith(head))


def _ranges_to_json(ranges: Floats) -> list[list[float] | None]:
    return [pair if np.isfinite(pair).all() else None for pair in ranges.tolist()]
