"""What a run needs before anything is sent: addresses of its own, keys, and the patient."""

from __future__ import annotations

from pathlib import Path

import click

from conformance.addresses import host_and_port
from conformance.cannot_run import CannotRun, checked_option
from conformance.client_keys import ClientKeys, KeyFileError, new_key, read_key
from conformance.endpoint import Chart, Endpoint, UpstreamChart

_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # where no service can call
_EXAMPLE = "https://suite.example.org"


def open_endpoint(chart: Chart, listen: tuple[str, str], urls: tuple[str, str]) -> Endpoint:
    """Open both addresses of the suite; the second of each pair is the foreign one's.

    Raises CannotRun, or UsageError where an address cannot be called.
    """
    own = _place(listen[0])
    beside = ("127.0.0.1" if own[0] in _ANY_ADDRESS else own[0], 0)
    foreign = _place(listen[1]) if listen[1] else beside
    options = ("--endpoint-url", "--foreign-url")
    home_url, foreign_url = (
        checked_option(url, option, _EXAMPLE) if url else ""
        for url, option in zip(urls, options, strict=True)
    )
    for (host, _), url, option in zip((own, foreign), urls, options, strict=True):
        if host in _ANY_ADDRESS and not url:
            raise click.UsageError(f"{host} is no address to call: name one with {option}.")
    try:
        return Endpoint(chart, *own, home_url, foreign, foreign_url)
    except (OSError, OverflowError) as exc:
        places = " or ".join(one for one in listen if one)
        raise CannotRun(f"{places} cannot be listened on; name HOST:PORT.") from exc


def _place(listen: str) -> tuple[str, int]:
    try:
        return host_and_port(listen)
    except ValueError as exc:
        raise CannotRun(f"{listen} cannot be listened on; name HOST:PORT.") from exc


def require_patient(chart: Chart, fhir: str, patient: str) -> None:
    """Raise CannotRun where a real patient is not there: every verdict would rest on that."""
    why_not = chart.why_not(f"Patient/{patient}") if isinstance(chart, UpstreamChart) else ""
    if why_not:
        raise CannotRun(f"{fhir}: Patient/{patient} cannot be read: {why_not}.")


def client_keys(
    endpoint: Endpoint, key_file: Path | None, issuer: str, kid: str, jku: str, tenant: str
) -> ClientKeys:
    """Return who the suite is, and serve its JWK Set. Raises CannotRun."""
    try:
        key = read_key(key_file) if key_file else new_key()
    except KeyFileError as exc:
        raise CannotRun(str(exc)) from exc
    keys = ClientKeys(issuer or endpoint.url, key, kid, jku, tenant)
    endpoint.key_sets = {"home": keys.jwk_set(), "foreign": keys.jwk_set(other=True)}
    return keys
