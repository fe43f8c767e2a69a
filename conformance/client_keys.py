"""The suite as a CDS client: its key, its JWK Set, and JWTs, right ones and wrong ones."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

_LIFE_S = 300
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class KeyFileError(Exception):
    """The private key cannot be used; the message is one sentence."""


def read_key(path: Path) -> PrivateKey:
    """Read a private key (PEM, without password): EC P-384, or RSA. Raises KeyFileError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as exc:
        raise KeyFileError(f"{path} holds no private key in PEM without password.") from exc
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp384r1":
        return key
    if isinstance(key, rsa.RSAPrivateKey):
        return key
    raise KeyFileError(f"{path}: expected an EC key on P-384 (ES384) or an RSA key (RS384).")


def new_key() -> PrivateKey:
    """Make an ES384 key."""
    return ec.generate_private_key(ec.SECP384R1())


@dataclass(frozen=True)
class ClientKeys:
    """Who the suite says it is. ``jku`` "": the service was given our JWK Set in another way."""

    issuer: str
    key: PrivateKey = field(repr=False)
    kid: str
    jku: str = ""
    tenant: str = ""

    @property
    def algorithm(self) -> str:
        """ES384 or RS384, as the key is."""
        return "RS384" if isinstance(self.key, rsa.RSAPrivateKey) else "ES384"

    @cached_property
    def other(self) -> PrivateKey:
        """A key of the same kind that nobody knows."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return rsa.generate_private_key(65537, 2048)
        return new_key()

    def jwk_set(self, *, other: bool = False) -> dict[str, Any]:
        """Return the public half, as it is served to services."""
        key = self.other if other else self.key
        members = jwt.get_algorithm_by_name(self.algorithm).to_jwk(key.public_key(), as_dict=True)
        return {"keys": [{**members, "kid": self.kid, "use": "sig", "alg": self.algorithm}]}

    def token(self, audience: str, change: Mapping[str, Any]) -> str:
        """Sign a JWT for an address, changed as a case says.

        ``change``: ``claims`` and ``header`` (null leaves one out, {"offset_s": n} is a time from
        now), ``key`` "other", ``alg`` "none" or "HS256", ``altered`` for claims that are changed
        after signing.
        """
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": audience,
            "iat": now,
            "exp": now + _LIFE_S,
            "jti": str(uuid.uuid4()),
        }
        if self.tenant:
            claims["tenant"] = self.tenant
        claims = _changed(claims, change.get("claims", {}), now, audience)
        header: dict[str, Any] = {"kid": self.kid, "typ": "JWT"}
        if self.jku:
            header["jku"] = self.jku
        header = _changed(header, change.get("header", {}), now, audience)
        if "alg" in change:
            return self._weak(change["alg"], header, claims)
        signer = self.other if change.get("key") == "other" else self.key
        token = _signed(claims, signer, self.algorithm, header)
        return _altered(token) if change.get("altered") else token

    def _weak(self, alg: str, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        signed = f"{_encoded({**header, 'alg': alg})}.{_encoded(claims)}"
        if alg == "none":
            return f"{signed}."
        # The confusion attack: what everybody can read, the public key, as the shared secret.
        pem = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = hmac.new(pem, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{_base64(digest)}"


def _signed(
    claims: Mapping[str, Any], key: PrivateKey, algorithm: str, header: Mapping[str, Any]
) -> str:
    """Sign by hand: a library would refuse to write what some cases need."""
    text = f"{_encoded({'alg': algorithm, **header})}.{_encoded(claims)}"
    signature = jwt.get_algorithm_by_name(algorithm).sign(text.encode(), key)
    return f"{text}.{_base64(signature)}"


def _changed(
    members: Mapping[str, Any], change: Mapping[str, Any], now: int, audience: str
) -> dict[str, Any]:
    whole = dict(members)
    for name, value in change.items():
        if value is None:
            whole.pop(name, None)
        elif isinstance(value, dict):
            whole[name] = now + int(value["offset_s"])
        elif value == ["{{audience}}"]:
            whole[name] = [audience]
        else:
            whole[name] = value
    return whole


def _altered(token: str) -> str:
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return f"{header}.{_encoded({**claims, 'jti': str(uuid.uuid4())})}.{signature}"


def _encoded(value: Mapping[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
