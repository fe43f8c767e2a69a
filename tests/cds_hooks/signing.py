"""An EHR's keys and JWTs, for tests."""

from __future__ import annotations

import json
import uuid
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.cds_hooks import world

ISS = "https://ehr.example.org/fhir"
BASE = "https://cds.example.org"
URL = f"{BASE}/cds-services/meam-risk"
KID = "a+b/c="  # as Epic writes them


@cache
def ec_key(curve: str = "P-384") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key({"P-384": ec.SECP384R1(), "P-256": ec.SECP256R1()}[curve])


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def jwk(key: Any, kid: str = KID, **members: Any) -> dict[str, Any]:
    algorithm = (
        jwt.algorithms.RSAAlgorithm if hasattr(key, "decrypt") else jwt.algorithms.ECAlgorithm
    )
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", **members}


def public_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem


def claims(**changes: Any) -> dict[str, Any]:
    now = int(world.NOW.timestamp())
    whole = {
        "iss": ISS,
        "aud": URL,
        "iat": now,
        "exp": now + 300,
        "jti": str(uuid.uuid4()),
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def token(
    key: Any = None, algorithm: str = "ES384", header: dict[str, Any] | None = None, **changes: Any
) -> str:
    """A JWT; a claim or header that is None is left out."""
    whole = {"typ": "JWT", "kid": KID, **(header or {})}
    return jwt.encode(claims(**changes), key or ec_key(), algorithm, headers=whole)


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}
