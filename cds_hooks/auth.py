"""Who is calling: the JWT of a request, verified by what is configured for its issuer.

The JWT chooses nothing by itself. Its issuer has to be listed; the algorithm has to be one that
is listed for the issuer and fits the key; the audience is built from our configured address.
Every fault is a 401 without detail. The reason goes to our log in one or two words, the JWT never.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from cds_hooks.errors import NotAllowed, Unauthenticated
from cds_hooks.jwks import KeySets, load_jwks_file
from cds_hooks.settings import Settings
from cds_hooks.store import Store
from cds_hooks.trust import Caller, TrustedIssuer

_LEEWAY_S = 60
_MOST_CHARACTERS = 16_384
_LARGEST_TIME_S = 1e11  # the year 5138; larger numbers are attacks on arithmetic
_CLAIMS = ("iss", "aud", "exp", "iat", "jti")
_TIMES = ("exp", "iat", "nbf")


class Authenticator:
    """Turns an Authorization header into a Caller."""

    def __init__(
        self,
        settings: Settings,
        key_sets: KeySets,
        store: Store,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._open = settings.mode_auth == "open"
        self._open_servers = settings.open_fhir_servers
        self._issuers = {issuer.iss: load_jwks_file(issuer) for issuer in settings.issuers}
        self._key_sets = key_sets
        self._store = store
        self._clock = clock

    def caller(self, authorization: str | None, audiences: tuple[str, ...]) -> Caller:
        """Return who calls one of our addresses. ``audiences``: the addresses it may name.

        Raises Unauthenticated; NotAllowed for a tenant that is not listed; NotReady.
        """
        if self._open:
            return Caller(None, self._open_servers)
        token = _bearer(authorization)
        header, claims = _unverified(token)
        issuer = self._issuer(claims)
        self._verify(token, header, issuer, audiences)
        self._check_times(claims, issuer)
        self._first_use(claims, issuer)
        tenant = _tenant(claims, issuer)
        return Caller(issuer, issuer.fhir_servers, tenant)

    def fetch_keys(self) -> None:
        """Fetch the key sets of all issuers ahead of the first request."""
        self._key_sets.fetch_all(self._issuers.values())

    def fhir_servers(self) -> frozenset[str]:
        """The base URLs that hooks may have us call, as Caller.fhir_base_url returns them."""
        callers = [Caller(one, one.fhir_servers) for one in self._issuers.values()]
        if self._open:
            callers = [Caller(None, self._open_servers)]
        urls = (caller.fhir_base_url(url) for caller in callers for url in caller.fhir_servers)
        return frozenset(filter(None, urls))

    def _issuer(self, claims: Mapping[str, Any]) -> TrustedIssuer:
        iss = claims.get("iss")
        if not isinstance(iss, str) or iss not in self._issuers:
            raise Unauthenticated("issuer not listed")
        return self._issuers[iss]

    def _verify(
        self,
        token: str,
        header: Mapping[str, Any],
        issuer: TrustedIssuer,
        audiences: tuple[str, ...],
    ) -> None:
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
            raise Unauthenticated("algorithm not listed", issuer=issuer.iss)
        if header.get("typ") != "JWT" or "crit" in header:
            raise Unauthenticated("header", issuer=issuer.iss)
        kid = header.get("kid")
        if not isinstance(kid, str) or not kid:
            raise Unauthenticated("no kid", issuer=issuer.iss)
        key = self._key_sets.key(issuer, _listed_jku(header, issuer), kid, algorithm)
        try:
            jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=[*audiences, *issuer.audiences],
                issuer=issuer.iss,
                options={
                    "require": list(_CLAIMS),
                    # Times are checked by _check_times, on our clock and with a cap on the life.
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWTError as exc:
            raise Unauthenticated(type(exc).__name__, issuer=issuer.iss) from exc

    def _check_times(self, claims: Mapping[str, Any], issuer: TrustedIssuer) -> None:
        for name in _TIMES:
            value = claims.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise Unauthenticated(f"{name} not a number", issuer=issuer.iss)
            if not -_LARGEST_TIME_S < value < _LARGEST_TIME_S:  # also infinity and NaN
                raise Unauthenticated(f"{name} out of range", issuer=issuer.iss)
        now_s = self._clock()
        if now_s >= claims["exp"] + _LEEWAY_S:
            raise Unauthenticated("expired", issuer=issuer.iss)
        if claims["iat"] > now_s + _LEEWAY_S or claims.get("nbf", 0) > now_s + _LEEWAY_S:
            raise Unauthenticated("not yet valid", issuer=issuer.iss)
        if not 0 < claims["exp"] - claims["iat"] <= issuer.longest_life_s:
            raise Unauthenticated("life too long", issuer=issuer.iss)

    def _first_use(self, claims: Mapping[str, Any], issuer: TrustedIssuer) -> None:
        jti = claims["jti"]
        if not isinstance(jti, str) or not jti:
            raise Unauthenticated("no jti", issuer=issuer.iss)
        if not self._store.first_use(issuer.iss, jti, claims["exp"] + _LEEWAY_S):
            raise Unauthenticated("jti seen before", issuer=issuer.iss)


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("no bearer token")
    if len(token) > _MOST_CHARACTERS:
        raise Unauthenticated("token too long")
    return token


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as they are written, to find out whose keys to verify them with."""
    try:
        whole = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError, ValueError) as exc:
        raise Unauthenticated("not a JWT") from exc
    return whole["header"], whole["payload"]


def _listed_jku(header: Mapping[str, Any], issuer: TrustedIssuer) -> str | None:
    if "jku" not in header:
        return None
    if header["jku"] not in issuer.jku:
        raise Unauthenticated("jku not listed", issuer=issuer.iss)
    return str(header["jku"])


def _tenant(claims: Mapping[str, Any], issuer: TrustedIssuer) -> str:
    tenant = claims.get("tenant", "")
    if not issuer.tenants:
        return _storable(tenant, issuer) if isinstance(tenant, str) else ""
    if tenant not in issuer.tenants:
        raise NotAllowed("the tenant of this JWT is not listed for its issuer")
    return str(tenant)


def _storable(tenant: str, issuer: TrustedIssuer) -> str:
    """Refuse what PostgreSQL's text cannot hold; any other string may name a tenant."""
    if "\x00" in tenant or any("\ud800" <= character <= "\udfff" for character in tenant):
        raise Unauthenticated("tenant not a text", issuer=issuer.iss)
    return tenant
