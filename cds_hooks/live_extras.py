"""What we look up on a FHIR server beyond the published prefetch keys.

Prefetch templates have to be few and plain. Where we ask the server ourselves, three more things
help: Compositions, where the server lists them; documents of any category, where none is filed as
a clinical note; and the devices that the fetched Observations name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta

from cds_hooks.request import HookRequest
from cds_hooks.services import NOTES_DAYS
from fhir_adapters.chart import Resource
from fhir_adapters.client import FhirClient
from fhir_adapters.devices import relative_reference
from fhir_adapters.elements import dict_of, text_of
from fhir_adapters.errors import FhirError
from fhir_adapters.outcome import reason_of
from fhir_adapters.paging import SearchResult
from model.record import ReportLine

_MOST_DEVICES = 40  # named in one search; a patient is on a handful
_WORDS = {
    "compositions": "structured documents",
    "documents": "documents of other categories",
    "devices": "the names of devices",
    "metrics": "the devices of metrics",
}
EXTRA_KEYS = frozenset(_WORDS)  # beside the prefetch keys, in what is said to be missing


def extra_documents(
    request: HookRequest, fetched: Collection[str], notes: Sequence[Resource], fhir: FhirClient
) -> tuple[tuple[Resource, ...], tuple[ReportLine, ...]]:
    """Return documents that the key ``notes`` does not cover, if we asked for that key ourselves.

    ``fetched``: the keys that we asked for; ``notes``: what came for the key.
    """
    if "notes" not in fetched:
        return (), ()
    since = (request.arrived_at - timedelta(days=NOTES_DAYS)).date().isoformat()
    search = f"patient={request.context.patient_id}&_sort=-date&_count=20&date=ge{since}"
    queries = {"compositions": f"Composition?{search}"}
    if not notes:
        queries["documents"] = f"DocumentReference?{search}"
    return _found(fhir.search_all(queries, if_offered=("compositions",)))


def devices_of(
    resources: Iterable[Resource], fhir: FhirClient
) -> tuple[tuple[Resource, ...], tuple[ReportLine, ...]]:
    """Return the Devices and DeviceMetrics that Observations name and that are not among them."""
    named: dict[str, dict[str, None]] = {"Device": {}, "DeviceMetric": {}}
    known: set[str] = set()
    for resource in resources:
        kind = text_of(resource.get("resourceType"))
        if kind == "Observation":
            reference = text_of(dict_of(resource.get("device")).get("reference"))
            holder, _, identity = relative_reference(reference).partition("/")
            if holder in named and identity:
                named[holder][identity] = None
        elif kind in named:
            known.add(f"{kind}/{resource.get('id')}")
    queries = {}
    for key, kind in (("devices", "Device"), ("metrics", "DeviceMetric")):
        missing = [one for one in named[kind] if f"{kind}/{one}" not in known][:_MOST_DEVICES]
        if missing:
            queries[key] = f"{kind}?_id={','.join(missing)}"
    if not queries:
        return (), ()
    return _found(fhir.search_all(queries, if_offered=tuple(queries)))


def _found(
    results: Mapping[str, SearchResult | FhirError],
) -> tuple[tuple[Resource, ...], tuple[ReportLine, ...]]:
    resources: list[Resource] = []
    lines: list[ReportLine] = []
    for key, result in results.items():
        if isinstance(result, FhirError):
            reason = reason_of(result)
            lines.append(ReportLine(key, reason, f"{_WORDS[key]}: not available ({reason})"))
        else:
            resources += result.resources
            lines += [
                ReportLine(key, line.reason, f"{_WORDS[key]}: {line.sentence}")
                for line in result.incomplete
            ]
    return tuple(resources), tuple(lines)
