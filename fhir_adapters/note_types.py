"""The words by which a document's type is shown."""

from __future__ import annotations

from fhir_adapters.charsets import clean
from fhir_adapters.chart import Resource
from fhir_adapters.elements import dict_of, dicts_of, text_of

_MAX_TYPE_CHARS = 80

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


def note_type(resource: Resource, kind: str) -> str:
    """Return the display text of a document's type, else of its category."""
    concepts = [resource.get("code" if kind == "DiagnosticReport" else "type")]
    concepts += dicts_of(resource.get("category"))
    names = filter(None, map(display_of, concepts))
    return next(names, _FALLBACK_TYPE[kind])[:_MAX_TYPE_CHARS]


def display_of(concept: object) -> str:
    """Return the text of a CodeableConcept, else a coding's display, else a known code's name."""
    codings = dicts_of(dict_of(concept).get("coding"))
    names = [text_of(dict_of(concept).get("text"))]
    names += [text_of(coding.get("display")) for coding in codings]
    names += [_LOINC_NOTE_TYPES.get(text_of(coding.get("code")), "") for coding in codings]
    return next((" ".join(clean(name).split()) for name in names if name), "")
