"""The practice EHR's pages. No script runs in them; all is rendered here."""

from __future__ import annotations

import dataclasses
import json
from typing import Any
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from conformance.ehr.accepting import CannotAccept
from conformance.ehr.cds_client import CdsClient, Connection, Exchange
from conformance.ehr.chart import (
    FoundPatients,
    OpenedPatient,
    open_patient,
    read_chart,
    read_patients,
)
from conformance.ehr.decisions import decisions
from conformance.ehr.desk import Desk, desk
from conformance.ehr.http import CallFailed
from conformance.ehr.safe_markdown import plain, web_address
from conformance.ehr.shapes import object_of, objects_of, text_of
from conformance.ehr.signing import JWKS_PATH, SigningKey, new_signing_key
from conformance.ehr.visits import Visit

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_LONGEST_NAME = 100
_SHOWN_JSON = 60_000  # characters of a request or an answer on the page
# Open FHIR R4 servers with invented patients, offered in the address field; never asked unbidden.
_SANDBOXES = ("https://hapi.fhir.org/baseR4", "https://r4.smarthealthit.org")

pages = Blueprint("ehr", __name__)


def create_app(connection: Connection, public_url: str, key: SigningKey | None = None) -> Flask:
    """Build the EHR at ``public_url``: its JWTs name that address as their issuer."""
    app = Flask(__name__)
    app.extensions["desk"] = Desk(key or new_signing_key(), public_url.rstrip("/"), [connection])
    app.jinja_env.filters.update(pretty=pretty, plain=plain, kind=kind)
    app.jinja_env.globals["sealed"] = lambda *what: desk().seals.seal(*what)
    app.register_blueprint(pages)
    app.register_blueprint(decisions)
    app.before_request(_refuse_strangers)
    app.after_request(_add_headers)
    app.register_error_handler(CallFailed, _call_failed)
    app.register_error_handler(CannotAccept, _cannot_accept)
    app.register_error_handler(HTTPException, _http_error)
    return app


@pages.get("/")
def start() -> AnyResponse:
    """Go to the patients of the first connection."""
    return redirect(url_for("ehr.patients", number=1))


@pages.get(JWKS_PATH)
def jwk_set() -> Response:
    """Publish the key that services verify our JWTs with."""
    return jsonify(desk().key.jwk_set())


@pages.post("/connections")
def connect() -> AnyResponse:
    """Add a FHIR server and a CDS service that the tester names."""
    fhir, service = (_base_url(request.form.get(name, "")) for name in ("fhir", "service"))
    if fhir is None or service is None:
        return _sorry(400, "Both addresses have to begin with http or https.")
    wanted = Connection(fhir, service.removesuffix("/cds-services"), request.form.get("token", ""))
    known = desk().connections
    if wanted not in known:
        known.append(wanted)
    return redirect(url_for("ehr.patients", number=known.index(wanted) + 1))


@pages.get("/<int:number>/")
def patients(number: int) -> Response:
    """List the patients of a connection."""
    connection = desk().client(number).connection
    name = request.args.get("name", "").strip()[:_LONGEST_NAME]
    try:
        found, problem = read_patients(connection, name), ""
    except CallFailed as exc:
        found, problem = FoundPatients(), str(exc)
    return _page(
        *(200, "patients.html"),
        number=number,
        connection=connection,
        connections=desk().connections,
        sandboxes=_SANDBOXES,
        patients=found.lines,
        more=found.more,
        name=name,
        problem=problem,
    )


@pages.get("/<int:number>/patients/<patient_id>")
def chart(number: int, patient_id: str) -> AnyResponse:
    """Open a chart: read it, call the hook, and go to the visit, whose cards are shown.

    The address of a visit is what the browser's "back" leads to: it calls no hook again, and what
    was accepted stays accepted.
    """
    visit = desk().visits.find(request.args, patient_id)
    if visit is None:
        return redirect(
            url_for(
                "ehr.chart",
                number=number,
                patient_id=patient_id,
                visit=_open(number, patient_id).number,
                said=request.args.get("said"),
            ),
            303,
        )
    return _page(
        *(200, "chart.html"),
        number=number,
        visit=visit,
        opened=visit.opened,
        chart=visit.chart,
        exchanges=visit.exchanges,
        problem=visit.problem,
        said=desk().seals.said(request.args.get("said", ""), patient_id),
    )


