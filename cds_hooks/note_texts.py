"""The texts of notes that are not inline: each is read once, as soon as it is known where it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cds_hooks.telemetry import Stage
from fhir_adapters.chart import Resource
from fhir_adapters.client import FhirClient
from fhir_adapters.errors import FhirError
from fhir_adapters.notes import attachment_urls
from fhir_adapters.outcome import reason_of
from model.record import ReportLine

_DOCUMENTS = frozenset({"DocumentReference", "DiagnosticReport", "Composition"})


class NoteTexts:
    """What was read of the texts of one chart's notes."""

    def __init__(self, fhir: FhirClient | None, stage: Stage) -> None:
        """``fhir`` None: nothing may be read. ``stage`` is entered around "attachments"."""
        self._fhir = fhir
        self._stage = stage
        self._results: dict[str, Resource | FhirError] = {}
        self._unasked: dict[str, None] = {}

    def read(self, resources: Iterable[Resource]) -> None:
        """Read the texts that these documents name and that were not read before."""
        documents = [one for one in resources if one.get("resourceType") in _DOCUMENTS]
        urls = [
            url for url in attachment_urls(documents, allow_pdf=False) if url not in self._results
        ]
        if self._fhir is None:
            self._unasked.update(dict.fromkeys(urls))
        elif urls:
            with self._stage("attachments"):
                self._results.update(self._fhir.attachments(urls))

    def found(self) -> tuple[tuple[Resource, ...], tuple[ReportLine, ...]]:
        """Return what was read, and lines of the key ``notes`` on what was not."""
        if self._unasked:
            why = "not inline, and we may not call a FHIR server for it"
            sentence = f"clinical notes: {_count(tuple(self._unasked))} {why}"
            return (), (ReportLine("notes", "not-prefetched", sentence),)
        failed = [one for one in self._results.values() if isinstance(one, FhirError)]
        lines = tuple(
            ReportLine("notes", reason, f"clinical notes: {count} could not be read ({reason})")
            for reason, count in _reasons(failed)
        )
        read = tuple(one for one in self._results.values() if not isinstance(one, FhirError))
        return read, lines


def _reasons(errors: Iterable[FhirError]) -> list[tuple[str, str]]:
    words: dict[str, list[FhirError]] = {}
    for error in errors:
        words.setdefault(reason_of(error), []).append(error)
    return [(reason, _count(found)) for reason, found in words.items()]


def _count(items: Sequence[Any]) -> str:
    return f"the text of {len(items)} note{'s' if len(items) > 1 else ''}"
