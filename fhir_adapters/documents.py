"""Clinical documents of three resource types, read into one shape.

DocumentReference, DiagnosticReport and Composition differ in where they keep status, time, type
and text. Here the differences end. R4, R4B and R5 spellings are read alike.

When was a text known? A note counts from the latest of the moments that its resource states for
it: a document that was indexed in the morning and whose attachment was created at noon counts
from noon. ``context.period`` is the care that a note is about, not when it was written, and a
discharge summary's period starts at admission: only its end is used, and only where the resource
says nothing better. A date without an hour counts from the end of that day (see times.py), unless
``issued`` or ``meta.lastUpdated`` proves that the text was there sooner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_adapters.chart import Resource
from fhir_adapters.elements import dict_of, dicts_of, text_of
from fhir_adapters.note_types import display_of, note_type
from fhir_adapters.times import Moment, parse_moment, proof_of_existence
from model.record import ReportLine

DOCUMENT_TYPES = frozenset({"DocumentReference", "DiagnosticReport", "Composition"})

# Extensions that may change the meaning of the element that they sit on. None is known to us.
KNOWN_MODIFIER_EXTENSIONS: frozenset[str] = frozenset()

_AT_WORK = frozenset(
    {
        "registered",
        "partial",
        "preliminary",
        "final",
        "amended",
        "corrected",
        "appended",
        "modified",
        "unknown",
    }
)
_USABLE_STATUS = {
    "DocumentReference": frozenset({"current", "superseded"}),
    "DiagnosticReport": _AT_WORK,
    "Composition": _AT_WORK | {"deprecated"},
}
_WITHDRAWN = frozenset({"entered-in-error", "cancelled"})
_OUTDATED = frozenset({"superseded", "deprecated"})
_MAX_TITLE_CHARS = 80
_MAX_NESTING = 12  # sections in sections


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
    known_since: Moment | None  # None: the resource does not say
    outdated: bool  # status superseded or deprecated
    names: frozenset[str]  # how other documents may refer to this one
    replaces: frozenset[str]  # names of the documents that this one takes the place of
    attachments: tuple[Mapping[str, Any], ...] = ()
    narratives: tuple[Narrative, ...] = ()
    conclusion: str = ""
    contained: Mapping[str, Resource] = field(default_factory=dict)


def read_document(resource: Resource, position: int = 0) -> Document | ReportLine:
    """Return the document, or the reason why its status or extensions forbid using it.

    ``position`` names a document that has no id: "DocumentReference#3".
    """
    kind = text_of(resource.get("resourceType"))
    identity = text_of(resource.get("id"))
    source = f"{kind}/{identity}" if identity else f"{kind}#{position}"
    refusal = document_refusal(resource, kind, source)
    if refusal is not None:
        return refusal
    return Document(
        source=source,
        note_type=note_type(resource, kind),
        known_since=_known_since(resource, kind),
        outdated=not _OUTDATED.isdisjoint(_statuses(resource)),
        names=_names(resource, source),
        replaces=frozenset(_replaced(resource)),
        attachments=tuple(attachments_of(resource)),
        narratives=tuple(_narratives(resource, kind)),
        conclusion=text_of(resource.get("conclusion")),
        contained={
            f"#{text_of(item.get('id'))}": item for item in dicts_of(resource.get("contained"))
        },
    )


def canonical_reference(reference: str) -> str:
    """Return ``Type/id`` of a relative or absolute reference, versioned or not."""
    path = reference.split("?", 1)[0].split("/_history/", 1)[0].rstrip("/")
    parts = path.rsplit("/", 2)
    return "/".join(parts[-2:]) if len(parts) > 1 else path


def _statuses(resource: Resource) -> list[str]:
    return [text_of(resource.get(key)).lower() for key in ("status", "docStatus")]


def document_refusal(resource: Resource, kind: str, source: str) -> ReportLine | None:
    """Return why a document may not be used at all, None if it may."""
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
    if resource.get("implicitRules"):
        sentence = f"{source}: implicitRules that are not understood may change its meaning"
        return ReportLine(source, "modifier", sentence)
    if _has_unknown_modifier(resource):
        sentence = f"{source}: a modifier extension that is not understood may change its meaning"
        return ReportLine(source, "modifier", sentence)
    return None


def _has_unknown_modifier(resource: Resource) -> bool:
    waiting: list[object] = [value for key, value in resource.items() if key != "contained"]
    extensions = [resource.get("modifierExtension")]
    while waiting:
        element = waiting.pop()
        if type(element) is str:  # as most are
            continue
        if isinstance(element, list):
            waiting.extend(element)
        elif isinstance(element, dict):
            extensions.append(element.get("modifierExtension"))
            waiting.extend(element.values())
    urls = {text_of(item.get("url")) for found in extensions for item in dicts_of(found)}
    return bool(urls - KNOWN_MODIFIER_EXTENSIONS)


def _names(resource: Resource, source: str) -> frozenset[str]:
    identifiers = dicts_of(resource.get("masterIdentifier")) + dicts_of(resource.get("identifier"))
    names = {source, f"urn:uuid:{text_of(resource.get('id'))}"}
    return frozenset(names.union(filter(None, map(_identifier_name, identifiers))))


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


def attachments_of(resource: Resource) -> Iterator[Mapping[str, Any]]:
    """Yield the attachments of a document of any of the three types."""
    for content in dicts_of(resource.get("content")):
        yield dict_of(content.get("attachment"))
    yield from dicts_of(resource.get("presentedForm"))


def _narratives(resource: Resource, kind: str) -> Iterator[Narrative]:
    if kind == "Composition":
        yield from _section_narratives(resource.get("section"), "", 0)
    narrative = dict_of(resource.get("text"))
    # A generated narrative repeats the resource's own elements: who wrote what when. Only
    # "additional" promises text of its own. A report's narrative is its text, unless the report
    # states its conclusion, or lists results, which are read as Observations.
    repeats = resource.get("result") or resource.get("conclusion")
    own_text = kind == "DiagnosticReport" and not repeats
    if own_text or text_of(narrative.get("status")) == "additional":
        div = text_of(narrative.get("div"))
        if div:
            yield Narrative("", div)


def _section_narratives(sections: object, outer: str, depth: int) -> Iterator[Narrative]:
    if depth > _MAX_NESTING:
        return
    for section in dicts_of(sections):
        title = text_of(section.get("title")) or display_of(section.get("code")) or outer
        div = text_of(dict_of(section.get("text")).get("div"))
        if div:
            yield Narrative(title[:_MAX_TITLE_CHARS], div)
        yield from _section_narratives(section.get("section"), title, depth + 1)


def _known_since(resource: Resource, kind: str) -> Moment | None:
    stated = list(filter(None, map(parse_moment, _stated_times(resource, kind))))
    proof = proof_of_existence(resource)
    if not stated:
        return Moment(proof, proof) if proof else None
    moment = max(stated, key=lambda moment: moment.latest)
    if not moment.exact and proof and proof < moment.latest:
        return Moment(min(moment.time, proof), proof)
    return moment


def _stated_times(resource: Resource, kind: str) -> list[object]:
    if kind == "Composition":
        return [resource.get("date")]
    if kind == "DiagnosticReport":
        period = dict_of(resource.get("effectivePeriod"))
        times = [resource.get(key) for key in ("issued", "effectiveDateTime", "effectiveInstant")]
        return [*times, period.get("end")]
    created = [attachment.get("creation") for attachment in attachments_of(resource)]
    written = [resource.get("date"), *created]
    if any(map(parse_moment, written)):
        return written
    context = dict_of(resource.get("context"))
    periods = [dict_of(context.get("period")), dict_of(resource.get("period"))]
    return [period.get("end") for period in periods]
