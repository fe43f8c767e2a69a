"""Key sets of issuers: from the configuration, or from a listed ``jku``, cached and rate-limited.

Only addresses of the configuration are ever fetched; the ``jku`` of a JWT merely chooses one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt import PyJWK

from cds_hooks.errors import NotReady, SettingsError, Unauthenticated
from cds_hooks.trust import TrustedIssuer
from fhir_adapters.connections import cut_after

_FRESH_S = 600.0  # keys are rotated over hours, so ten minutes late is early enough
_REFETCH_S = 30.0  # an unknown kid asks for a refetch at most so often: no one can make us hammer
_RETRY_S = 4.0  # without any keys: a client that comes again after NotReady's 5 s finds them
_KEEP_S = 24 * 3600.0  # an issuer's server that is down does not lock its clients out for a day
_MOST_BYTES = 262_144
_TIME_OUT_S = 2.0
_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
_LEAST_RSA_BITS = 2048
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

Keys = tuple[Mapping[str, Any], ...]


@dataclass(slots=True)
class _Cached:
    keys: Keys = ()
    fetched_s: float = float("-inf")  # when these keys came
    tried_s: float = float("-inf")  # when we last asked


class KeySets:
    """The keys of all issuers. One object for a process, shared by its threads."""

    def __init__(
        self, session: requests.Session, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._session = session
        self._clock = clock
        self._cache: dict[str, _Cached] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def key(self, issuer: TrustedIssuer, jku: str | None, kid: str, algorithm: str) -> PyJWK:
        """Return the one key with this kid, fit for this algorithm. ``jku`` is listed, or None.

        Raises Unauthenticated, and NotReady where the issuer's keys cannot be had.
        """
        where = jku or (issuer.jku[0] if issuer.jku and not _static(issuer) else None)
        keys = self._fetched(where, kid) if where else _static(issuer)
        found = [key for key in keys if key.get("kid") == kid]
        if len(found) != 1:
            raise Unauthenticated("unknown kid" if not found else "kid not unique")
        return _usable(found[0], algorithm)

    def fetch_all(self, issuers: Iterable[TrustedIssuer]) -> None:
        """Fetch every listed set, so that no clinician waits for the first one."""
        for url in {url for issuer in issuers for url in issuer.jku}:
            try:
                self._fetched(url, "")
            except NotReady:
                continue  # the first request tries again, and says so

    def _fetched(self, url: str, kid: str) -> Keys:
        with self._guard:
            cached = self._cache.setdefault(url, _Cached())
            lock = self._locks.setdefault(url, threading.Lock())
        if self._good(cached, kid):
            return cached.keys  # without the lock: known callers never wait for a fetch
        with lock:
            now = self._clock()
            pause_s = _REFETCH_S if now - cached.fetched_s <= _KEEP_S else _RETRY_S
            if not self._good(cached, kid) and now - cached.tried_s > pause_s:
                cached.tried_s = now
                self._refetch(url, cached)
            if now - cached.fetched_s > _KEEP_S:
                raise NotReady("the keys of this issuer cannot be fetched at present")
            return cached.keys

    def _good(self, cached: _Cached, kid: str) -> bool:
        fresh = self._clock() - cached.fetched_s <= _FRESH_S
        return fresh and any(key.get("kid") == kid for key in cached.keys)

    def _refetch(self, url: str, cached: _Cached) -> None:
        keys = _download(self._session, url)
        if keys is not None:
            cached.keys, cached.fetched_s = keys, self._clock()


def load_jwks_file(issuer: TrustedIssuer) -> TrustedIssuer:
    """Return the issuer with the keys of its file inline. Raises SettingsError."""
    if issuer.jwks_file is None:
        return issuer
    where = f"issuer {issuer.iss}: {issuer.jwks_file}"
    try:
        jwks = json.loads(issuer.jwks_file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise SettingsError(f"{where}: cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise SettingsError(f"{where}: not a JWK set") from exc
    if _keys_of(jwks) is None:
        raise SettingsError(f"{where}: not a JWK set")
    return replace(issuer, jwks=jwks, jwks_file=None)


def _static(issuer: TrustedIssuer) -> Keys:
    return _keys_of(issuer.jwks) or ()


def _keys_of(jwks: Any) -> Keys | None:
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list):
        return None
    return tuple(
        {name: value for name, value in key.items() if name not in _PRIVATE}
        for key in keys
        if isinstance(key, dict)
    )


def _usable(key: Mapping[str, Any], algorithm: str) -> PyJWK:
    """Pin the algorithm to the key: its type, curve, size, ``alg`` and ``use`` must all fit."""
    if key.get("alg", algorithm) != algorithm or key.get("use", "sig") != "sig":
        raise Unauthenticated("key not for this algorithm")
    try:
        usable = PyJWK(dict(key), algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError) as exc:
        raise Unauthenticated("key unusable") from exc
    public = usable.key
    if algorithm.startswith("ES"):
        fits = isinstance(public, ec.EllipticCurvePublicKey) and isinstance(
            public.curve, _CURVES[algorithm]
        )
    elif algorithm[:2] in ("RS", "PS"):
        fits = isinstance(public, rsa.RSAPublicKey) and public.key_size >= _LEAST_RSA_BITS
    else:
        fits = key.get("kty") == "OKP"
    if not fits:
        raise Unauthenticated("key not for this algorithm")
    return usable


def _download(session: requests.Session, url: str) -> Keys | None:
    """Fetch a JWK set within fixed limits; None where it did not arrive whole and well-formed."""
    end_s = time.monotonic() + _TIME_OUT_S
    try:
        with (
            cut_after(_TIME_OUT_S),
            session.get(
                url,
                timeout=(_TIME_OUT_S, _TIME_OUT_S),
                stream=True,
                allow_redirects=False,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            ) as response,
        ):
            if response.status_code != 200:
                return None
            body = b""
            for chunk in response.iter_content(16_384):
                body += chunk
                if len(body) > _MOST_BYTES or time.monotonic() > end_s:
                    return None
    except requests.RequestException:
        return None
    try:
        return _keys_of(json.loads(body))
    except (ValueError, RecursionError):
        return None
