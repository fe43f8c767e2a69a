"""The EHR's signing key, its public JWK Set, and the JWT that goes with every call."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

JWKS_PATH = "/.well-known/jwks.json"
_ALGORITHM = "ES384"
_LIFE = timedelta(minutes=5)  # as the CDS Hooks Sandbox does it


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its name in the JWK Set."""

    private: ec.EllipticCurvePrivateKey
    kid: str

    def jwk_set(self) -> dict[str, Any]:
        """Return the public half as a JWK Set."""
        jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.private.public_key()))
        return {"keys": [{**jwk, "kid": self.kid, "use": "sig", "alg": _ALGORITHM}]}


@dataclass(frozen=True, slots=True)
class SignedCall:
    """A JWT, with the header and claims that it carries for those who inspect the exchange."""

    token: str
    header: dict[str, Any]
    claims: dict[str, Any]


def new_signing_key() -> SigningKey:
    """Make a key for this run of the EHR."""
    return SigningKey(ec.generate_private_key(ec.SECP384R1()), str(uuid.uuid4()))


def sign_call(key: SigningKey, issuer: str, audience: str) -> SignedCall:
    """Sign one call to ``audience``, the exact address that is called."""
    now = datetime.now(UTC)
    claims = {
        "iss": issuer,
        "aud": audience,
        "iat": int(now.timestamp()),
        "exp": int((now + _LIFE).timestamp()),
        "jti": str(uuid.uuid4()),
    }
    header = {"alg": _ALGORITHM, "kid": key.kid, "typ": "JWT", "jku": issuer + JWKS_PATH}
    token = jwt.encode(claims, key.private, algorithm=_ALGORITHM, headers=header)
    return SignedCall(token, header, claims)
