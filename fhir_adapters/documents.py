"""Clinical documents of three resource types, read into one shape.

DocumentReference, DiagnosticReport and Composition differ in where they keep status, time, type
and text. Here the differences end. R4, R4B and R5 spellings are read alike.

When was a text known? A note counts from the latest of the moments that its resource states for
it: a document that was indexed in the morning and whose attachment was created at noon counts
from noon. ``context.period`` is the care that a note is about, not when it was written, and a
discharge summary's period starts at admission: only its end is used, and only where the resource
says nothing better. A date without an hour counts from the end of that day in UTC, unless
``meta.lastUpdated`` proves that the text was there sooner.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_adapters.chart import Resource
from model.record import ReportLine

DOCUMENT_TYPES = frozenset({"DocumentReference", "DiagnosticReport", "Composition"})

# Extensions that may change the meaning of the element that they sit on. None is known to us.
KNOWN_MODIFIER_EXTENSIONS: frozenset[str] = frozenset()

_USABLE_STATUS = {
    "DocumentReference": frozenset({"current", "superseded"}),
    "DiagnosticReport": frozenset(
        "registered partial preliminary modified final amended corrected appended unknown".split()
    ),
    "Composition": frozenset(
        "registered partial preliminary final amended corrected appended modified deprecated "
        "unknown".split()
    ),
}
_WITHDRAWN = frozenset({"entered-in-error", "cancelled"})
_OUTDATED = frozenset({"superseded", "deprecated"})
_MAX_TYPE_CHARS = 80
_MAX_NESTING = 12  # sections in sections, and elements searched for modifier extensions

# LOINC codes of the note types that US Core requires, for servers that send no display text.
_LOINC_NOTE_TYPES = {
    "11488-4": "Consultation note",
    "11502-2": "Laboratory report",
    "11506-3": "Progress note",
    "11526-1": "Pathology study",
    "18748-4": "Diagnostic imaging study",
    "18776-5": "Plan of care note",
    "18842-5": "Discharge summary",
    "28570-0": "Procedure note",
    "34111-5": "Emergency department note",
    "34117-2": "History and physical note",
    "34133-9": "Summary of episode note",
    "34746-8": "Nurse note",
    "57133-1": "Referral note",
}
_FALLBACK_TYPE = {
    "DocumentReference": "Document",
    "DiagnosticReport": "Diagnostic report",
    "Composition": "Document",
}


@dataclass(frozen=True, slots=True)
class Narrative:
    """XHTML of a section or of the resource."""

    section: str
    div: str


@dataclass(frozen=True, slots=True)
class Document:
    """What the three resource types have in common."""

    source: str  # "DocumentReference/7"
    note_type: str
    known_since: datetime | None  # None: the resource does not say
    outdated: bool  # status superseded or deprecated
    names: frozenset[str]  # how other documents may refer to this one
    replaces: frozenset[str]  # names of the documents that this one takes the place of
    attachments: tuple[Mapping[str, Any], ...] = ()
    narratives: tuple[Narrative, ...] = ()
    conclusion: str = ""
    contained: Mapping[str, Resource] | None = None


def read_document(resource: Resource) -> Document | ReportLine:
    """Return the document, or the reason why its status or extensions forbid using it."""
    kind = text_of(resource.get("resourceType"))
    source = f"{kind}/{text_of(resource.get('id')) or '(without id)'}"
    refusal = _refusal(resource, kind, source)
    if refusal is not None:
        return refusal
    return Document(
        source=source,
        note_type=_note_type(resource, kind),
        known_since=_known_since(resource, kind),
        outdated=not _OUTDATED.isdisjoint(_statuses(resource)),
        names=_names(resource, source),
        replaces=frozenset(_replaced(resource)),
        attachments=tuple(_attachments(resource)),
        narratives=tuple(_narratives(resource, kind)),
        conclusion=text_of(resource.get("conclusion")),
        contained={
            f"#{text_of(item.get('id'))}": item for item in dicts_of(resource.get("contained"))
        },
    )


def text_of(value: object) -> str:
    """Return a string value without outer white space; anything else is ``""``."""
    return value.strip() if isinstance(value, str) else ""


def dict_of(value: object) -> dict[str, Any]:
    """Return an object; anything else is ``{}``."""
    return value if isinstance(value, dict) else {}


def dicts_of(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list, or a lone object as a list of one (seen from R5 to R4 maps)."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def canonical_reference(reference: str) -> str:
    """Return ``Type/id`` of a relative or absolute reference, versioned or not."""
    path = reference.split("?", 1)[0].split("/_history/", 1)[0].rstrip("/")
    parts = path.rsplit("/", 2)
    return "/".join(parts[-2:]) if len(parts) > 1 else path


def _statuses(resource: Resource) -> list[str]:
    return [text_of(resource.get(key)) for key in ("status", "docStatus")]


def _refusal(resource: Resource, kind: str, source: str) -> ReportLine | None:
    if kind not in DOCUMENT_TYPES:
        return ReportLine(source, "type", f"{source}: not a clinical document")
    status, doc_status = _statuses(resource)
    withdrawn = next((word for word in (status, doc_status) if word in _WITHDRAWN), None)
    if withdrawn:
        return ReportLine(source, "status", f"{source}: status is '{withdrawn}'")
    if status and status not in _USABLE_STATUS[kind]:
        allowed = ", ".join(sorted(_USABLE_STATUS[kind]))
        sentence = f"{source}: status is not a code that may be used ({allowed})"
        return ReportLine(source, "status", sentence)
    if _has_unknown_modifier(resource):
        sentence = f"{source}: a modifier extension that is not understood may change its meaning"
        return ReportLine(source, "modifier-extension", sentence)
    return None


def _has_unknown_modifier(element: object, depth: int = 0) -> bool:
    if depth > _MAX_NESTING:
        return False
    if isinstance(element, list):
        return any(_has_unknown_modifier(item, depth + 1) for item in element)
    if not isinstance(element, dict):
        return False
    urls = {text_of(item.get("url")) for item in dicts_of(element.get("modifierExtension"))}
    return bool(urls - KNOWN_MODIFIER_EXTENSIONS) or any(
        _has_unknown_modifier(value, depth + 1)
        for key, value in element.items()
        if key != "contained"
    )


def _note_type(resource: Resource, kind: str) -> str:
    concepts = [resource.get("code" if kind == "DiagnosticReport" else "type")]
    concepts += dicts_of(resource.get("category"))
    for concept in concepts:
        name = _display(dict_of(concept))
        if name:
            return name[:_MAX_TYPE_CHARS]
    return _FALLBACK_TYPE[kind]


def _display(concept: Mapping[str, Any]) -> str:
    codings = dicts_of(concept.get("coding"))
    names = [text_of(concept.get("text"))]
    names += [text_of(coding.get("display")) for coding in codings]
    names += [_LOINC_NOTE_TYPES.get(text_of(coding.get("code")), "") for coding in codings]
    return next((" ".join(name.split()) for name in names if name), "")


def _names(resource: Resource, source: str) -> frozenset[str]:
    identifiers = dicts_of(resource.get("masterIdentifier")) + dicts_of(resource.get("identifier"))
    return frozenset({source, *filter(None, map(_identifier_name, identifiers))})


def _identifier_name(identifier: Mapping[str, Any]) -> str:
    value = text_of(identifier.get("value"))
    return f"{text_of(identifier.get('system'))}|{value}" if value else ""


def _replaced(resource: Resource) -> Iterator[str]:
    for relation in dicts_of(resource.get("relatesTo")):
        if not _says_replaces(relation):
            continue
        targets = [
            dict_of(relation.get(key)) for key in ("target", "targetReference", "resourceReference")
        ]
        identifiers = [dict_of(target.get("identifier")) for target in targets]
        identifiers.append(dict_of(relation.get("targetIdentifier")))
        yield from filter(None, map(_identifier_name, identifiers))
        for target in targets:
            reference = text_of(target.get("reference"))
            if reference:
                yield canonical_reference(reference)


def _says_replaces(relation: Mapping[str, Any]) -> bool:
    """R4: ``code`` is a code. R5: a CodeableConcept, and ``type`` in a Composition."""
    codes = [text_of(relation.get("code")), text_of(relation.get("type"))]
    concept = dict_of(relation.get("code"))
    codes += [text_of(coding.get("code")) for coding in dicts_of(concept.get("coding"))]
    return "replaces" in codes


def _attachments(resource: Resource) -> Iterator[Mapping[str, Any]]:
    for content in dicts_of(resource.get("content")):
        yield dict_of(content.get("attachment"))
    yield from dicts_of(resource.get("presentedForm"))


def _narratives(resource: Resource, kind: str) -> Iterator[Narrative]:
    if kind == "Composition":
        yield from _section_narratives(resource.get("section"), "", 0)
    narrative = dict_of(resource.get("text"))
    # A generated narrative repeats the resource's own elements: who wrote what when. Only
    # "additional" promises text of its own. A report's narrative is its text, unless the report
    # lists results, which are read as Observations.
    own_text = kind == "DiagnosticReport" and not resource.get("result")
    if own_text or text_of(narrative.get("status")) == "additional":
        div = text_of(narrative.get("div"))
        if div:
            yield Narrative("", div)


def _section_narratives(sections: object, outer: str, depth: int) -> Iterator[Narrative]:
    if depth > _MAX_NESTING:
        return
    for section in dicts_of(sections):
        title = text_of(section.get("title")) or _display(dict_of(section.get("code"))) or outer
        div = text_of(dict_of(section.get("text")).get("div"))
        if div:
            yield Narrative(title[:_MAX_TYPE_CHARS], div)
        yield from _section_narratives(section.get("section"), title, depth + 1)


_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")


@dataclass(frozen=True, slots=True)
class _Moment:
    earliest: datetime
    latest: datetime


def _moment(value: object) -> _Moment | None:
    text = text_of(value)
    try:
        if _DATE.fullmatch(text):
            return _whole_period(text)
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:  # not FHIR, but sent; read as UTC like the rest of a server's logs
            time = time.replace(tzinfo=UTC)
        time = time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return _Moment(time, time)


def _whole_period(text: str) -> _Moment:
    year, month, day = (int(part) for part in (text + "-01-01")[:10].split("-"))
    start = datetime(year, month, day, tzinfo=UTC)
    if len(text) == 4:
        end = start.replace(year=year + 1)
    elif len(text) == 7:
        end = (start + timedelta(days=32)).replace(day=1)
    else:
        end = start + timedelta(days=1)
    return _Moment(start, end - timedelta(microseconds=1))


def _known_since(resource: Resource, kind: str) -> datetime | None:
    stated = list(filter(None, map(_moment, _stated_times(resource, kind))))
    updated = _moment(dict_of(resource.get("meta")).get("lastUpdated"))
    if not stated:
        return updated.latest if updated else None
    moment = max(stated, key=lambda moment: moment.latest)
    if updated and moment.earliest <= updated.latest < moment.latest:
        return updated.latest
    return moment.latest


def _stated_times(resource: Resource, kind: str) -> list[object]:
    if kind == "Composition":
        return [resource.get("date")]
    if kind == "DiagnosticReport":
        period = dict_of(resource.get("effectivePeriod"))
        times = [resource.get(key) for key in ("issued", "effectiveDateTime", "effectiveInstant")]
        return [*times, period.get("end")]
    created = [attachment.get("creation") for attachment in _attachments(resource)]
    written = [resource.get("date"), *created]
    if any(_moment(value) for value in written):
        return written
    context = dict_of(resource.get("context"))
    periods = [dict_of(context.get("period")), dict_of(resource.get("period"))]
    return [period.get("end") for period in periods]
