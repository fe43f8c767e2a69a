"""Bundles and single answers, opened into their resources.

Every search of an Epic server answers with an OperationOutcome among its entries, often the only
word that data were withheld: it becomes a completeness warning. Entries may lack ``search.mode``
and ``fullUrl``; ``total`` is not looked at, since servers disagree about what it counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fhir_adapters.chart import Resource
from fhir_adapters.errors import FhirBadAnswer
from fhir_adapters.outcome import outcome_lines
from fhir_adapters.times import parse_moment
from model.record import ReportLine

_OPENED = frozenset({"Bundle", "OperationOutcome"})
DEEPEST_NESTING = 4  # a Bundle inside a Bundle inside...: deeper is no honest answer


@dataclass(slots=True)
class BundleContents:
    """What a Bundle holds."""

    resources: list[Resource] = field(default_factory=list)
    incomplete: list[ReportLine] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)  # fullUrl -> "Patient/1"


def open_bundle(answer: object, origin: str = "") -> BundleContents:
    """Open a Bundle, or take a single resource as it is.

    ``origin`` names where the answer came from (a prefetch key, a search) in the warnings. Raises
    FhirBadAnswer if it is no FHIR resource at all.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("resourceType"), str):
        raise FhirBadAnswer(f"{origin or 'the answer'} is no FHIR resource: it has no resourceType")
    contents = BundleContents()
    _open(answer, origin, contents, depth=0)
    return contents


def unpacked(resources: Iterable[Any]) -> BundleContents:
    """Return a chart's resources with Bundles opened and OperationOutcomes turned into warnings."""
    contents = BundleContents()
    for resource in resources:
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        if kind == "Bundle" or kind == "OperationOutcome":  # faster than a set
            _open(resource, "", contents, depth=0)
        else:
            contents.resources.append(resource)
    return contents


def unique_resources(
    resources: Iterable[Any],
) -> tuple[dict[tuple[str, str], Resource], list[Resource], list[ReportLine]]:
    """Return resources by (type, id), those without id, and lines on what is left out.

    Prefetch and searches overlap, so that the same resource often comes twice. Of different
    versions the newest counts, by ``meta.lastUpdated``, then ``meta.versionId``.
    """
    by_id: dict[tuple[str, str], Resource] = {}
    without_id: list[Resource] = []
    lines: list[ReportLine] = []
    for position, resource in enumerate(resources):
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        if type(kind) is not str or not kind:
            where = f"Resource#{position}"
            lines.append(ReportLine(where, "shape", f"{where}: it is no resource with a type"))
            continue
        identity = resource.get("id")
        if type(identity) is not str or not identity:
            without_id.append(resource)
            continue
        key = (kind, identity)
        known = by_id.setdefault(key, resource)
        if known is not resource and known != resource:
            by_id[key] = max(known, resource, key=_version_rank)
            where = f"{kind}/{identity}"
            lines.append(ReportLine(where, "version", f"{where}: an older version is left out"))
    return by_id, without_id, lines


def _version_rank(resource: Resource) -> tuple[float, int, bool, str]:
    """Rank versions of one resource; without any word on which is newer, a retracted one wins."""
    meta = resource.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    updated = parse_moment(meta.get("lastUpdated"))
    version = meta.get("versionId")
    return (
        updated.time.timestamp() if updated else float("-inf"),
        int(version) if isinstance(version, str) and version.isdecimal() else -1,
        resource.get("status") == "entered-in-error",
        repr(resource),  # any fixed order: the result must not depend on which came first
    )


def _open(resource: dict[str, Any], origin: str, contents: BundleContents, depth: int) -> None:
    kind = resource["resourceType"]
    if kind == "OperationOutcome":
        contents.incomplete.extend(outcome_lines(resource, origin or "a Bundle"))
    elif kind != "Bundle":
        contents.resources.append(resource)
    elif depth >= DEEPEST_NESTING:
        _warn(contents, origin, "shape", "holds Bundles nested too deeply, which were not opened")
    else:
        entries = resource.get("entry", [])
        if not isinstance(entries, list):
            _warn(contents, origin, "shape", "has an 'entry' that is no list")
            return
        _open_entries(entries, origin, contents, depth)


def _open_entries(entries: list[Any], origin: str, contents: BundleContents, depth: int) -> None:
    deleted: set[str] = set()
    for index, entry in enumerate(entries):
        if not deleted and _took_usual(entry, contents):
            continue
        address = _deleted(entry)
        if address:
            deleted.add(address)
        elif not (deleted and _names(entry) & deleted):
            _open_entry(entry, index, origin, contents, depth)
        else:
            _warn(contents, origin, "deleted", f"entry {index} was deleted later")


def _took_usual(entry: Any, contents: BundleContents) -> bool:
    """Take the resource of an entry as nearly all are; False, with nothing done, for any other."""
    if type(entry) is not dict or "request" in entry:
        return False
    resource = entry.get("resource")
    if type(resource) is not dict:
        return False
    kind, identity = resource.get("resourceType"), resource.get("id")
    if type(kind) is not str or type(identity) is not str or kind in _OPENED:
        return False
    contents.resources.append(resource)
    full_url = entry.get("fullUrl")
    if isinstance(full_url, str):
        contents.aliases[full_url] = f"{kind}/{identity}"
    return True


def _deleted(entry: object) -> str:
    """Return what an entry of a history says was deleted ("Observation/2"), "" for any other.

    A history is sorted with the newest first, so that older versions follow.
    """
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict) or request.get("method") != "DELETE":
        return ""
    url = request.get("url")
    return "/".join(url.strip("/").split("/")[-2:]) if isinstance(url, str) else ""


def _names(entry: object) -> set[str]:
    """Return type and id of an entry's resource."""
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(resource, dict):
        return set()
    return {f"{resource.get('resourceType')}/{resource.get('id')}"}


def _open_entry(
    entry: object, index: int, origin: str, contents: BundleContents, depth: int
) -> None:
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(resource, dict):
        response = entry.get("response") if isinstance(entry, dict) else None
        status = response.get("status") if isinstance(response, dict) else None
        if isinstance(status, str) and not status.startswith("2"):
            _warn(contents, origin, "refused", f"entry {index} was answered with {status[:3]!r}")
        else:
            _warn(contents, origin, "shape", f"entry {index} has no resource")
        return
    if not isinstance(resource.get("resourceType"), str):
        _warn(contents, origin, "shape", f"entry {index} is no FHIR resource")
        return
    full_url = entry.get("fullUrl")
    if isinstance(full_url, str):
        resource = _with_id(resource, full_url)
        contents.aliases[full_url] = f"{resource['resourceType']}/{resource.get('id', '')}"
    _open(resource, origin, contents, depth + 1)


def _with_id(resource: dict[str, Any], full_url: str) -> dict[str, Any]:
    """Return the resource, with the id of its fullUrl if it has none of its own."""
    if isinstance(resource.get("id"), str) or resource["resourceType"] == "Bundle":
        return resource
    if full_url.startswith(("urn:uuid:", "urn:oid:")):
        return {**resource, "id": full_url.split(":", 2)[2]}
    kind, _, identity = full_url.rpartition("/")
    return {**resource, "id": identity} if kind.endswith(resource["resourceType"]) else resource


def _warn(contents: BundleContents, origin: str, reason: str, sentence: str) -> None:
    contents.incomplete.append(ReportLine(origin, reason, f"{origin or 'a Bundle'} {sentence}"))
