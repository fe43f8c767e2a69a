"""Resources as lines of a chart, read tolerantly: any EHR shows what it can."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from conformance.ehr.safe_markdown import plain

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
    names = resource.get("name") or [{}]
    name = names[0].get("text") or " ".join(
        [*names[0].get("given", []), names[0].get("family", "")]
    )
    return PatientLine(
        id=str(resource.get("id", "")),
        name=_shortened(plain(name.strip() or "(no name)")),
        sex=plain(resource.get("gender", "")),
        birth_date=plain(resource.get("birthDate", "")),
    )


def _shortened(name: str) -> str:
    """Cut a name that would fill the page, and say so."""
    if len(name) <= _NAME_CHARACTERS:
        return name
    return f"{name[:_NAME_CHARACTERS]} … ({len(name) - _NAME_CHARACTERS} more characters)"


def encounter_text(encounter: Mapping[str, Any]) -> str:
    """Return class, place and begin of an Encounter; an empty one is none."""
    if not encounter:
        return "no current encounter"
    kind = encounter.get("class", {})
    where = [one.get("location", {}).get("display", "") for one in encounter.get("location", [])]
    code = kind.get("code", "")
    parts = [kind.get("display") or _CLASSES.get(code, code), *where]
    since = _when(encounter.get("period", {}).get("start"))
    return plain(
        ", ".join(part for part in parts if part) + (f" since {since} UTC" if since else "")
    )


def panels(observations: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    """Return the newest value of each kind, in a panel for each category."""
    by_title: dict[str, list[Mapping[str, Any]]] = {title: [] for title in _PANELS.values()}
    for one in sorted(observations, key=lambda o: _effective(o) or "", reverse=True):
        by_title.setdefault(_PANELS.get(_category(one), _OTHER), []).append(one)
    return tuple((title, _newest(found)) for title, found in by_title.items() if found)


def _category(observation: Mapping[str, Any]) -> str:
    if "valueSampledData" in observation:  # a wave does not stand between charted values
        return ""
    for category in observation.get("category", []):
        for coding in category.get("coding", []):
            if coding.get("code") in _PANELS:
                return str(coding["code"])
    return ""


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
        quantity = resource["valueQuantity"]
        return _with_unit(quantity.get("value", ""), quantity)
    if "valueSampledData" in resource:
        return _last_sample(resource["valueSampledData"])
    if "component" in resource:
        return _blood_pressure(resource["component"]) or ", ".join(
            f"{_concept(part.get('code'))} {_value(part)}" for part in resource["component"]
        )
    for name in ("valueString", "valueInteger", "valueBoolean", "valueDateTime"):
        if name in resource:
            return plain(resource[name])
    if "valueCodeableConcept" in resource:
        return _concept(resource["valueCodeableConcept"])
    return "no value"


def _last_sample(sampled: Mapping[str, Any]) -> str:
    samples = str(sampled.get("data", "")).split()
    origin = sampled.get("origin", {})
    numbers = [one for one in samples if one != "E"]  # E is a gap; L and U are beyond the range
    try:
        value = origin.get("value", 0) + sampled.get("factor", 1) * float(numbers[-1])
    except (IndexError, ValueError, TypeError):
        return f"{len(samples)} samples"
    return f"{_with_unit(f'{value:g}', origin)} (last of {len(samples)} samples)"


def _with_unit(value: object, quantity: Mapping[str, Any]) -> str:
    unit = str(quantity.get("unit") or quantity.get("code") or "")
    shown = "" if unit.startswith("{") else _UNITS.get(unit, unit)
    return _shortened(f"{value}{'' if shown.startswith('%') else ' '}{plain(shown)}".strip())


def _blood_pressure(components: Sequence[Mapping[str, Any]]) -> str:
    """Return "80/33 mmHg, mean 53" for a blood pressure panel, "" for other components."""
    found = {}
    for part in components:
        codes = {coding.get("code") for coding in part.get("code", {}).get("coding", [])}
        for code in codes & _PRESSURES.keys():
            found[_PRESSURES[code]] = part.get("valueQuantity", {})
    if {"systolic", "diastolic"} - found.keys() or len(found) != len(components):
        return ""
    text = f"{found['systolic'].get('value', '?')}/" + _with_unit(
        found["diastolic"].get("value", "?"), found["diastolic"]
    )
    return plain(f"{text}, mean {found['mean'].get('value', '?')}" if "mean" in found else text)


def _concept(concept: Mapping[str, Any] | None) -> str:
    concept = concept or {}
    codings = [one.get("display") or one.get("code") for one in concept.get("coding", [])]
    return _shortened(plain(concept.get("text") or next(filter(None, codings), "(no code)")))


def _flag(resource: Mapping[str, Any]) -> str:
    found = resource.get("interpretation") or [{}]
    codes = [one.get("code", "") for one in found[0].get("coding", [])]
    return plain(codes[0]) if codes and codes[0] != "N" else ""


def _effective(resource: Mapping[str, Any]) -> str | None:
    period = resource.get("effectivePeriod", {})
    return resource.get("effectiveDateTime") or period.get("end") or period.get("start")


def _when(time: str | None) -> str:
    """Return day and time in UTC; what is not exact, or no time at all, is shown as it is."""
    text = str(time or "")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return plain(text[:40])
    if moment.tzinfo is None or len(text) < _EXACT:
        return plain(text[:16].replace("T", " "))
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def note_line(resource: Mapping[str, Any]) -> NoteLine:
    """Return a DocumentReference with its inline text."""
    contents = resource.get("content") or [{}]
    return NoteLine(
        title=_concept(resource.get("type")),
        when=_when(resource.get("date")),
        text=_attachment_text(contents[0].get("attachment", {})),
    )


def _attachment_text(attachment: Mapping[str, Any]) -> str:
    if not str(attachment.get("contentType", "")).startswith("text/plain"):
        return f"({plain(attachment.get('contentType', 'no attachment'))})"
    if "data" not in attachment:
        return "(stored apart)"
    try:
        text = base64.b64decode(attachment["data"], validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return "(the attachment is not valid base64)"
    shown = plain(text)
    return shown if len(shown) <= _NOTE_CHARACTERS else f"{shown[:_NOTE_CHARACTERS]} …"
