"""Reads the FHIR samples of ``../shared/fhir-corpus``, as charts of one patient each."""

from __future__ import annotations

import json
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fhir_adapters.bundle import open_bundle
from fhir_adapters.chart import Chart

CORPUS = Path(__file__).parents[3] / "shared" / "fhir-corpus"
ARCHIVES = (
    "carebundle",
    "clinosim",
    "davinci-crd-kit",
    "fhir-r4-spec",
    "hl7-phd",
    "synthea-smart",
    "us-core",
)
SUBJECTS = ("subject", "patient", "for", "securityContext")  # "for": of a Task


def resources_of(archive: str) -> list[dict[str, Any]]:
    """Return all resources of an archive, out of their Bundles."""
    resources: list[dict[str, Any]] = []
    for document in _documents(CORPUS / f"{archive}.tar.gz"):
        resources.extend(dict(resource) for resource in open_bundle(document).resources)
    return resources


def charts_of(archive: str) -> list[Chart]:
    """Return a chart for each patient that the archive's resources are about."""
    known: dict[str, list[dict[str, Any]]] = defaultdict(list)
    unowned: list[dict[str, Any]] = []
    for resource in resources_of(archive):
        owners = _owners(resource)
        if not owners:
            unowned.append(resource)
        elif len(owners) == 1:  # a few samples are about several patients: nobody's chart
            known[owners.pop()].append(resource)
    return [
        Chart(patient_id, tuple(_with_patient(patient_id, [*resources, *unowned])))
        for patient_id, resources in known.items()
        if patient_id != "nobody"
    ]


def _with_patient(patient_id: str, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Some samples name a patient that is not among them; a bare one stands in."""
    if any(r["resourceType"] == "Patient" for r in resources):
        return resources
    return [{"resourceType": "Patient", "id": patient_id}, *resources]


def _owners(resource: dict[str, Any]) -> set[str]:
    if resource["resourceType"] == "Patient":
        return {str(resource.get("id", "nobody"))}
    owners = set()
    for element in SUBJECTS:
        holders = resource.get(element)
        for holder in holders if isinstance(holders, list) else [holders]:
            reference = holder.get("reference") if isinstance(holder, dict) else None
            if isinstance(reference, str):
                parts = reference.split("/_history/")[0].split("/")
                if reference.startswith("urn:uuid:"):
                    owners.add(reference.removeprefix("urn:uuid:"))
                elif len(parts) >= 2 and parts[-2] == "Patient":
                    owners.add(parts[-1])
    return owners


def _documents(archive: Path) -> Iterator[Any]:
    with tarfile.open(archive) as tar:
        for member in tar:
            handle = tar.extractfile(member) if member.isfile() else None
            if handle is None:
                continue
            if member.name.endswith(".ndjson"):
                yield from (json.loads(line) for line in handle if line.strip())
            elif member.name.endswith(".json"):
                yield json.load(handle)
