"""One run's memory: the CapabilityStatement, the patients, and searches that several probes use.

A server is not asked twice for what is known already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from conformance.exchange import Answer, NotJson
from conformance.json_path import dicts
from conformance.sandbox.checks import NotTried, Refused
from conformance.sandbox.server import FHIR_JSON, Page, Server, quoted

_ID = re.compile(r"[A-Za-z0-9\-._~+=]{1,200}")
_PAGE = 100  # large enough to see a difference, small enough for a server of others
LOOKED_FOR = 20  # patients that are looked at until one has Observations


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run looks at. ``patients`` empty: some are looked for, at most ``sample``."""

    patients: tuple[str, ...] = ()
    sample: int = 3


class Session:
    """Shared by all probes of a run. ``facts`` collects what a configuration can rest on."""

    def __init__(self, server: Server, wanted: Wanted) -> None:
        self.server = server
        self.wanted = wanted
        self.facts: dict[str, Any] = {}
        self._pages: dict[str, Page] = {}
        self._fetched: dict[str, Answer] = {}

    @cached_property
    def metadata(self) -> Answer:
        """The answer to GET metadata. Raises NoAnswer."""
        return self.server.ask("metadata")

    @cached_property
    def statement(self) -> Mapping[str, Any]:
        """The CapabilityStatement. Raises NotTried where there is none."""
        try:
            body = self.metadata.json()
        except NotJson as exc:
            raise NotTried("The CapabilityStatement cannot be read.") from exc
        if not isinstance(body, dict) or body.get("resourceType") != "CapabilityStatement":
            raise NotTried("There is no CapabilityStatement.")
        return body

    @cached_property
    def declared(self) -> Mapping[str, frozenset[str]]:
        """Resource types of the CapabilityStatement, each with its search parameters."""
        return {
            str(entry.get("type")): frozenset(
                str(one.get("name")) for one in dicts(entry.get("searchParam"))
            )
            for rest in dicts(self.statement.get("rest"))
            if rest.get("mode", "server") == "server"
            for entry in dicts(rest.get("resource"))
        }

    @cached_property
    def software(self) -> str:
        """What the server calls itself; "" if it does not say."""
        named = self.statement.get("software")
        named = named if isinstance(named, dict) else {}
        words = [str(named.get(part, "")) for part in ("name", "version")]
        return " ".join(word for word in words if word)[:120]

    def page(self, query: str) -> Page:
        """Run a search once, and remember its answer for the run."""
        if query not in self._pages:
            self._pages[query] = self.server.search(query)
        return self._pages[query]

    def fetched(self, url: str) -> Answer:
        """Read what an attachment names, once. Raises NoAnswer."""
        if url not in self._fetched:
            self._fetched[url] = self.server.ask(url, accept=f"{FHIR_JSON}, */*;q=0.5")
        return self._fetched[url]

    def asked(self, query: str) -> Page:
        """Run the search that a check is about. Raises Refused."""
        page = self.page(query)
        if page.fault:
            raise Refused(page.fault)
        return page

    def whole(self, query: str) -> Page:
        """Run a search that a check builds on. Raises NotTried."""
        page = self.page(query)
        if page.fault:
            raise NotTried(page.fault)
        return page

    @cached_property
    def patients(self) -> list[str]:
        """The ids of the patients to look at. Raises NotTried where none are known."""
        if self.wanted.patients:
            return [one.removeprefix("Patient/") for one in self.wanted.patients]
        found = dict.fromkeys((*self._with_observations(), *self._listed()))
        return [one for one in found if _ID.fullmatch(one)][: self.wanted.sample]

    def _with_observations(self) -> Iterator[str]:
        """Name patients that have vital signs; many sandboxes hold thousands without."""
        for one in self.page(f"Observation?category=vital-signs&_count={_PAGE}").resources:
            yield reference_of(one).rpartition("Patient/")[2].partition("/")[0]

    def _listed(self) -> Iterator[str]:
        for one in self.page(f"Patient?_count={LOOKED_FOR}").resources:
            yield str(one.get("id", ""))

    @cached_property
    def patient(self) -> str:
        """The patient that searches are tried on: the first with Observations. Raises NotTried."""
        readable = [one for one in self.patients if self.server.ask(f"Patient/{one}").status == 200]
        if not readable:
            raise NotTried("There is no patient that can be read.")
        for one in readable:
            for category in ("vital-signs", "laboratory"):
                if self.page(observations(one, category)).resources:
                    return one
        return readable[0]

    def chart(self, category: str) -> Page:
        """Return the first page of the patient's Observations of a category."""
        return self.page(observations(self.patient, category))

    @cached_property
    def largest(self) -> tuple[str, Page]:
        """The category with most Observations, and its page. Raises NotTried."""
        categories = ("vital-signs", "laboratory", "activity")
        name = max(categories, key=lambda one: len(self.chart(one).resources))
        page = self.chart(name)
        if len(page.resources) < 3:
            raise NotTried("No patient has three Observations of one category.")
        return name, page


def observations(patient: str, category: str) -> str:
    """Return the search for a patient's Observations of a category, the newest first."""
    return f"Observation?patient={quoted(patient)}&category={category}&_sort=-date&_count={_PAGE}"


def reference_of(resource: Mapping[str, Any], element: str = "subject") -> str:
    """Return a reference of a resource, "" where it has none."""
    held = resource.get(element)
    reference = held.get("reference") if isinstance(held, dict) else None
    return reference if isinstance(reference, str) else ""


def codes_of(resource: Mapping[str, Any], element: str) -> set[str]:
    """Return all codes of a CodeableConcept, or of a list of them."""
    held = resource.get(element)
    concepts = held if isinstance(held, list) else [held]
    return {
        str(coding.get("code"))
        for concept in concepts
        if isinstance(concept, dict)
        for coding in dicts(concept.get("coding"))
        if coding.get("code")
    }
