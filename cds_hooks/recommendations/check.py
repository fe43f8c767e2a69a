"""What is wrong with a folder of next steps: every fault with its file, line and cause.

First FHIR itself (by fhir.resources), then what we need beyond it: one action with conditions, a
citation with a date, known variables, an ActivityDefinition that can become a draft. Conditions
are tried on a patient who has every value and on one who has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fhir.resources.R4B.activitydefinition import ActivityDefinition
from fhir.resources.R4B.plandefinition import PlanDefinition
from pydantic import ValidationError

from cds_hooks.errors import SettingsError
from cds_hooks.recommendations.conditions import ConditionFailed, holds
from cds_hooks.recommendations.library import (
    SHIPPED,
    Fault,
    LibraryFile,
    read_folder,
    resources_of,
)
from cds_hooks.recommendations.patient_data import (
    Course,
    PatientData,
    names,
    nobody,
    observation,
)
from cds_hooks.recommendations.step import addressed, citations_of
from fhir_adapters.codes import load_variables
from model.record import Demographics, PatientRecord

_MODELS: dict[str, Any] = {
    "PlanDefinition": PlanDefinition,
    "ActivityDefinition": ActivityDefinition,
}
_CREATED = ("ServiceRequest", "Task")
_STATUSES = ("active", "retired")
_STATIC = frozenset({"age_years", "sex", "unit_type"})  # variables that no Observation holds
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


def check_folder(folder: Path) -> tuple[list[LibraryFile], list[Fault]]:
    """Return a site's files and all their faults. Raises SettingsError if there is no folder."""
    if not folder.is_dir():
        raise SettingsError(
            f"recommendations.folder: {folder} is not a folder", setting="recommendations.folder"
        )
    files, faults = read_folder(folder)
    sound = []
    for file in files:
        found = list(_fhir_faults(file)) or list(_own_faults(file))
        faults += found
        if not found:
            sound.append(file)
    known = [*files, *(read_folder(SHIPPED)[0] if folder != SHIPPED else ())]
    faults += _link_faults(sound, {str(one.resource.get("url")) for one in _activities(known)})
    return files, sorted(faults, key=lambda fault: (str(fault.file), fault.line))


def _activities(files: list[LibraryFile]) -> Iterator[LibraryFile]:
    return resources_of(files, "ActivityDefinition")


def _fhir_faults(file: LibraryFile) -> Iterator[Fault]:
    try:
        _MODELS[file.resource["resourceType"]].model_validate(file.resource)
    except ValidationError as exc:
        for error in exc.errors():
            path = tuple(error["loc"])
            place = ".".join(map(str, path))
            yield file.fault(path, f"not FHIR R4: {place}: {error['msg']}")


def _own_faults(file: LibraryFile) -> Iterator[Fault]:
    resource = file.resource
    for member in ("id", "url"):
        if not resource.get(member):
            yield file.fault((), f"{member} is needed")
    if resource["status"] not in _STATUSES:
        yield file.fault(("status",), "expected status active, or retired to switch a step off")
    if resource["resourceType"] == "ActivityDefinition":
        yield from _activity_faults(file)
    else:
        yield from _plan_faults(file)


def _activity_faults(file: LibraryFile) -> Iterator[Fault]:
    activity = file.resource
    if activity.get("kind") not in _CREATED:
        yield file.fault(("kind",), f"expected kind {' or '.join(_CREATED)}")
    if activity.get("intent", "proposal") != "proposal":
        yield file.fault(("intent",), "expected intent proposal: a step never orders")
    code = activity.get("code", {})
    if not code.get("text") or not code.get("coding"):
        yield file.fault(("code",), "code needs a text and a coding")
    for index, coding in enumerate(code.get("coding", [])):
        if not coding.get("system") or not coding.get("code"):
            yield file.fault(("code", "coding", index), "a coding needs system and code")


def _plan_faults(file: LibraryFile) -> Iterator[Fault]:
    plan = file.resource
    if not str(plan.get("title", "")).startswith("Consider "):
        yield file.fault(("title",), "title: expected an option that begins with 'Consider '")
    citations = citations_of(plan)
    if not citations:
        yield file.fault((), "a relatedArtifact of type citation is needed: no step without one")
    for one in citations:
        if not (one.label and one.text and one.url and _DATE.fullmatch(one.published)):
            yield file.fault(
                ("relatedArtifact",),
                "a citation needs label, citation, url and the extension published with its date",
            )
    yield from _addressed_faults(file)
    actions = plan.get("action", [])
    if len(actions) != 1 or not actions[0].get("condition"):
        yield file.fault(("action",), "expected exactly one action, with at least one condition")
        return
    for index, condition in enumerate(actions[0]["condition"]):
        path = ("action", 0, "condition", index)
        for cause in _condition_faults(condition):
            yield file.fault((*path, "expression", "expression"), cause)


def _addressed_faults(file: LibraryFile) -> Iterator[Fault]:
    variables = addressed(file.resource, "variable")
    systems = addressed(file.resource, "organSystem")
    if not variables and not systems:
        yield file.fault((), "the extension addresses is needed: else the step is never offered")
    for name in sorted(variables - set(load_variables()) - _STATIC):
        yield file.fault(("extension",), f"addresses: there is no variable {name!r}")
    known = {variable.organ_system for variable in load_variables().values()} | {"gastrointestinal"}
    for name in sorted(systems - known):
        yield file.fault(("extension",), f"addresses: there is no organ system {name!r}")


def _condition_faults(condition: Mapping[str, Any]) -> Iterator[str]:
    expression = condition.get("expression", {})
    if condition.get("kind") != "applicability" or expression.get("language") != "text/fhirpath":
        yield "expected a condition of kind applicability in language text/fhirpath"
        return
    for data in (_everything(), nobody()):
        try:
            holds(str(expression.get("expression", "")), data)
        except ConditionFailed as exc:
            yield f"the condition fails: {exc}"
            return


@cache
def _everything() -> PatientData:
    """A patient who has every value, so that no part of a condition goes untried."""
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    record = PatientRecord(Demographics("Patient/example", 60.0, "female"), now)
    data: dict[str, Any] = {}
    for name in names():
        unit = "1"
        data[name] = observation(name, Course((1.0, 2.0), now), record, unit)
    data["patient"] = {"resourceType": "Patient", "gender": "female"}
    data["encounter"] = {
        "resourceType": "Encounter",
        "class": {"code": "IMP"},
        "type": [{"text": "medical icu"}],
        "period": {"start": "2026-01-01T00:00:00+00:00"},
    }
    data["risk"] = {
        "resourceType": "RiskAssessment",
        "prediction": [
            {"probabilityDecimal": 50.0, "qualitativeRisk": {"coding": [{"code": "high"}]}}
        ],
    }
    return data


def _link_faults(files: list[LibraryFile], activities: set[str]) -> Iterator[Fault]:
    seen: dict[tuple[str, str], Path] = {}
    for file in files:
        key = (file.resource["resourceType"], str(file.resource.get("id")))
        if key in seen:
            yield file.fault(("id",), f"{seen[key].name} has the same id")
        seen.setdefault(key, file.path)
    for file in resources_of(files, "PlanDefinition"):
        wanted = file.resource["action"][0].get("definitionCanonical")
        if wanted not in activities:
            yield file.fault(
                ("action", 0, "definitionCanonical"),
                f"no ActivityDefinition has the url {wanted!r}",
            )
