"""Resources as lines of a chart, read tolerantly: any EHR shows what it can."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from conformance.ehr.safe_markdown import plain
from conformance.ehr.shapes import object_of, objects_of, text_of

_NOTE_CHARACTERS = 4000
_NAME_CHARACTERS = 160  # the longest names in registers have fewer
_EXACT = 16  # characters of a time that names minutes
_PANELS = {"vital-signs": "Vital signs", "laboratory": "Laboratory"}
_OTHER = "Devices and other observations"
# UCUM as people write it; annotations in braces are no units.
_UNITS = {
    "mm[Hg]": "mmHg",
    "Cel": "°C",
    "[degF]": "°F",
    "10*3/uL": "×10³/µL",
    "10*6/uL": "×10⁶/µL",
    "10*9/L": "×10⁹/L",
    "[pH]": "",
    "uS": "µS",
}
_PRESSURES = {"8480-6": "systolic", "8462-4": "diastolic", "8478-0": "mean"}
_CLASSES = {"IMP": "inpatient", "ACUTE": "inpatient", "EMER": "emergency", "AMB": "outpatient"}


@dataclass(frozen=True, slots=True)
class PatientLine:
    """A patient as a list or a banner shows one."""

    id: str
    name: str
    sex: str
    birth_date: str

    @property
    def about(self) -> str:
        """Sex and birth date, and what of them is not known."""
        born = f"born {self.birth_date}" if self.birth_date else "birth date not known"
        return f"{self.sex or 'sex not known'}, {born}"


@dataclass(frozen=True, slots=True)
class Value:
    """The newest value of one kind of Observation."""

    what: str
    value: str
    when: str
    count: int
    flag: str


@dataclass(frozen=True, slots=True)
class NoteLine:
    """A note with its text, where it is inline."""

    title: str
    when: str
    text: str


def patient_line(resource: Mapping[str, Any]) -> PatientLine:
    """Return a Patient as a line."""
    return PatientLine(
        id=text_of(resource.get("id")),
        name=_shortened(plain(_name(_first(resource.get("name"))).strip() or "(no name)")),
        sex=plain(text_of(resource.get("gender"))),
        birth_date=plain(text_of(resource.get("birthDate"))),
    )


def _name(name: Mapping[str, Any]) -> str:
    given = name.get("given")
    parts = [*(given if isinstance(given, list) else []), name.get("family")]
    return text_of(name.get("text")) or " ".join(text_of(part) for part in parts)


def _first(values: object) -> Mapping[str, Any]:
    return next(iter(objects_of(values)), {})


def _shortened(name: str) -> str:
    """Cut a name that would fill the page, and say so."""
    if len(name) <= _NAME_CHARACTERS:
        return name
    return f"{name[:_NAME_CHARACTERS]} … ({len(name) - _NAME_CHARACTERS} more characters)"


def encounter_text(encounter: Mapping[str, Any]) -> str:
    """Return class, place and begin of an Encounter; an empty one is none."""
    if not encounter:
        return "no current encounter"
    kind = object_of(encounter.get("class"))
    where = [
        text_of(object_of(one.get("location")).get("display"))
        for one in objects_of(encounter.get("location"))
    ]
    code = text_of(kind.get("code"))
    parts = [text_of(kind.get("display")) or _CLASSES.get(code, code), *where]
    since = _when(object_of(encounter.get("period")).get("start"))
    return plain(
        ", ".join(part for part in parts if part) + (f" since {since} UTC" if since else "")
    )


def panels(observations: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    """Return the newest value of each kind, in a panel for each category."""
    by_title: dict[str, list[Mapping[str, Any]]] = {title: [] for title in _PANELS.values()}
    for one in sorted(observations, key=_instant, reverse=True):
        by_title.setdefault(_PANELS.get(_category(one), _OTHER), []).append(one)
    return tuple((title, _newest(found)) for title, found in by_title.items() if found)


def _category(observation: Mapping[str, Any]) -> str:
    if "valueSampledData" in observation:  # a wave does not stand between charted values
        return ""
    codes = [
        text_of(coding.get("code"))
        for category in objects_of(observation.get("category"))
        for coding in objects_of(category.get("coding"))
    ]
    return next((code for code in codes if code in _PANELS), "")


def _newest(found: Sequence[Mapping[str, Any]]) -> tuple[Value, ...]:
    """Return the first of each kind; the newest come first."""
    newest: dict[str, list[Mapping[str, Any]]] = {}
    for one in found:
        newest.setdefault(_concept(one.get("code")), []).append(one)
    return tuple(
        Value(
            what=what,
            value=_value(ones[0]),
            when=_when(_effective(ones[0])),
            count=len(ones),
            flag=_flag(ones[0]),
        )
        for what, ones in sorted(newest.items())
    )


def _value(resource: Mapping[str, Any]) -> str:
    if "valueQuantity" in resource:
        quantity = object_of(resource["valueQuantity"])
        return _with_unit(quantity.get("value"), quantity)
    if "valueSampledData" in resource:
        return _last_sample(object_of(resource["valueSampledData"]))
    parts = objects_of(resource.get("component"))
    if parts:
        return _blood_pressure(parts) or ", ".join(
            f"{_concept(part.get('code'))} {_value(part)}" for part in parts
        )
    for name in ("valueString", "valueInteger", "valueBoolean", "valueDateTime"):
        if name in resource:
            return plain(resource[name])
    if "valueCodeableConcept" in resource:
        return _concept(resource["valueCodeableConcept"])
    return "no value"


def _last_sample(sampled: Mapping[str, Any]) -> str:
    samples = text_of(sampled.get("data")).split()
    origin = object_of(sampled.get("origin"))
    count = f"{len(samples)} sample{'' if len(samples) == 1 else 's'}"
    numbers = [one for one in samples if one != "E"]  # E is a gap; L and U are beyond the range
    try:
        value = origin.get("value", 0) + sampled.get("factor", 1) * float(numbers[-1])
    except (IndexError, ValueError, TypeError):
        return count
    return (
        f"{_with_unit(f'{value:g}', origin)} ({count if len(samples) == 1 else f'last of {count}'})"
    )


def _with_unit(value: object, quantity: Mapping[str, Any]) -> str:
    unit = text_of(quantity.get("unit")) or text_of(quantity.get("code"))
    shown = "" if unit.startswith("{") else _UNITS.get(unit, unit)
    gap = "" if shown.startswith("%") else " "
    return _shortened(f"{plain(text_of(value)) or '?'}{gap}{plain(shown)}".strip())


def _blood_pressure(components: Sequence[Mapping[str, Any]]) -> str:
    """Return "80/33 mmHg, mean 53" for a blood pressure panel, "" for other components."""
    found = {}
    for part in components:
        codings = objects_of(object_of(part.get("code")).get("coding"))
        codes = {text_of(coding.get("code")) for coding in codings}
        for code in codes & _PRESSURES.keys():
            found[_PRESSURES[code]] = object_of(part.get("valueQuantity"))
    if {"systolic", "diastolic"} - found.keys() or len(found) != len(components):
        return ""
    values = {name: text_of(one.get("value")) or "?" for name, one in found.items()}
    text = f"{values['systolic']}/{_with_unit(values['diastolic'], found['diastolic'])}"
    return plain(f"{text}, mean {values['mean']}" if "mean" in values else text)


def _concept(value: object) -> str:
    concept = object_of(value)
    codings = objects_of(concept.get("coding"))
    names = [text_of(one.get("display")) or text_of(one.get("code")) for one in codings]
    return _shortened(plain(text_of(concept.get("text")) or next(filter(None, names), "(no code)")))


def _flag(resource: Mapping[str, Any]) -> str:
    coding = _first(_first(resource.get("interpretation")).get("coding"))
    code = plain(text_of(coding.get("code")))
    return "" if code == "N" else code


def _effective(resource: Mapping[str, Any]) -> str:
    period = object_of(resource.get("effectivePeriod"))
    times = (resource.get("effectiveDateTime"), period.get("end"), period.get("start"))
    return next(filter(None, map(text_of, times)), "")


def _instant(resource: Mapping[str, Any]) -> datetime:
    """Return when it was true, to sort by: 08:00 in Vienna is before 07:30 in London."""
    try:
        moment = datetime.fromisoformat(_effective(resource))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)


def _when(time: object) -> str:
    """Return day and time in UTC; what is not exact, or no time at all, is shown as it is."""
    text = text_of(time)
    try:
        moment = datetime.fromisoformat(text)
        moment_utc = moment.astimezone(UTC) if moment.tzinfo else moment
    except (ValueError, OverflowError):  # the year 1 has no other zone
        return plain(text[:40])
    if moment.tzinfo is None or len(text) < _EXACT:
        return plain(text[:16].replace("T", " "))
    return f"{moment_utc:%Y-%m-%d %H:%M}"


def note_line(resource: Mapping[str, Any]) -> NoteLine:
    """Return a DocumentReference with its inline text."""
    return NoteLine(
        title=_concept(resource.get("type")),
        when=_when(resource.get("date")),
        text=_attachment_text(object_of(_first(resource.get("content")).get("attachment"))),
    )


def _attachment_text(attachment: Mapping[str, Any]) -> str:
    kind = text_of(attachment.get("contentType"))
    if not kind.startswith("text/plain"):
        return f"({plain(kind) or 'no attachment'})"
    if "data" not in attachment:
        return "(stored apart)"
    try:
        data = text_of(attachment["data"])
        text = base64.b64decode(data, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return "(the attachment is not valid base64)"
    shown = plain(text)
    return shown if len(shown) <= _NOTE_CHARACTERS else f"{shown[:_NOTE_CHARACTERS]} …"
