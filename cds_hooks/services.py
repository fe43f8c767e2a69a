"""The services that we publish: one entry for each hook, with prefetch templates.

The templates use what both releases allow and what EHRs are known to answer: an instance read,
or a type search with ``patient`` and one ``category``, or with codes. Release 2.0 has no relative
dates, so its searches are bounded by ``_count`` and sorted, the newest first; release 3.0 adds one
date bound. What we fetch ourselves has that bound in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cds_hooks.settings import Settings
from fhir_adapters.codes import CodeTable, load_variables, standard_codes

SERVICE_ID = "meam-risk"
# What is still to be done; a next step that was ordered is not offered again.
ORDER_STATUSES: Mapping[str, tuple[str, ...]] = {
    "ServiceRequest": ("draft", "active", "on-hold"),
    "Task": (
        *("draft", "requested", "received", "accepted", "ready"),
        *("in-progress", "on-hold"),
    ),
}
ORDER_KEYS = frozenset({"orders", "tasks"})
_CDS_HOOKS_VERSION = {"2.0": "2.0.1", "3.0": "3.0.0"}
_HOOK_VERSION = "1.0"  # of all three hooks in the published library
_NEED_ENCOUNTER = frozenset({"encounter-start", "encounter-discharge"})
_BEDSIDE = (
    "glasgow_coma_scale",
    "urine_output",
    "urine_output_24h",
    "fluid_intake",
    "fraction_inspired_oxygen",
    "mechanical_ventilation",
    "pain_score",
)
_OBSERVATIONS_DAYS = 3  # the model looks back 48 h; a date-only bound cuts at midnight
NOTES_DAYS = 8  # and a week for notes
_PLAIN_CODE = re.compile(r"[\w.~-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class PrefetchTemplate:
    """One key: what a client may send along, and what we fetch where it does not."""

    key: str
    query: str  # relative URL with tokens {{context.*}}
    display: str  # for the card: "laboratory results"
    resource_type: str
    required: bool = False  # without it there is no answer: 412
    clinical: bool = True  # holds data that a prediction can rest on
    look_back_days: int | None = None
    fallback: str = ""  # fetched where the context lacks a token of the query

    @property
    def is_read(self) -> bool:
        """True for an instance read, False for a search."""
        return "?" not in self.query

    def published(self, dialect: str) -> str:
        """The template as discovery shows it in release "2.0" or "3.0"."""
        if dialect == "2.0" or self.look_back_days is None:
            return self.query
        return f"{self.query}&date=ge{{{{today() - {self.look_back_days} days}}}}"

    def to_fetch(self, context: Mapping[str, str], now: datetime) -> str | None:
        """The query that we send ourselves; None where the context lacks a token."""
        query = _filled(self.query, context) or _filled(self.fallback, context)
        since = self.looks_back_to(now)
        return query if query is None or since is None else f"{query}&date=ge{since.date()}"

    def looks_back_to(self, now: datetime) -> datetime | None:
        """Since when data are of use, None without such a bound."""
        if self.look_back_days is None:
            return None
        day = now - timedelta(days=self.look_back_days)
        return day.replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    """What discovery says about one service on one hook."""

    id: str
    hook: str
    title: str
    description: str
    usage_requirements: str
    prefetch: tuple[PrefetchTemplate, ...]
    dialect: str

    @property
    def needs_encounter(self) -> bool:
        """Whether the hook's context has to name an encounter."""
        return self.hook in _NEED_ENCOUNTER

    @property
    def keys(self) -> frozenset[str]:
        """The prefetch keys."""
        return frozenset(template.key for template in self.prefetch)

    def to_json(self) -> dict[str, Any]:
        """The entry in the discovery answer. Order matters: release 3.0 reads keys in order."""
        return {
            "hook": self.hook,
            "hookVersion": _HOOK_VERSION,
            "title": self.title,
            "description": self.description,
            "id": self.id,
            "version": _CDS_HOOKS_VERSION[self.dialect],
            "prefetch": {one.key: one.published(self.dialect) for one in self.prefetch},
            "usageRequirements": self.usage_requirements,
        }


