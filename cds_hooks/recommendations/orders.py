"""What was ordered or planned already, so that it is not offered again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cds_hooks.services import ORDER_KEYS, ORDER_STATUSES
from fhir_adapters.chart import Chart, Resource
from fhir_adapters.codes import LOINC, standard_codes
from fhir_adapters.elements import dict_of, dicts_of, text_of
from fhir_adapters.errors import WrongPatient
from fhir_adapters.subjects import Ownership
from model.record import ReadingReport

Code = tuple[str, str]  # system and code; the system "" is a text


@dataclass(frozen=True, slots=True)
class Orders:
    """The codes of open orders. ``unread``: why there may be others, in sentences."""

    codes: frozenset[Code]
    unread: tuple[str, ...] = ()

    def holds(self, code: Any) -> bool:
        """Whether a CodeableConcept was ordered: by code, or by the variable that it measures."""
        return not self.codes.isdisjoint(codes_of(code))


def orders_of(chart: Chart, report: ReadingReport) -> Orders:
    """Read the open orders of a chart; ``report`` says whether all of them could be had.

    What is not shown to be the patient's own hides no step.
    """
    found: set[Code] = set()
    ownership, unproven = _ownership(chart), 0
    for resource in chart.resources:
        if not _is_open(resource):
            continue
        if _is_own(ownership, resource):
            found |= codes_of(resource.get("code"))
        else:
            unproven += 1
    unread = [line.sentence for line in report.incomplete if line.source in ORDER_KEYS]
    if unproven:
        unread.append(f"{unproven} not shown to be about this patient")
    return Orders(frozenset(found), tuple(dict.fromkeys(unread)))


def codes_of(code: object) -> frozenset[Code]:
    """All that a CodeableConcept is known by. Two LOINC codes of one variable count as one."""
    concept = dict_of(code)
    return frozenset(_codes(dicts_of(concept.get("coding")), text_of(concept.get("text"))))


def _codes(codings: Iterable[dict[str, Any]], text: str) -> Iterable[Code]:
    if text.strip():
        yield "", text.strip().casefold()
    for coding in codings:
        system, code = text_of(coding.get("system")), text_of(coding.get("code"))
        if not system or not code:
            continue
        yield system, code
        variable = standard_codes().lookup(system, code) if system == LOINC else None
        if variable is not None:
            yield "variable", variable.name


def _ownership(chart: Chart) -> Ownership:
    name = chart.patient_id.removeprefix("Patient/")
    patients = (one for one in chart.resources if one.get("resourceType") == "Patient")
    patient = next((one for one in patients if one.get("id") == name), {})
    return Ownership(name, patient, chart.aliases)


def _is_own(ownership: Ownership, resource: Resource) -> bool:
    try:
        return not ownership.objection(resource, str(resource.get("resourceType")))
    except WrongPatient:  # the record builder refuses such a chart before we are asked
        return False


def _is_open(resource: Resource) -> bool:
    return resource.get("status") in ORDER_STATUSES.get(str(resource.get("resourceType")), ())
