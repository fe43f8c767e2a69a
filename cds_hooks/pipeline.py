"""The way of one request: chart, record, prediction and explanation, card."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import requests

from cds_hooks.errors import DataMissing, PatientMismatch
from cds_hooks.keys import KeyRing
from cds_hooks.links import ExplanationLinks
from cds_hooks.prefetch import gather
from cds_hooks.recommendations.offer import Recommender, new_recommender
from cds_hooks.request import HookRequest
from cds_hooks.services import ServiceDefinition
from cds_hooks.settings import Settings
from cds_hooks.store import Clock
from cds_hooks.stored_explanation import StoredExplanation
from cds_hooks.telemetry import Figures, logger
from cds_hooks.trust import Caller
from cds_hooks.wording import Written, write_card
from fhir_adapters.chart_clock import moment_by_chart
from fhir_adapters.client import FhirClient, StatementReader, new_session
from fhir_adapters.codes import CodeTable, standard_codes
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import FhirError, NoPatient, UnsupportedFhirVersion, WrongPatient
from fhir_adapters.outcome import reason_of
from fhir_adapters.record_builder import build_record
from model.prediction import Explanation, Prediction
from model.record import PatientRecord


class Predictor(Protocol):
    """What `model.predictor.load_predictor` returns, as far as the service needs it."""

    def __call__(
        self, record: PatientRecord, *, deadline_s: float | None = None
    ) -> tuple[Prediction, Explanation | None]:
        """Predict and explain. ``deadline_s``, of time.monotonic, ends refinement only."""


@dataclass(frozen=True, slots=True)
class Advice:
    """The answer to one request. ``written`` None: nothing to advise."""

    record: PatientRecord
    prediction: Prediction
    explanation: Explanation | None
    written: Written | None

    def to_store(self, request: HookRequest, service_id: str, life: timedelta) -> StoredExplanation:
        """What the explanation page needs. There must be a card."""
        if self.written is None:
            raise ValueError("there is no card whose explanation could be stored")
        return StoredExplanation(
            card_uuid=self.written.card.uuid,
            service_id=service_id,
            hook_instance=request.hook_instance,
            created_at=request.arrived_at,
            expires_at=request.arrived_at + life,
            record=self.record,
            prediction=self.prediction,
            explanation=self.explanation,
            limitations=self.record.report.incomplete,
        )


@dataclass(frozen=True, slots=True)
class Adviser:
    """What a request needs beside itself. One object for a process."""

    settings: Settings
    predictor: Predictor
    links: ExplanationLinks
    figures: Figures
    fhir_session: requests.Session
    statements: StatementReader
    clock: Clock
    recommender: Recommender
    codes: CodeTable = field(default_factory=standard_codes)  # and the site's own

    def advise(
        self, request: HookRequest, service: ServiceDefinition, caller: Caller, deadline: Deadline
    ) -> Advice:
        """Answer one request. Raises RequestRefused; an error is never an empty answer."""
        stage = self.figures.stage
        with self._fhir(request, caller, deadline) as fhir, stage("chart"):
            chart = gather(request, service.prefetch, fhir, stage)
        with stage("record"), _as_refusals():
            moment = moment_by_chart(chart, request.arrived_at)
            record = build_record(chart, moment, codes=self.codes, live=True)
        with stage("model"):
            prediction, explanation = self.predictor(record, deadline_s=deadline.at_s)
        with stage("card"):
            steps = self.recommender.offer(chart, record, prediction, explanation)
            written = write_card(
                prediction,
                explanation,
                record.report,
                self.settings,
                self.links.url,
                steps,
                self.figures.drifting(),
            )
        return Advice(record, prediction, explanation, written)

    @contextmanager
    def _fhir(
        self, request: HookRequest, caller: Caller, deadline: Deadline
    ) -> Iterator[FhirClient | None]:
        """A client for the caller's FHIR server, None if there is none that we may call."""
        base_url = caller.fhir_base_url(request.fhir_server)
        if base_url is None:
            yield None
            return
        authorization = request.fhir_authorization
        reserve_s = self.settings.compute_reserve_ms / 1000
        with FhirClient(
            base_url,
            access_token=authorization.access_token if authorization else None,
            token_expires_at=(
                request.arrived_at + timedelta(seconds=authorization.expires_in_s)
                if authorization
                else None
            ),
            deadline=Deadline(deadline.at_s - reserve_s, deadline.clock),
            session=self.fhir_session,
            clock=self.clock,
            statements=self.statements,
        ) as client:
            yield client


def new_adviser(
    settings: Settings,
    predictor: Predictor,
    keys: KeyRing,
    figures: Figures,
    clock: Clock,
    codes: CodeTable | None = None,
) -> Adviser:
    """Make the adviser of a process. ``codes``: those of the settings' ConceptMap."""
    life = timedelta(hours=settings.explanation_life_h)
    session = new_session(connections=settings.fhir_connections)
    return Adviser(
        settings=settings,
        predictor=predictor,
        links=ExplanationLinks(settings.public_base_url, keys, life),
        figures=figures,
        fhir_session=session,
        statements=StatementReader(session, on_failure=_log_unread_statement),
        clock=clock,
        recommender=new_recommender(settings),
        codes=codes or standard_codes(),
    )


def _log_unread_statement(error: FhirError) -> None:
    logger().warning("no CapabilityStatement", reason=reason_of(error), said=str(error))


@contextmanager
def _as_refusals() -> Iterator[None]:
    """Say to the caller why its resources do not make a record."""
    try:
        yield
    except WrongPatient as exc:
        raise PatientMismatch(f"{exc}.", diagnostics=exc.source) from exc
    except NoPatient as exc:
        raise DataMissing(
            f"{exc}.", keys=("patient",), diagnostics="prefetch patient: no such resource"
        ) from exc
    except UnsupportedFhirVersion as exc:
        raise DataMissing(f"{exc}.", keys=(), diagnostics="the resources are not FHIR R4") from exc
