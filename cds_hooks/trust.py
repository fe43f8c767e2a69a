"""Whom we trust and with what: issuers of JWTs, their keys, tenants and FHIR servers.

Trust is configured for each issuer, because EHRs differ in all of it: the algorithm, the audience
that a hospital typed in, one ``jku`` or several, or keys handed over once.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    prefetch_only: bool = False  # never call back, ignore fhirServer
    action_selection_behavior: bool = False  # the client is known to support it (v3)

    def check(self, *, production: bool) -> None:
        """Raise SettingsError for anything that cannot be trusted."""
        where = f"issuer {self.iss or '(empty)'}"
        if not self.iss:
            raise SettingsError(f"{where}: iss must not be empty")
        wrong = [name for name in self.algorithms if name not in ASYMMETRIC]
        if wrong or not self.algorithms:
            raise SettingsError(
                f"{where}: algorithms {wrong}: expected some of {', '.join(ASYMMETRIC)}"
            )
        if not (self.jku or self.jwks_file or self.jwks):
            raise SettingsError(f"{where}: one of jku, jwks_file and jwks must be set")
        for url in self.jku:
            _check_scheme(url, f"{where}: jku", production=production)
        check_fhir_servers(self.fhir_servers, where, production=production)


def check_fhir_servers(urls: tuple[str, ...], where: str, *, production: bool) -> None:
    """Raise SettingsError for a FHIR server that we would refuse to call."""
    for url in urls:
        _check_scheme(url, f"{where}: FHIR server", production=production)
        _normal(url, where)


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


def _check_scheme(url: str, where: str, *, production: bool) -> None:
    schemes = ("https",) if production else ("https", "http")
    if urlsplit(url).scheme not in schemes:
        raise SettingsError(f"{where} {url}: expected {' or '.join(schemes)}")
