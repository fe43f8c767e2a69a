"""The practice EHR's pages. No script runs in them; all is rendered here."""

from __future__ import annotations

import dataclasses
import json
import secrets
from typing import Any
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from conformance.ehr.accepting import CannotAccept, Seals, create, resources_to_create
from conformance.ehr.cds_client import CdsClient, Connection, Exchange
from conformance.ehr.chart import OpenedPatient, open_patient, read_chart, read_patients
from conformance.ehr.http import CallFailed
from conformance.ehr.safe_markdown import web_address
from conformance.ehr.signing import JWKS_PATH, SigningKey, new_signing_key

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_SHOWN_JSON = 60_000  # characters of a request or an answer on the page

pages = Blueprint("ehr", __name__)


@dataclasses.dataclass
class Desk:
    """What the running EHR holds: its key, its address and the connections in use."""

    key: SigningKey
    issuer: str
    connections: list[Connection]
    seals: Seals = dataclasses.field(default_factory=lambda: Seals(secrets.token_bytes(32)))

    def client(self, number: int) -> CdsClient:
        """Return the client of one connection; 404 if there is none."""
        if not 1 <= number <= len(self.connections):
            abort(404)
        return CdsClient(self.connections[number - 1], self.key, self.issuer)


def create_app(connection: Connection, public_url: str, key: SigningKey | None = None) -> Flask:
    """Build the EHR at ``public_url``: its JWTs name that address as their issuer."""
    app = Flask(__name__)
    app.extensions["desk"] = Desk(key or new_signing_key(), public_url.rstrip("/"), [connection])
    app.jinja_env.filters["pretty"] = pretty
    app.jinja_env.globals["sealed"] = lambda *what: _desk().seals.seal(*what)
    app.register_blueprint(pages)
    app.before_request(_refuse_strangers)
    app.after_request(_add_headers)
    app.register_error_handler(CallFailed, _call_failed)
    app.register_error_handler(CannotAccept, _cannot_accept)
    return app


@pages.get("/")
def start() -> AnyResponse:
    """Go to the patients of the first connection."""
    return redirect(url_for("ehr.patients", number=1))


@pages.get(JWKS_PATH)
def jwk_set() -> Response:
    """Publish the key that services verify our JWTs with."""
    return jsonify(_desk().key.jwk_set())


@pages.post("/connections")
def connect() -> AnyResponse:
    """Add a FHIR server and a CDS service that the tester names."""
    fhir, service = (_base_url(request.form.get(name, "")) for name in ("fhir", "service"))
    if fhir is None or service is None:
        return _page(400, "sorry.html", sentence="Both addresses have to begin with http or https.")
    wanted = Connection(fhir, service.removesuffix("/cds-services"), request.form.get("token", ""))
    known = _desk().connections
    if wanted not in known:
        known.append(wanted)
    return redirect(url_for("ehr.patients", number=known.index(wanted) + 1))


@pages.get("/<int:number>/")
def patients(number: int) -> Response:
    """List the patients of a connection."""
    connection = _desk().client(number).connection
    try:
        found, problem = read_patients(connection), ""
    except CallFailed as exc:
        found, problem = [], str(exc)
    return _page(
        200, "patients.html", number=number, connection=connection, patients=found, problem=problem
    )


@pages.get("/<int:number>/patients/<patient_id>")
def chart(number: int, patient_id: str) -> Response:
    """Open a chart: read it, call the hook, show the cards."""
    client = _desk().client(number)
    opened, exchanges, problem = _opened(client, patient_id)
    prefetched = [answer for one in exchanges for answer in one.prefetched.data.values()]
    return _page(
        *(200, "chart.html"),
        number=number,
        opened=opened,
        chart=read_chart(client.connection, opened, prefetched),
        exchanges=exchanges,
        problem=problem,
        outcome=request.args.get("outcome", ""),
        created=request.args.getlist("created"),
    )


@pages.get("/<int:number>/patients/<patient_id>/exchange.json")
def exchange(number: int, patient_id: str) -> Response:
    """Open a chart and return all exchanges as JSON, for programs."""
    opened, exchanges, problem = _opened(_desk().client(number), patient_id)
    return jsonify(
        patient=dataclasses.asdict(opened.patient),
        encounter=opened.encounter,
        problem=problem,
        exchanges=[_exchange_json(one) for one in exchanges],
    )


@pages.post("/<int:number>/patients/<patient_id>/override")
def override(number: int, patient_id: str) -> AnyResponse:
    """Report that a card was overridden, with the reason if one was picked."""
    item: dict[str, Any] = {"card": request.form["card"], "outcome": "overridden"}
    code, _, system = request.form.get("reason", "").partition(" ")
    comment = request.form.get("comment", "").strip()
    reason: dict[str, Any] = {"reason": {"code": code, "system": system}} if code else {}
    if comment:
        reason["userComment"] = comment
    if reason:
        item["overrideReason"] = reason
    _desk().client(number).send_feedback(request.form["service"], item)
    return redirect(
        url_for("ehr.chart", number=number, patient_id=patient_id, outcome="overridden")
    )


@pages.post("/<int:number>/patients/<patient_id>/accept")
def accept(number: int, patient_id: str) -> AnyResponse:
    """Create what a suggestion proposes, then report that it was accepted."""
    client = _desk().client(number)
    suggestion = _desk().seals.open(request.form["suggestion"], patient_id)
    wanted = resources_to_create(suggestion["actions"], patient_id)
    connection = client.connection
    created = [create(connection.fhir_server, one, connection.fhir_token) for one in wanted]
    item = {
        "card": suggestion["card"],
        "outcome": "accepted",
        "acceptedSuggestions": [{"id": suggestion["suggestion"]}],
    }
    try:
        client.send_feedback(suggestion["service"], item)
    except CallFailed as exc:
        raise CallFailed(f"{', '.join(created)} was created, but not reported: {exc}") from exc
    return redirect(
        url_for(
            "ehr.chart", number=number, patient_id=patient_id, outcome="accepted", created=created
        )
    )


def pretty(value: object) -> str:
    """Return JSON for people, shortened to what a page can hold."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    if len(text) <= _SHOWN_JSON:
        return text
    return f"{text[:_SHOWN_JSON]}\n… ({len(text) - _SHOWN_JSON} more characters)"


def _desk() -> Desk:
    desk: Desk = current_app.extensions["desk"]
    return desk


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
    own = urlsplit(_desk().issuer).netloc
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
    return _page(502, "sorry.html", sentence=str(failure))


def _cannot_accept(refusal: CannotAccept) -> Response:
    return _page(400, "sorry.html", sentence=str(refusal))


def _page(status: int, template: str, **values: Any) -> Response:
    return Response(render_template(template, **values), status, mimetype="text/html")
