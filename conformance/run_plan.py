"""What a run will send, said before anything is sent."""

from __future__ import annotations

from urllib.parse import urlsplit

from rich.console import Console

from conformance.addresses import is_loopback
from conformance.case import Case
from conformance.endpoint import Endpoint
from conformance.plain_text import plain
from conformance.runner import most_requests
from conformance.target import Target


def say_plan(
    console: Console, target: Target, endpoint: Endpoint, cases: list[Case], fhir: str, rate: float
) -> None:
    """Print how many requests go where, and about whom."""
    patient = f"patient {target.patient_id}, read from {fhir}" if fhir else "a made-up patient"
    pace = f"at most {rate:g} a second" if rate else "as fast as they are answered"
    signed = "signed" if target.keys else "without JWTs"
    kept = "Feedback is sent, and the service will store it." if target.feedback else "No feedback."
    lines = [
        f"{len(cases)} cases of CDS Hooks {target.version}: up to {most_requests(cases)} requests "
        f"to {target.discovery_url}, {signed}, {pace}, about {patient}. {kept}",
        f"FHIR endpoint of the suite: {endpoint.url}/fhir"
        + (
            f", JWK Set: {target.keys.jku or 'not served'}, iss {target.keys.issuer}"
            if target.keys
            else ""
        ),
    ]
    lines += _unreachable(target, endpoint)
    for line in lines:
        console.print(plain(line), highlight=False, soft_wrap=True, markup=False)


def _unreachable(target: Target, endpoint: Endpoint) -> list[str]:
    """Warn of addresses of this machine that a service elsewhere is given."""
    service = urlsplit(target.service_base).hostname or ""
    ours = urlsplit(endpoint.url).hostname or ""
    called = bool(target.keys and target.keys.jku.startswith(endpoint.url)) or target.fhir_access
    if is_loopback(service) or not is_loopback(ours) or not called:
        return []
    return [
        f"{service} is another machine, which cannot call {endpoint.url} for keys and data: name "
        "an address that it can call with --listen or --endpoint-url."
    ]
