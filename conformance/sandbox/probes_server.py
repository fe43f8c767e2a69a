"""Probes of the server itself: connection, statement, sign-in, browsers, errors."""

from __future__ import annotations

import ssl
import uuid
from datetime import UTC, datetime
from socket import create_connection
from urllib.parse import urlsplit

from conformance.addresses import is_loopback
from conformance.exchange import NotJson
from conformance.sandbox.checks import Found, NotTried, Omitted
from conformance.sandbox.server import media_type, outcome_codes, quoted, told
from conformance.sandbox.session import Session

_TYPES = ("Patient", "Observation", "Encounter", "DocumentReference", "Binary", "DiagnosticReport")
_PARAMETERS = ("patient", "category", "code", "date")
_BROWSER = "https://ehr.example.org"
_SOON_DAYS = 14
_LIMITS = ("ratelimit", "x-ratelimit", "retry-after")


def reachable(session: Session, found: Found) -> None:
    """Any HTTP answer will do here; what it says is judged below."""
    answer = session.metadata
    found.notes.append(f"GET metadata answered in {answer.elapsed_ms:.0f} ms.")
    if answer.status >= 500:
        found.faults.append(f"{answer.what}: {told(answer)}.")


def transport_is_safe(session: Session, found: Found) -> None:
    """The certificate was verified by the connection; version and expiry are looked at here."""
    parts = urlsplit(session.server.base_url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        if is_loopback(host):
            raise Omitted("The server is on this machine, and plain HTTP does not leave it.")
        found.faults.append("The base URL is plain HTTP: tokens and charts can be read on the way.")
        return
    try:
        with (
            create_connection((host, parts.port or 443), timeout=10) as raw,
            ssl.create_default_context(cafile=session.server.authority).wrap_socket(
                raw, server_hostname=host
            ) as tls,
        ):
            version, certificate = tls.version(), tls.getpeercert() or {}
    except (OSError, ValueError) as exc:
        found.faults.append(f"No TLS connection with a trusted certificate: {type(exc).__name__}.")
        return
    found.notes.append(f"{version}.")
    if version not in ("TLSv1.2", "TLSv1.3"):
        found.faults.append(f"The server settled on {version}; 1.2 or later is expected.")
    ends_s = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    days = (datetime.fromtimestamp(ends_s, UTC) - datetime.now(UTC)).days
    if days < _SOON_DAYS:
        found.notes.append(f"Its certificate ends in {days} days.")


def capability_statement(session: Session, found: Found) -> None:
    """R4 calls it CapabilityStatement; DSTU2 called it Conformance."""
    answer = session.metadata
    if answer.status != 200:
        found.faults.append(f"{answer.what}: {told(answer)}.")
        return
    try:
        body = answer.json()
    except NotJson:
        found.faults.append("GET metadata: the body is no JSON.")
        return
    kind = body.get("resourceType") if isinstance(body, dict) else None
    if kind != "CapabilityStatement":
        found.faults.append("GET metadata: it is no CapabilityStatement.")
    elif session.software:
        found.notes.append(f"Software: {session.software}.")
        session.facts["software"] = session.software


def fhir_r4(session: Session, found: Found) -> None:
    """4.3 is R4B, which is the same for what is read here."""
    version = str(session.statement.get("fhirVersion", ""))[:20]
    session.facts["fhir_version"] = version
    if version.startswith(("4.0", "4.3")):
        found.notes.append(f"fhirVersion {version}.")
    else:
        found.faults.append(f"fhirVersion is '{version}', expected 4.0.1 or 4.3.0.")


def json_offered(session: Session, found: Found) -> None:
    """Judge the declared formats, and the type of an answer."""
    formats = session.statement.get("format")
    formats = [str(one) for one in formats] if isinstance(formats, list) else []
    if not any("json" in one for one in formats):
        found.faults.append("CapabilityStatement.format does not name JSON.")
    kind = media_type(session.metadata)
    if "json" not in kind:
        found.faults.append(f"GET metadata is typed '{kind}'.")
    elif kind != "application/fhir+json":
        found.notes.append(f"Answers are typed '{kind}'.")


def types_declared(session: Session, found: Found) -> None:
    """A statement that lists no type at all rules none out."""
    if not session.declared:
        raise Omitted("The CapabilityStatement lists no resource type.")
    missing = [kind for kind in _TYPES if kind not in session.declared]
    found.notes.append(f"{len(session.declared)} types are listed.")
    if missing:
        found.faults.append(f"Not listed: {', '.join(missing)}.")


def parameters_declared(session: Session, found: Found) -> None:
    """Judge the parameters of Observation only: they decide how it is searched."""
    listed = session.declared.get("Observation", frozenset())
    if not listed:
        raise Omitted("The CapabilityStatement lists no search parameter of Observation.")
    missing = [name for name in _PARAMETERS if name not in listed]
    if missing:
        found.faults.append(f"Observation: not listed: {', '.join(missing)}.")


def smart_configuration(session: Session, found: Found) -> None:
    """An open server needs none."""
    answer = session.server.ask(".well-known/smart-configuration", accept="application/json")
    try:
        body = answer.json() if answer.status == 200 else None
    except NotJson:
        body = None
    if not isinstance(body, dict):
        session.facts["smart"] = {}
        if not session.server.has_token:
            raise Omitted(f"There is none ({told(answer)}), and this run has no token.")
        found.faults.append(f"{answer.what}: {told(answer)}.")
        return
    session.facts["smart"] = {
        name: body[name]
        for name in ("token_endpoint", "token_endpoint_auth_methods_supported", "capabilities")
        if name in body
    } | {"algorithms": _texts(body.get("token_endpoint_auth_signing_alg_values_supported"))}
    if not isinstance(body.get("token_endpoint"), str):
        found.faults.append("The SMART configuration names no token_endpoint.")


def backend_services(session: Session, found: Found) -> None:
    """What is not said of algorithms leaves both open."""
    smart = session.facts.get("smart")
    if not smart:
        raise Omitted("There is no SMART configuration.")
    methods = _texts(smart.get("token_endpoint_auth_methods_supported"))
    if "private_key_jwt" not in methods:
        found.faults.append("token_endpoint_auth_methods_supported does not hold private_key_jwt.")
    algorithms = smart.get("algorithms") or []
    if algorithms and not {"ES384", "RS384"} & set(algorithms):
        found.faults.append("Neither ES384 nor RS384 is among the algorithms of assertions.")
    elif algorithms:
        found.notes.append(f"Algorithms: {', '.join(map(str, algorithms))}.")


def token_is_asked_for(session: Session, found: Found) -> None:
    """Only where the run has a token is it known that the server wants one."""
    if not session.server.has_token:
        session.facts["open"] = True
        raise Omitted("The run has no token; the server is read openly.")
    answer = session.server.ask(f"Patient/{quoted(session.patient)}", token=False)
    session.facts["open"] = answer.status == 200
    if answer.status not in (401, 403):
        found.faults.append(f"GET Patient/ID without token: {told(answer)}.")


def cors(session: Session, found: Found) -> None:
    """Ask as a browser does: first whether it may, then with the Origin."""
    path = f"Patient/{quoted(session.patient)}"
    asks = {
        "Origin": _BROWSER,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    before = session.server.ask(path, method="OPTIONS", headers=asks, token=False)
    if before.status not in (200, 204):
        found.faults.append(f"OPTIONS Patient/ID: {told(before)}.")
        return
    allowed = before.header("Access-Control-Allow-Headers").lower()
    if "authorization" not in allowed and allowed.strip() != "*":
        found.faults.append("The preflight does not allow the header Authorization.")
    answer = session.server.ask(path, headers={"Origin": _BROWSER})
    for one in (before, answer):
        if one.header("Access-Control-Allow-Origin") not in ("*", _BROWSER):
            found.faults.append(f"{one.what}: Access-Control-Allow-Origin does not name the page.")


def gzip(session: Session, found: Found) -> None:
    """Look at the largest page: small answers may well go out as they are."""
    _, page = session.largest
    encoding = page.answer.header("Content-Encoding") if page.answer else ""
    if encoding.lower() != "gzip":
        found.faults.append("A page of Observations came uncompressed, though gzip was offered.")


def etag(session: Session, found: Found) -> None:
    """The patient is read once more; it is the one resource that everybody has."""
    answer = session.server.ask(f"Patient/{quoted(session.patient)}")
    if not answer.header("ETag"):
        found.faults.append("GET Patient/ID has no ETag.")


def unknown_is_404(session: Session, found: Found) -> None:
    """A server that hides what is not one's own may say 401 or 403 instead."""
    answer = session.server.ask(f"Patient/{uuid.uuid4()}")
    session.facts["unknown_status"] = answer.status
    if answer.status in (401, 403):
        found.notes.append(f"GET Patient/ID of nobody: {told(answer)}.")
    elif answer.status not in (404, 410):
        found.faults.append(f"GET Patient/ID of nobody: {told(answer)}.")


def errors_are_outcomes(session: Session, found: Found) -> None:
    """Judge every error of the run so far."""
    errors = [one for one in session.server.wire.answers if one.status >= 400]
    errors = [one for one in errors if ".well-known" not in one.what]
    if not errors:
        raise Omitted("There was no error.")
    faults = [f"{one.what}: {told(one)}." for one in errors if not outcome_codes(one)]
    found.faults.extend(dict.fromkeys(faults))


def bad_date_is_refused(session: Session, found: Found) -> None:
    """Nothing found at all is tolerated less than an error: it looks like an empty chart."""
    patient = quoted(session.patient)
    page = session.server.search(
        f"Observation?patient={patient}&category=vital-signs&date=genever&_count=5"
    )
    if not page.fault:
        found.faults.append(f"It was answered with {len(page.resources)} Observations.")


def unknown_parameter_is_refused(session: Session, found: Found) -> None:
    """The word is one that no server can know."""
    patient = quoted(session.patient)
    page = session.server.search(
        f"Observation?patient={patient}&category=vital-signs&x-conformance=1&_count=5",
        headers={"Prefer": "handling=strict"},
    )
    session.facts["strict"] = bool(page.fault)
    if not page.fault:
        found.faults.append(f"It was answered with {len(page.resources)} Observations.")


def rate_limit_headers(session: Session, found: Found) -> None:
    """Name the headers that any answer of the run had."""
    names = {
        name.lower()
        for answer in session.server.wire.answers
        for name in answer.headers
        if name.lower().startswith(_LIMITS)
    }
    if any(answer.status == 429 for answer in session.server.wire.answers):
        found.notes.append("The server answered 429 in this run; ask more slowly with --rate.")
    if not names:
        raise Omitted("No answer of this run had one.")
    found.notes.append(f"{', '.join(sorted(names))}.")


def patients(session: Session, found: Found) -> None:
    """Where the server lists none, they have to be named."""
    if session.wanted.patients:
        raise Omitted("They were named.")
    ids = session.patients
    if not ids:
        listing = session.page("Patient?_count=20")
        why = listing.fault or "The search for Patients found none."
        found.faults.append(f"{why} Name patients with --patient.")
        return
    found.notes.append(f"{len(ids)} patient{'s' if len(ids) > 1 else ''}.")


def patient_read(session: Session, found: Found) -> None:
    """Each of them, since a wrong id among those that were named is worth knowing."""
    if not session.patients:
        raise NotTried("No patient is known.")
    for number, one in enumerate(session.patients, 1):
        answer = session.server.ask(f"Patient/{quoted(one)}")
        if answer.status != 200:
            found.faults.append(f"Patient {number}: {told(answer)}.")
            continue
        try:
            body = answer.json()
        except NotJson:
            body = None
        if not isinstance(body, dict) or body.get("id") != one:
            found.faults.append(f"Patient {number}: another resource came than was asked for.")


def patient_by_id_search(session: Session, found: Found) -> None:
    """The search has to find exactly the one."""
    page = session.asked(f"Patient?_id={quoted(session.patient)}")
    if page.ids() != [f"Patient/{session.patient}"]:
        found.faults.append(f"It found {len(page.resources)} Patients.")


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
