"""Searching: as asked first, then in the ways that this server may understand better."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from fhir_adapters.body import Budget
from fhir_adapters.errors import FhirError, FhirRejected
from fhir_adapters.page_order import NewestFirst
from fhir_adapters.paging import Caps, Collected, Page, Pager
from fhir_adapters.search_plan import (
    Plan,
    Query,
    by_single_category,
    plan_search,
    require_narrow,
)
from fhir_adapters.server import Server
from fhir_adapters.statements import ReadOnDemand, Statement
from model.record import ReportLine


@dataclass(frozen=True, slots=True)
class _Attempt:
    plan: Plan
    handling: str = "strict"


class Searcher:
    """Runs searches of one client; may be used by several threads."""

    def __init__(
        self,
        server: Server,
        caps: Caps,
        fallback_codes: Sequence[str],
        statement: Statement | None = None,
    ) -> None:
        """``statement``: the server's, kept elsewhere; None: it is read here where it is needed."""
        entries = Budget(caps.entries, "entries")
        self._server = server
        self._statement = statement or ReadOnDemand(server)
        self._codes = fallback_codes
        self._pagers = {
            handling: Pager(partial(server.page, handling=handling), server.home, caps, entries)
            for handling in ("strict", "lenient")
        }
        self._by_code: dict[tuple[Query, ...], Collected] = {}
        self._by_code_lock = threading.Lock()

    def search(self, text: str, collected: Collected) -> None:
        """Answer a search, or a read (``Patient/1``), into ``collected``. Raises FhirError."""
        if "?" not in text:
            collected.add(self._server.read(text))
            return
        query = Query.parse(text)
        require_narrow(query)
        first = _Attempt(plan_search(query, self._statement.known(), self._codes))
        try:
            self._run(first, collected)
        except FhirRejected as refusal:
            self._search_otherwise(query, first, refusal, collected)
        else:
            self._search_again_if_empty(query, first, collected)

    def search_if_offered(self, text: str, collected: Collected) -> None:
        """Answer a search if the server says that it offers it; else leave ``collected`` empty.

        For what few servers have: asking all of them would cost a refusal and its retries each.
        """
        query = Query.parse(text)
        capabilities = self._statement.wanted()
        listed = capabilities.search_parameters.get(query.resource_type) if capabilities else None
        if listed and all(name.startswith("_") or name in listed for name in query.names()):
            self.search(text, collected)

    def take(self, page: Page, collected: Collected) -> bool:
        """Take in a page that is at hand; False if nothing may follow it."""
        return self._pagers["strict"].add(page, collected.source, collected)

    def follow(self, page: Page, collected: Collected, since: datetime | None = None) -> None:
        """Read the pages after one that is at hand, as far as they may reach back to ``since``."""
        is_last = NewestFirst(since).is_over
        self._pagers["strict"].follow(page, collected.source, collected, is_last=is_last)

    def _search_again_if_empty(self, query: Query, first: _Attempt, collected: Collected) -> None:
        """Ask again in the server's own words where it found nothing and does not list all of ours.

        Medplum's router finds nothing for a parameter that it does not know, strict handling or
        not, and says nothing of it: that would be an error taken for an empty chart.
        """
        if collected.resources:
            return
        capabilities = self._statement.wanted()
        if capabilities is None or not capabilities.offers(query.resource_type):
            return
        fitted = plan_search(query, capabilities, self._codes)
        if fitted.queries != first.plan.queries:
            self._run(_Attempt(fitted), collected)

    def _search_otherwise(
        self, query: Query, first: _Attempt, refusal: FhirRejected, collected: Collected
    ) -> None:
        for attempt in self._other_ways(query, first):
            try:
                self._run(attempt, collected)
            except FhirRejected:
                continue
            return
        raise refusal

    def _other_ways(self, query: Query, first: _Attempt) -> Iterator[_Attempt]:
        """Yield what else to try after a refusal, in the order of how little it changes."""
        plan = first.plan
        capabilities = self._statement.wanted()
        if capabilities is not None:
            fitted = plan_search(query, capabilities, self._codes)
            if fitted.queries != plan.queries:
                plan = fitted
                yield _Attempt(plan)
        single = by_single_category(query)
        if len(single.queries) > 1 and len(plan.queries) == 1:
            yield _Attempt(Plan(by_single_category(plan.queries[0]).queries, plan.notes))
        # Some servers refuse strict handling itself. A lenient answer may ignore a filter, which
        # returns too much rather than too little; the reader checks whose the resources are.
        note = ReportLine(
            query.label,
            "lenient-search",
            f"{query.label}: the FHIR server answered only under lenient handling; "
            "it may have ignored a part of the search",
        )
        yield _Attempt(replace(plan, notes=(*plan.notes, note)), "lenient")

    def _run(self, attempt: _Attempt, collected: Collected) -> None:
        """Run all searches of a plan. Raises the first FhirError only if none succeeded."""
        if attempt.plan.stands_for_all:
            self._run_once_for_all(attempt, collected)
        else:
            self._run_here(attempt, collected)
        collected.notes(attempt.plan.notes)

    def _run_once_for_all(self, attempt: _Attempt, collected: Collected) -> None:
        """Searches for several categories become one and the same search by code: run it once."""
        with self._by_code_lock:
            known = self._by_code.get(attempt.plan.queries)
            if known is None:
                self._run_here(attempt, collected)
                self._by_code[attempt.plan.queries] = collected
            else:
                collected.absorb(known)

    def _run_here(self, attempt: _Attempt, collected: Collected) -> None:
        failures: list[FhirError] = []
        pager = self._pagers[attempt.handling]
        for query in attempt.plan.queries:
            try:
                pager.read(f"{self._server.base_url}/{query}", query.label, collected)
            except FhirError as exc:
                failures.append(exc)
        if len(failures) == len(attempt.plan.queries):
            raise failures[0]
        for failure in failures:
            collected.note_failure(failure)
