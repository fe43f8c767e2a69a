"""The addresses of the service: discovery, hooks, feedback, and what operators ask for."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime

from flask import Blueprint, Response, abort, current_app, g, jsonify, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from sqlalchemy.exc import SQLAlchemyError

from cds_hooks.answers import empty_response
from cds_hooks.cards import Card, Link, cards_response
from cds_hooks.collector import collector_paused
from cds_hooks.errors import BadRequest, DeadlineExceeded, NotReady, UnsupportedMediaType
from cds_hooks.feedback import parse_feedback, store_feedback
from cds_hooks.icon import icon_png
from cds_hooks.json_body import parse_json
from cds_hooks.parts import Parts, parts_of
from cds_hooks.pipeline import Advice
from cds_hooks.remember import kept_prediction, remember
from cds_hooks.request import HookRequest, missing_patient_of_scope, parse_hook_request
from cds_hooks.services import ServiceDefinition
from cds_hooks.trust import Caller
from fhir_adapters.deadline import Deadline
from fhir_adapters.signing_keys import KeyFolder, SigningKeyError

# A server that keeps the set this long still sees a new key before it signs (KeyFolder.settle).
_JWK_SET_MAX_AGE_S = 600
_CUT = "the body broke off, or is not framed as HTTP has it"
_LARGE_BODY = 1_000_000  # bytes; some 1,500 Observations
_MOST_FEEDBACK_VALUES = 50_000  # 1000 items hold a third of it, with commas in their comments
blueprint = Blueprint("cds_services", __name__)


@blueprint.get("/cds-services", strict_slashes=False)
def discovery() -> Response:
    """What this installation offers."""
    parts = parts_of(current_app)
    if parts.settings.protect_discovery:
        _caller(parts, parts.settings.discovery_url)
    return jsonify({"services": [service.to_json() for service in parts.services]})


@blueprint.post("/cds-services/<service_id>")
def invoke(service_id: str) -> Response:
    """Answer a hook with cards."""
    parts = parts_of(current_app)
    arrived_at, arrived_s = parts.clock(), time.monotonic()
    services = parts.services_of(service_id)
    parts = parts.in_mode(parts.switch.mode(service_id))
    caller = _caller(parts, parts.settings.service_url(service_id))
    caller.allow_service(service_id)
    body = _json_body()
    # A body grows to ten times its size when it is parsed; so no more are than are worked on.
    with parts.admission.place(parts.settings.max_wait_ms / 1000), _room_for(body):
        return _answer(parts, services, caller, body, arrived_at, arrived_s)


def _answer(
    parts: Parts,
    services: Mapping[str, ServiceDefinition],
    caller: Caller,
    body: bytes,
    arrived_at: datetime,
    arrived_s: float,
) -> Response:
    """Answer a hook that has a place. The chart is gone when this returns."""
    hook_request = parse_hook_request(
        parse_json(body),
        hooks={hook: service.needs_encounter for hook, service in services.items()},
        arrived_at=arrived_at,
        https_only=parts.settings.production,
    )
    _note(hook_request)
    service = services[hook_request.hook]
    # The budget begins here: of a busy minute's answers, late ones are better than poor ones.
    deadline = Deadline.after(parts.settings.deadline_ms / 1000)
    advice = parts.adviser.advise(hook_request, service, caller, deadline)
    _require_in_time(parts, arrived_s)
    with parts.figures.stage("store"):
        shown = parts.cool_downs.quieten(advice, hook_request, caller)
        bins = parts.figures.seen(advice.record)
        kept = kept_prediction(parts, hook_request, service, caller, advice, shown, bins, arrived_s)
        head = remember(parts, hook_request, service, caller, shown, kept)
        parts.cool_downs.note(advice, shown, hook_request, caller)
    g.facts.update(audit_sequence=head.sequence, audit_signature=head.signature)
    return _cards(service, parts, caller, shown)


def _room_for(body: bytes) -> AbstractContextManager[None]:
    """Spare a large chart the collector; a usual one is not worth a pause of all threads'."""
    return collector_paused() if len(body) > _LARGE_BODY else nullcontext()