@pages.get("/<int:number>/patients/<patient_id>/exchange.json")
def exchange(number: int, patient_id: str) -> Response:
    """Open a chart and return all exchanges as JSON, for programs."""
    opened, exchanges, problem = _opened(desk().client(number), patient_id)
    return jsonify(
        patient=dataclasses.asdict(opened.patient),
        encounter=opened.encounter,
        problem=problem,
        exchanges=[_exchange_json(one) for one in exchanges],
    )


def pretty(value: object) -> str:
    """Return JSON for people, shortened to what a page can hold."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    if len(text) <= _SHOWN_JSON:
        return plain(text)
    return f"{plain(text[:_SHOWN_JSON])}\n… ({len(text) - _SHOWN_JSON} more characters)"


def kind(answer: object) -> str:
    """Return in a word or two what a prefetch query got."""
    found = object_of(answer)
    if found.get("resourceType") != "Bundle":
        return plain(text_of(found.get("resourceType"))) or "nothing"
    count = len(objects_of(found.get("entry")))
    return f"{count} {'entry' if count == 1 else 'entries'}"


def _open(number: int, patient_id: str) -> Visit:
    client = desk().client(number)
    opened, exchanges, problem = _opened(client, patient_id)
    prefetched = [answer for one in exchanges for answer in one.prefetched.data.values()]
    view = read_chart(client.connection, opened, prefetched)
    return desk().visits.add(Visit(patient_id, opened, view, exchanges, problem))


def _opened(client: CdsClient, patient_id: str) -> tuple[OpenedPatient, list[Exchange], str]:
    opened = open_patient(client.connection, patient_id)
    try:
        return opened, client.open_chart(patient_id, opened.encounter_id), ""
    except CallFailed as exc:
        return opened, [], str(exc)


def _exchange_json(exchange: Exchange) -> dict[str, Any]:
    return {
        "service": exchange.service_id,
        "title": exchange.title,
        "url": exchange.url,
        "status": exchange.status,
        "prefetch_ms": round(exchange.prefetch_ms, 1),
        "service_ms": round(exchange.service_ms, 1),
        "problems": [*exchange.prefetched.problems, *exchange.problems],
        "received": exchange.received,
    }


def _base_url(text: str) -> str | None:
    url = web_address(text.strip())
    return url.rstrip("/") if url and not urlsplit(url).query else None


def _refuse_strangers() -> None:
    """Answer only to our own name, and take forms only from our own pages.

    This program may reach what a web page elsewhere may not: no such page uses it as its arm.
    """
    own = urlsplit(desk().issuer).netloc
    if request.host != own:
        abort(421)
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin is not None and urlsplit(origin).netloc != own:
        abort(403)


def _add_headers(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "same-origin"  # forms name their origin
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response


def _call_failed(failure: CallFailed) -> Response:
    return _sorry(502, str(failure))


def _cannot_accept(refusal: CannotAccept) -> Response:
    return _sorry(400, str(refusal))


def _http_error(error: HTTPException) -> Response:
    return _sorry(error.code or 500, error.description or error.name)


def _sorry(status: int, sentence: str) -> Response:
    """Say what went wrong; from a decision a link leads back to the chart with its cards."""
    where = request.view_args or {}
    visit = desk().visits.find(request.form, where.get("patient_id", ""))
    chart = url_for("ehr.chart", **where, visit=visit.number) if visit else ""
    return _page(status, "sorry.html", sentence=sentence, chart=chart)


def _page(status: int, template: str, **values: Any) -> Response:
    return Response(render_template(template, **values), status, mimetype="text/html")
