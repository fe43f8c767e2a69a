"""Reading a search to its last page, or saying exactly where and why it stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_adapters.body import Budget
from fhir_adapters.bundle import open_bundle
from fhir_adapters.chart import Resource
from fhir_adapters.errors import FhirBadAnswer, FhirError
from fhir_adapters.origin import Origin, resolve
from fhir_adapters.outcome import reason_of, summary
from model.record import ReportLine


@dataclass(frozen=True)
class Caps:
    """Limits that keep a broken or hostile server from filling memory or the clinician's time."""

    pages: int = 20  # of one search
    entries: int = 20_000  # of all searches of one client together
    bytes: int = 32 * 1024 * 1024  # of all answers of one client together, decompressed
    parallel: int = 6  # browsers' habit; EHRs begin to answer 429 soon above it


@dataclass(frozen=True)
class SearchResult:
    """What a search found. ``incomplete`` is empty only if the server sent all and said so."""

    resources: tuple[Resource, ...]
    incomplete: tuple[ReportLine, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)  # fullUrl -> "Patient/1"


@dataclass
class Collected:
    """What has been read of one search so far; a partial result can be taken at any moment."""

    source: str
    resources: dict[str, Resource] = field(default_factory=dict)
    incomplete: list[ReportLine] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    pages: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, answer: Resource) -> None:
        """Take in one page or a single resource.

        Pages shift while a chart grows: the same resource may come on two of them.
        """
        contents = open_bundle(answer, self.source)
        with self.lock:
            for resource in contents.resources:
                self.resources.setdefault(_version_key(resource, len(self.resources)), resource)
            self.incomplete += contents.incomplete
            self.aliases |= contents.aliases
            self.pages += 1

    def new_entries(self, entries: list[Any]) -> list[Any]:
        """Return the entries of a page without those whose resources are here already."""
        with self.lock:
            if not self.resources:  # as before most pages
                return entries
            return [entry for entry in entries if _entry_key(entry) not in self.resources]

    def absorb(self, other: Collected) -> None:
        """Take over all that another search read."""
        with self.lock:
            self.resources |= other.resources
            self.incomplete += other.incomplete
            self.aliases |= other.aliases
            self.pages += other.pages

    def note(self, reason: str, sentence: str) -> None:
        self.notes([ReportLine(self.source, reason, f"{self.source}: {sentence}")])

    def note_failure(self, error: FhirError) -> None:
        self.notes([ReportLine(self.source, reason_of(error), f"{error}; not all was read")])

    def notes(self, lines: Iterable[ReportLine]) -> None:
        with self.lock:
            self.incomplete += lines

    def result(self) -> SearchResult:
        """Return what there is now; another thread may still be adding."""
        with self.lock:
            lines = tuple(dict.fromkeys(self.incomplete))
            return SearchResult(tuple(self.resources.values()), lines, dict(self.aliases))


@dataclass(frozen=True, slots=True)
class Page:
    """One Bundle and the URL that it came from."""

    url: str
    bundle: Resource


class Pager:
    """Follows ``next`` links of one server under common caps."""

    def __init__(
        self, fetch: Callable[[str, str], Page], home: Origin, caps: Caps, entries: Budget
    ) -> None:
        self._fetch = fetch
        self._home = home
        self._caps = caps
        self._entries = entries

    def read(self, url: str, label: str, collected: Collected) -> None:
        """Read a search from its first page. Raises FhirError if that page cannot be read.

        ``label`` names the search in messages.
        """
        page = self._fetch(url, label)
        if self.add(page, label, collected):
            self.follow(page, label, collected, {url})

    def add(self, page: Page, label: str, collected: Collected) -> bool:
        """Take in a page; False if the cap on entries ended the search there.

        What was read before is not counted again. Raises FhirBadAnswer if it is not a Bundle.
        """
        entries = collected.new_entries(_entries(page.bundle, label))
        granted = self._entries.take(len(entries))
        collected.add({**page.bundle, "entry": entries[:granted]})
        if granted < len(entries):
            limit = self._entries.limit
            collected.note("entry-cap", f"more than {limit} entries in all; not all were read")
        return granted == len(entries)

    def follow(
        self,
        page: Page,
        label: str,
        collected: Collected,
        seen: Iterable[str] = (),
        is_last: Callable[[Resource], bool] = lambda _: False,
    ) -> None:
        """Read the pages after ``page``. What cannot be read ends the search, flagged.

        ``is_last``, asked of each page in turn: what follows it is not wanted.
        """
        seen = {page.url, *seen}
        read: set[str | None] = set()
        try:
            for number in range(2, self._caps.pages + 1):
                link = next_link(page.bundle, label)
                if link is None or is_last(page.bundle):
                    return
                keys = {_entry_key(entry) for entry in _entries(page.bundle, label)} - {_WARNING}
                if keys and None not in keys and keys <= read:  # a server that ignores ``page``
                    collected.note("paging-loop", "a page repeats what earlier pages held")
                    return
                read |= keys
                url = resolve(link, page.url, self._home, f"{label}: next link")
                if url in seen:
                    collected.note("paging-loop", "a next link leads back to a page already read")
                    return
                page = self._fetch(url, f"{label}, page {number}")
                seen |= {url, page.url}
                if not self.add(page, label, collected):
                    return
            if next_link(page.bundle, label) is not None and not is_last(page.bundle):
                cap = self._caps.pages
                collected.note("page-cap", f"it has more than {cap} pages; not all were read")
        except FhirError as exc:
            collected.note_failure(exc)


def _entries(bundle: Resource, what: str) -> list[Any]:
    """Return the entries of a Bundle. Raises FhirBadAnswer if it is something else."""
    kind = bundle.get("resourceType")
    if kind == "OperationOutcome":
        raise FhirBadAnswer(f"{what}: an OperationOutcome instead of a Bundle ({summary(bundle)})")
    if kind != "Bundle":
        raise FhirBadAnswer(f"{what}: the answer is not a Bundle")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise FhirBadAnswer(f"{what}: Bundle.entry is not a list")
    return entries


def next_link(bundle: Resource, what: str) -> str | None:
    """Return the URL of the next page verbatim, None on the last page. Raises FhirBadAnswer."""
    url = link_of(bundle, "next")
    if url is not None and (not isinstance(url, str) or not url):
        raise FhirBadAnswer(f"{what}: the next link has no url")
    return url


def link_of(bundle: Resource, relation: str) -> Any:
    """Return the url of the first link of a relation, "" if that link has none, else None."""
    links = bundle.get("link")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("relation") == relation:
            return link.get("url") or ""
    return None


_WARNING = "OperationOutcome"  # the key of an entry that is no result


def _entry_key(entry: Any) -> str | None:
    """Return what tells an entry's resource from others, None where nothing does."""
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(resource, dict) or "request" in entry:  # of a history
        return None
    kind = resource.get("resourceType")
    if kind == _WARNING:
        return _WARNING
    named = isinstance(kind, str) and resource.get("id")
    return _version_key(resource, 0) if named else None


def _version_key(resource: Resource, position: int) -> str:
    meta = resource.get("meta")
    version = meta.get("versionId", "") if isinstance(meta, dict) else ""
    return f"{resource['resourceType']}/{resource.get('id') or f'#{position}'}/{version}"