def published_services(
    settings: Settings, codes: CodeTable | None = None
) -> tuple[ServiceDefinition, ...]:
    """All services of this installation; ``(id, hook)`` pairs are unique.

    ``codes``: those of the settings' ConceptMap, for what is asked by code.
    """
    templates = prefetch_templates(settings, codes)
    return tuple(
        ServiceDefinition(
            id=SERVICE_ID,
            hook=hook,
            title="Risk of an adult inpatient, with reasons",
            description=(
                "Estimates the risk of an adult inpatient from laboratory results, charted vital"
                " signs, clinical notes and device data, and shows the reasons with their sources"
                " and how well the explanation methods agree. Research software, not a medical"
                " device."
            ),
            usage_requirements=(
                "For adult inpatients. Needs the Patient and at least one of vital signs,"
                " laboratory results, notes and device data, by prefetch or from a FHIR R4 server"
                " that is registered with us. Note attachments that are not inline are fetched"
                " from that server."
            ),
            prefetch=templates,
            dialect=settings.prefetch_dialect,
        )
        for hook in settings.hooks
    )


def prefetch_templates(
    settings: Settings, codes: CodeTable | None = None
) -> tuple[PrefetchTemplate, ...]:
    """The templates of each service. ``codes``: see published_services."""
    templates = _templates(settings.device_categories, codes or standard_codes())
    return templates + _orders() if settings.recommendations.show else templates


def _templates(
    device_categories: tuple[str, ...], codes: CodeTable
) -> tuple[PrefetchTemplate, ...]:
    patient = PrefetchTemplate(
        key="patient",
        query="Patient/{{context.patientId}}",
        display="the patient's demographics",
        resource_type="Patient",
        required=True,
        clinical=False,
    )
    encounter = PrefetchTemplate(
        key="encounter",
        query="Encounter/{{context.encounterId}}",
        display="the encounter",
        resource_type="Encounter",
        clinical=False,
        fallback="Encounter?patient={{context.patientId}}&status=in-progress",
    )
    notes = PrefetchTemplate(
        key="notes",
        query="DocumentReference?patient={{context.patientId}}&category=clinical-note"
        "&_sort=-date&_count=20",
        display="clinical notes",
        resource_type="DocumentReference",
        look_back_days=NOTES_DAYS,
    )
    reports = PrefetchTemplate(
        key="reports",
        query="DiagnosticReport?patient={{context.patientId}}&_sort=-date&_count=20",
        display="diagnostic reports",
        resource_type="DiagnosticReport",
        clinical=False,
        look_back_days=NOTES_DAYS,
    )
    return (
        patient,
        encounter,
        _observations("vitalSigns", "vital-signs", "vital signs"),
        _observations("laboratory", "laboratory", "laboratory results"),
        notes,
        reports,
        _bedside(codes),
        *(
            _observations(_device_key(category), category, f"device data ({category})")
            for category in device_categories
        ),
    )


def _orders() -> tuple[PrefetchTemplate, ...]:
    """What was ordered or planned already. Only the next steps need it."""
    return tuple(
        PrefetchTemplate(
            key=key,
            query=f"{kind}?patient={{{{context.patientId}}}}"
            f"&status={','.join(ORDER_STATUSES[kind])}&_count=200",
            display=display,
            resource_type=kind,
            clinical=False,
        )
        for key, kind, display in (
            ("orders", "ServiceRequest", "active orders"),
            ("tasks", "Task", "open tasks"),
        )
    )


def _observations(key: str, category: str, display: str) -> PrefetchTemplate:
    return _search(key, f"category={category}", display)


def _bedside(table: CodeTable) -> PrefetchTemplate:
    """Scores, fluids and oxygen: EHRs file them under any category, so they are asked by code.

    A site's own code that has a character of the search syntax cannot be asked for.
    """
    variables = load_variables()
    codes = dict.fromkeys(
        code
        for name in _BEDSIDE
        for code in (
            *(variables[name].loinc or (name,)),
            *variables[name].snomed,
            *filter(_PLAIN_CODE.fullmatch, table.local_codes(name)),
        )
    )
    return _search("bedside", f"code={','.join(codes)}", "scores, fluid balance and ventilation")


def _search(key: str, what: str, display: str) -> PrefetchTemplate:
    return PrefetchTemplate(
        key=key,
        query=f"Observation?patient={{{{context.patientId}}}}&{what}&_sort=-date&_count=500",
        display=display,
        resource_type="Observation",
        look_back_days=_OBSERVATIONS_DAYS,
    )


def _device_key(category: str) -> str:
    return "deviceData" if category == "activity" else f"deviceData-{category}"


def _filled(query: str, context: Mapping[str, str]) -> str | None:
    for name, value in context.items():
        query = query.replace("{{context." + name + "}}", value)
    return query if query and "{{" not in query else None
