"""Whom we trust and with what: issuers of JWTs, their keys, tenants and FHIR servers.

Trust is configured for each issuer, because EHRs differ in all of it: the algorithm, the audience
that a hospital typed in, one ``jku`` or several, or keys handed over once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cds_hooks.errors import NotAllowed, SettingsError
from fhir_adapters.errors import FhirRejected
from fhir_adapters.origin import parse_base_url

ASYMMETRIC = (
    *("ES384", "RS384", "ES256", "ES512", "RS256", "RS512"),
    *("PS256", "PS384", "PS512", "EdDSA"),
)
_LONGEST_LIFE_S = 3600  # best practices of the specification: "no more than an hour"


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """One ``[[issuers]]`` table of the configuration."""

    iss: str
    algorithms: tuple[str, ...] = ("ES384", "RS384")  # the two that the specification recommends
    jku: tuple[str, ...] = ()  # addresses of JWK sets; the first is used if a JWT names none
    jwks_file: Path | None = None  # a JWK set that came out of band
    jwks: Mapping[str, Any] = field(default_factory=dict)  # the same, inline
    audiences: tuple[str, ...] = ()  # accepted beside the exact URL of the endpoint
    tenants: tuple[str, ...] = ()  # if any are listed, the JWT has to name one of them
    services: tuple[str, ...] = ()  # if any are listed, only these may be called
    fhir_servers: tuple[str, ...] = ()  # base URLs that we may call back
    link_hosts: tuple[str, ...] = ()  # if any are listed, links elsewhere are left out of cards
    cors_origins: tuple[str, ...] = ()  # browser clients of this issuer, exact origins
    longest_life_s: int = 3600  # of a JWT; "no more than an hour", the sandbox takes five minutes
    prefetch_only: bool = False  # never call back, ignore fhirServer
    action_selection_behavior: bool = False  # the client is known to support it (v3)

    def faults(self, path: str, *, production: bool) -> Iterator[SettingsError]:
        """Yield all that cannot be trusted; ``path`` is "issuers[0]"."""
        where = f"issuer {self.iss or '(empty)'}"
        if not self.iss:
            yield SettingsError(
                f"{where}: iss must not be empty",
                setting=f"{path}.iss",
                fix="write the iss that the JWTs of this EHR name, letter by letter",
            )
        wrong = [name for name in self.algorithms if name not in ASYMMETRIC]
        if wrong or not self.algorithms:
            yield SettingsError(
                f"{where}: algorithms {wrong}: expected some of {', '.join(ASYMMETRIC)}",
                setting=f"{path}.algorithms",
                fix="leave it out for ES384 and RS384, or name what the EHR signs with",
            )
        if not (self.jku or self.jwks_file or self.jwks):
            yield SettingsError(
                f"{where}: one of jku, jwks_file and jwks must be set",
                setting=path,
                fix="set jku to the address of the EHR's JWK set, or jwks_file to a copy of it",
            )
        if not 0 < self.longest_life_s <= _LONGEST_LIFE_S:
            yield SettingsError(
                f"{where}: longest_life_s {self.longest_life_s}: expected 1 to {_LONGEST_LIFE_S}",
                setting=f"{path}.longest_life_s",
            )
        yield from origin_faults(self.cors_origins, f"{path}.cors_origins")
        for number, url in enumerate(self.jku):
            yield from _scheme_faults(
                url, f"{where}: jku", f"{path}.jku[{number}]", production=production
            )
        yield from fhir_server_faults(
            self.fhir_servers, where, f"{path}.fhir_servers", production=production
        )


def fhir_server_faults(
    urls: tuple[str, ...], where: str, path: str, *, production: bool
) -> Iterator[SettingsError]:
    """Yield the FHIR servers that we would refuse to call."""
    for number, url in enumerate(urls):
        setting = f"{path}[{number}]"
        yield from _scheme_faults(url, f"{where}: FHIR server", setting, production=production)
        try:
            _normal(url, where)
        except SettingsError as exc:
            exc.setting = setting
            exc.fix = "write the base URL alone, without user, query or fragment"
            yield exc


def origin_faults(origins: tuple[str, ...], path: str) -> Iterator[SettingsError]:
    """Yield what no browser sends as an Origin: a path, a trailing slash, a wildcard."""
    for number, origin in enumerate(origins):
        parts = urlsplit(origin)
        if parts.scheme in ("https", "http") and origin == f"{parts.scheme}://{parts.netloc}":
            continue
        yield SettingsError(
            f"{path}: {origin!r} is not an origin",
            setting=f"{path}[{number}]",
            fix="write scheme, host and port only, as https://ehr.example.org",
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, after authentication. ``issuer`` None: open development mode."""

    issuer: TrustedIssuer | None
    fhir_servers: tuple[str, ...]
    tenant: str = ""

    @property
    def iss(self) -> str:
        """The issuer's name, "open" where nobody was authenticated."""
        return self.issuer.iss if self.issuer else "open"

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """Browser pages that may read the answers to this caller, beside those of all."""
        return self.issuer.cors_origins if self.issuer else ()

    def allow_service(self, service_id: str) -> None:
        """Raise NotAllowed if this issuer may not call this service."""
        if self.issuer and self.issuer.services and service_id not in self.issuer.services:
            raise NotAllowed(f"the issuer of this JWT may not call the service {service_id}")

    def allows_link(self, url: str) -> bool:
        """Whether the client accepts links to this address; some strip all others."""
        agreed = self.issuer.link_hosts if self.issuer else ()
        return not agreed or urlsplit(url).hostname in agreed

    def fhir_base_url(self, fhir_server: str | None) -> str | None:
        """Return the listed base URL that ``fhirServer`` names, None if there is none to call.

        Raises NotAllowed for a server that is not listed. No socket is opened to find out.
        """
        if fhir_server is None or (self.issuer and self.issuer.prefetch_only):
            return None
        wanted = _normal(fhir_server, "fhirServer")
        for listed in self.fhir_servers:
            if _normal(listed, "fhir_servers") == wanted:
                return wanted
        raise NotAllowed(
            "fhirServer is not among the FHIR servers that we may call for this caller",
            diagnostics="$.fhirServer",
        )


def _normal(url: str, where: str) -> str:
    try:
        base, origin = parse_base_url(url)
    except FhirRejected as exc:
        if where == "fhirServer":
            raise NotAllowed(str(exc), diagnostics="$.fhirServer") from exc
        raise SettingsError(f"{where}: {exc}") from exc
    return f"{origin}{urlsplit(base).path.rstrip('/')}"


def _scheme_faults(url: str, where: str, path: str, *, production: bool) -> Iterator[SettingsError]:
    schemes = ("https",) if production else ("https", "http")
    if urlsplit(url).scheme not in schemes:
        yield SettingsError(
            f"{where} {url}: expected {' or '.join(schemes)}",
            setting=path,
            fix="use the https address" if production else "begin it with https:// or http://",
        )
