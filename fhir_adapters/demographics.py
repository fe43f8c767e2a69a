"""Who the patient is at prediction time, from the Patient resource: age, sex, whether alive."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from fhir_adapters.chart import Resource
from fhir_adapters.reading_log import ReadingLog
from fhir_adapters.times import surely_later
from model.record import Demographics, Sex

OLDEST_YEARS = 125.0
_DAYS_PER_YEAR = 365.2425
_BIRTH_DATE = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:T.*)?")
_SEXES: dict[str, Sex] = {
    "female": "female",
    "male": "male",
    "other": "other",
    "unknown": "unknown",
}


def read_demographics(
    patient: Resource,
    source: str,
    prediction_time: datetime,
    log: ReadingLog,
    *,
    live: bool = False,
) -> Demographics:
    """Read age and sex; what cannot be read is reported and stays unknown.

    Whether the patient has died is read only for a ``live`` prediction.
    """
    gender = patient.get("gender")
    sex = _SEXES.get(gender.lower()) if isinstance(gender, str) else None
    if sex is None and gender is not None:
        log.leave_out(source, "value", "its gender is none of the codes of the standard")
    _report_merge(patient, source, log)
    return Demographics(
        source,
        _age_years(patient, source, prediction_time, log),
        sex or "unknown",
        deceased=live and _has_died(patient, prediction_time),
    )


def _has_died(patient: Resource, now: datetime) -> bool:
    """Whether the chart states a death, and not one that is still to come in every time zone.

    A date alone counts on its day, and a time that cannot be read counts: the death is stated.
    """
    time = patient.get("deceasedDateTime")
    return patient.get("deceasedBoolean") is True or bool(time and not surely_later(time, now))


def _age_years(
    patient: Resource, source: str, prediction_time: datetime, log: ReadingLog
) -> float | None:
    raw = patient.get("birthDate")
    if raw is None:
        return None
    born = _birth_date(raw)
    if born is None:
        log.leave_out(source, "time", "its birthDate cannot be read")
        return None
    age_years = (prediction_time.astimezone(UTC).date() - born).days / _DAYS_PER_YEAR
    if not 0.0 <= age_years <= OLDEST_YEARS:
        log.leave_out(source, "implausible", "its birthDate gives no plausible age")
        return None
    return age_years


def _birth_date(raw: object) -> date | None:
    """Read a birth date; a year or month alone counts from its middle, where the error is least."""
    matched = _BIRTH_DATE.fullmatch(raw) if isinstance(raw, str) and len(raw) <= 64 else None
    if matched is None:
        return None
    year, month, day = matched.groups()
    try:
        return date(int(year), int(month or 7), int(day or (15 if month else 1)))
    except ValueError:
        return None


def _report_merge(patient: Resource, source: str, log: ReadingLog) -> None:
    links = patient.get("link")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("type") == "replaced-by":
            log.add_incomplete(
                source, "merged", "was replaced by another Patient, whose chart goes on"
            )
