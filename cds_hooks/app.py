"""The application factory: settings in, a Flask application out. Nothing runs at import."""

from __future__ import annotations

import time
import uuid
from zoneinfo import ZoneInfo

from flask import Flask, Response, current_app, g, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import HTTPException

from cds_hooks.admission import Admission
from cds_hooks.answers import (
    add_cors,
    is_preflight,
    outcome_response,
    preflight_response,
    refusal_response,
)
from cds_hooks.auth import Authenticator
from cds_hooks.cool_down import CoolDowns
from cds_hooks.errors import (
    RequestRefused,
    StoreUnavailable,
    Unauthenticated,
    operation_outcome,
)
from cds_hooks.explanation_page.model_card import read_model_card
from cds_hooks.explanation_page.routes import explanation_pages
from cds_hooks.jwks import KeySets
from cds_hooks.links import EXPLANATION_PATH
from cds_hooks.modes import Mode, ModeSwitch, recorder
from cds_hooks.parts import Parts, install, parts_of
from cds_hooks.pipeline import Predictor, new_adviser
from cds_hooks.routes import blueprint
from cds_hooks.sentence_cache import SentenceCache
from cds_hooks.services import published_services
from cds_hooks.settings import Settings, load_settings
from cds_hooks.site_codes import site_codes
from cds_hooks.store import Clock, Store, utc_now
from cds_hooks.task_settings import check_tasks
from cds_hooks.telemetry import Figures, configure_logging, logger, where
from cds_hooks.trust import Caller
from cds_hooks.warm_up import warm_up_record
from fhir_adapters.client import new_session
from model.predictor import load_predictor, task_names

_PIECE_BYTES = 1 << 16
_HTTP_CODES = {404: "not-found", 405: "not-supported", 413: "too-long", 415: "not-supported"}


def create_app(
    settings: Settings | None = None,
    *,
    predictor: Predictor | None = None,
    clock: Clock = utc_now,
) -> Flask:
    """Build the service. Raises SettingsError, and whatever loading the checkpoint raises.

    Without ``settings`` they are read from the environment, without ``predictor`` the checkpoint
    of the settings is loaded. The model has made one prediction when this returns.
    """
    settings = load_settings() if settings is None else settings
    settings.check()
    configure_logging()
    if settings.mode_auth == "open":
        logger().warning("open mode: callers are not authenticated")
    figures = Figures(shared=settings.workers > 1)
    if predictor is None:
        check_tasks(settings, task_names(settings.checkpoint))
        predictor = loaded = load_predictor(
            settings.checkpoint,
            encoder_path=settings.encoder,
            stage=figures.stage,
            explained_task=settings.explained_task,
            encoder_variant=settings.encoder_variant,
            threads=settings.model_threads,
            sentence_cache=_sentence_cache(settings, figures),
        )
        figures.watch(loaded.input_reference, settings.drift_from)
    predictor(warm_up_record())

    app = Flask("cds_hooks", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # release 3.0 reads keys in order
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    parts = _parts(settings, predictor, figures, clock)
    install(app, parts)
    app.register_blueprint(blueprint, url_prefix=settings.url_prefix or None)
    app.register_blueprint(
        explanation_pages(
            parts.store,
            parts.adviser.links,
            read_model_card(settings.checkpoint),
            ZoneInfo(settings.display_time_zone),
        ),
        url_prefix=settings.url_prefix + EXPLANATION_PATH.rstrip("/"),
    )
    app.before_request(_begin)
    app.after_request(_finish)
    app.register_error_handler(RequestRefused, _refused)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _crashed)
    return app


def _sentence_cache(settings: Settings, figures: Figures) -> SentenceCache | None:
    if settings.sentence_cache is None:
        return None
    return SentenceCache(
        settings.sentence_cache,
        settings.key_ring(),
        entries=settings.sentence_cache_entries,
        on_use=figures.looked_up,
    )


def _parts(settings: Settings, predictor: Predictor, figures: Figures, clock: Clock) -> Parts:
    codes = site_codes(settings.concept_map)
    store = Store(settings.database_url, settings.key_ring(), clock=clock)
    services = published_services(settings, codes)
    modes: dict[str, Mode] = {service.id: settings.mode for service in services}
    return Parts(
        settings=settings,
        services=services,
        switch=ModeSwitch(settings.kill_switch_file, modes, recorder(store)),
        cool_downs=CoolDowns(store, settings, figures.held_back),
        adviser=new_adviser(settings, predictor, store.keys, figures, clock, codes),
        authenticator=Authenticator(
            settings, KeySets(new_session(connections=2)), store, lambda: clock().timestamp()
        ),
        admission=Admission(settings.max_concurrent_hooks, settings.max_waiting_hooks),
        store=store,
        figures=figures,
        clock=clock,
    )


def _begin() -> Response | None:
    g.start_s = time.perf_counter()
    g.facts = {}
    return preflight_response() if is_preflight(request) else None


def _finish(response: Response) -> Response:
    _read_to_the_end()
    parts = parts_of(current_app)
    route = request.url_rule.rule if request.url_rule else "none"
    add_cors(request, response, _origins(parts.settings))
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    parts.figures.answered(route, response.status_code)
    logger().info(
        "answered",
        route=route,
        method=request.method,
        status=response.status_code,
        duration_ms=round(1000 * (time.perf_counter() - g.start_s), 1),
        **g.facts,
    )
    return response


def _read_to_the_end() -> None:
    """Throw away the rest of a body that is answered before it was read, as a 401 is.

    A connection that is closed over unread bytes is reset: the client may lose the answer, and on
    a connection that it keeps, the next request.
    """
    try:
        while request.stream.read(_PIECE_BYTES):
            pass
    except (HTTPException, ParseException, OSError):
        return  # too long, malformed or cut off: closing is right


def _origins(settings: Settings) -> tuple[str, ...]:
    """Pages that may read this answer: those of the caller, of all issuers while it is unknown."""
    caller: Caller | None = g.get("caller")
    if caller is not None:
        return (*settings.cors_origins, *caller.cors_origins)
    return settings.cors_origins + sum((one.cors_origins for one in settings.issuers), ())


def _refused(refused: RequestRefused) -> Response:
    g.facts["refused"] = type(refused).__name__
    if isinstance(refused, Unauthenticated):
        parts_of(current_app).figures.refused(refused.reason)
        g.facts.update(reason=refused.reason, issuer=refused.issuer)
    if isinstance(refused, StoreUnavailable):
        g.facts.update(reason=refused.reason)
    return refusal_response(refused)


def _http_error(error: HTTPException) -> Response:
    """Werkzeug's own refusals (404, 405, 413, ...) as OperationOutcome, headers kept."""
    status = error.code or 500
    if status < 400:
        return error.get_response()  # type: ignore[return-value]  # a redirect
    code = _HTTP_CODES.get(status, "processing")
    response = outcome_response(status, operation_outcome(code, f"{error.name}."))
    original = error.get_response()
    if "Allow" in original.headers:
        response.headers["Allow"] = original.headers["Allow"]
    return response


def _crashed(error: Exception) -> Response:
    """The outermost handler: an own fault is said so, with a number to find it in the log."""
    incident = str(uuid.uuid4())
    logger().error("crashed", incident=incident, where=where(error))
    g.facts["incident"] = incident
    outcome = operation_outcome(
        "exception", "The service failed to answer this request.", f"incident {incident}"
    )
    return outcome_response(500, outcome)