@blueprint.post("/cds-services/<service_id>/feedback")
def feedback(service_id: str) -> Response:
    """Store what became of cards; 200 only after the transaction is committed."""
    parts = parts_of(current_app)
    parts.services_of(service_id)
    service_url = parts.settings.service_url(service_id)
    caller = _caller(parts, f"{service_url}/feedback", service_url)
    caller.allow_service(service_id)
    items = parse_feedback(parse_json(_json_body(), most_values=_MOST_FEEDBACK_VALUES))
    receipt = store_feedback(parts.store, service_id, caller.iss, items, tenant=caller.tenant)
    parts.figures.feedback(Counter(item.outcome for item in items))
    parts.figures.steps("accepted", receipt.accepted_steps)
    g.facts.update(stored=receipt.stored, repeated=receipt.repeated, unknown=receipt.unknown)
    return empty_response(200)


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process is alive."""
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
def readyz() -> Response:
    """The model is warm (the application does not start otherwise) and the database answers."""
    try:
        parts_of(current_app).store.check()
    except SQLAlchemyError as exc:
        raise NotReady("the database does not answer") from exc
    return jsonify({"status": "ready"})


@blueprint.get("/metrics")
def metrics() -> Response:
    """Prometheus figures."""
    page = parts_of(current_app).figures.page()
    return Response(page, mimetype="text/plain; version=0.0.4; charset=utf-8")


@blueprint.get("/.well-known/jwks.json")
def jwk_set() -> Response:
    """The public halves of our keys as a client of FHIR servers.

    Read anew each time, so that a rotation needs no restart.
    """
    folder = parts_of(current_app).settings.signing_keys
    try:
        published = KeyFolder(folder).jwk_set() if folder else None
    except (SigningKeyError, OSError) as exc:
        raise NotReady("our signing keys cannot be read") from exc
    if not published or not published["keys"]:
        abort(404)  # we are nobody's client
    response = jsonify(published)
    response.cache_control.public = True
    response.cache_control.max_age = _JWK_SET_MAX_AGE_S
    return response


@blueprint.get("/icon.png")
def icon() -> Response:
    """The icon of our cards."""
    response = Response(icon_png(), mimetype="image/png")
    response.cache_control.max_age = 86_400
    return response


def _caller(parts: Parts, *audiences: str) -> Caller:
    caller = parts.authenticator.caller(request.headers.get("Authorization"), audiences)
    g.caller, g.facts["issuer"] = caller, caller.iss
    return caller


def _json_body() -> bytes:
    """The bytes of a body that is declared as JSON."""
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != "application/json" or charset not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("the body has to be application/json in UTF-8")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("the body must not be compressed")
    return _body()


def _body() -> bytes:
    try:
        body = request.get_data(cache=False)
        request.stream.read(1)  # only this raises 413 for a chunked body that goes on
    except (OSError, ParseException) as exc:  # gunicorn's names for a body that is cut or malformed
        raise BadRequest("$", _CUT) from exc
    if request.content_length not in (None, len(body)):
        raise BadRequest("$", _CUT)
    return body


def _note(hook_request: HookRequest) -> None:
    """Put into the log line what helps to find a request, and one fault that is only a warning."""
    g.facts["hook_instance"] = hook_request.hook_instance
    authorization = hook_request.fhir_authorization
    if authorization and missing_patient_of_scope(authorization):
        g.facts["warning"] = "fhirAuthorization has a patient/ scope and no patient"


def _require_in_time(parts: Parts, arrived_s: float) -> None:
    if time.monotonic() - arrived_s > parts.settings.hard_limit_ms / 1000:
        raise DeadlineExceeded(
            f"the answer took longer than {parts.settings.hard_limit_ms} ms, when nobody waits"
        )


def _cards(service: ServiceDefinition, parts: Parts, caller: Caller, advice: Advice) -> Response:
    cards: tuple[Card, ...] = (advice.written.card,) if advice.written else ()
    parts.figures.advised(service.id, cards[0].indicator if cards else "none")
    if advice.explanation is not None:
        parts.figures.explained(advice.explanation)
    if not advice.prediction.tasks:
        parts.figures.abstained("not applicable")
    elif any(task.risk_group == "uncertain" for task in advice.prediction.tasks):
        parts.figures.abstained("uncertain")
    if advice.explanation is not None and not advice.explanation.reliable:
        parts.figures.abstained("unexplained")
    for line in advice.record.report.incomplete:
        if line.source in service.keys:
            parts.figures.limited(line.source, line.reason)
    g.facts["cards"] = len(cards)
    if parts.settings.mode == "shadow":
        cards = ()
    elif advice.written is not None:
        parts.figures.steps("offered", advice.written.offered_steps)
    cards = tuple(replace(one, links=_agreed_links(one, caller)) for one in cards)
    supported = bool(caller.issuer and caller.issuer.action_selection_behavior)
    body = cards_response(cards, action_selection_supported=supported)
    return Response(json.dumps(body), mimetype="application/json")


def _agreed_links(card: Card, caller: Caller) -> tuple[Link, ...]:
    return tuple(link for link in card.links if caller.allows_link(link.url))
