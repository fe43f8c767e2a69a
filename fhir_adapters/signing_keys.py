"""Our own private keys for SMART Backend Services, the JWK Set of their public halves, rotation.

A key is published before it signs and stays published after it has stopped: servers keep a JWK
Set in a cache, and would refuse a signature by a key that they have not seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from fhir_adapters.access_token import utc_now

Algorithm = Literal["RS384", "ES384"]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_RSA_BITS = 3072  # the least that is advised beyond 2030
_SHORTEST_RSA_BITS = 2048
_STAMP = "%Y%m%dT%H%M%SZ"
_FILE_NAME = re.compile(r"(\d{8}T\d{6}Z)-(RS384|ES384)\.pem")


class SigningKeyError(ValueError):
    """A private key of ours is missing or cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with the algorithm it signs by and its RFC 7638 thumbprint as ``kid``."""

    algorithm: Algorithm
    private_key: PrivateKey = field(repr=False)
    key_id: str

    @classmethod
    def generate(cls, algorithm: Algorithm) -> SigningKey:
        if algorithm == "RS384":
            return _signing_key(rsa.generate_private_key(65537, _RSA_BITS), "a new key")
        return _signing_key(ec.generate_private_key(ec.SECP384R1()), "a new key")

    @classmethod
    def from_pem(cls, pem: bytes, what: str = "the key") -> SigningKey:
        """Read an unencrypted PEM file. Raises SigningKeyError; ``what`` names the key in it."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            raise SigningKeyError(f"{what} is not an unencrypted private key in PEM form") from exc
        return _signing_key(key, what)

    def to_pem(self) -> bytes:
        return self.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def public_jwk(self) -> dict[str, Any]:
        """Return the public key as an entry of a JWK Set."""
        return {
            **_members(self.private_key.public_key()),
            "alg": self.algorithm,
            "use": "sig",
            "key_ops": ["verify"],
            "kid": self.key_id,
        }


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """Signing keys as files, one a key, whose names say when they were made.

    The files hold private keys: the folder belongs to the service's account alone.
    """

    directory: Path
    settle: timedelta = timedelta(hours=1)  # from publication to first use
    keep: timedelta = timedelta(days=7)  # from the last use to removal
    clock: Callable[[], datetime] = utc_now

    def rotate(self, algorithm: Algorithm) -> SigningKey:
        """Add a key and remove those that have long been replaced; return the new one.

        The new key signs after ``settle``, or at once if it is the first. Raises SigningKeyError.
        """
        now = self.clock()
        key = SigningKey.generate(algorithm)
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.directory / f"{now.strftime(_STAMP)}-{algorithm}.pem"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as exc:
            raise SigningKeyError(f"{path.name} was made within this very second") from exc
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.to_pem())
        self._remove_replaced(now, algorithm)
        return key

    def signing_key(self, algorithm: Algorithm) -> SigningKey:
        """Return the newest key that servers have had time to see. Raises SigningKeyError."""
        files = self._files(algorithm)
        if not files:
            raise SigningKeyError(f"{self.directory} holds no {algorithm} key")
        settled = [path for made, path in files if made + self.settle <= self.clock()]
        return _read(settled[-1] if settled else files[0][1])

    def jwk_set(self) -> dict[str, list[dict[str, Any]]]:
        """Return the document to publish at ``/.well-known/jwks.json``. Raises SigningKeyError."""
        files = sorted(path for name in get_args(Algorithm) for _, path in self._files(name))
        return {"keys": [_read(path).public_jwk() for path in files]}

    def _remove_replaced(self, now: datetime, algorithm: Algorithm) -> None:
        files = self._files(algorithm)
        for (_, path), (replaced_at, _) in pairwise(files):
            if replaced_at + self.settle + self.keep <= now:
                path.unlink()

    def _files(self, algorithm: Algorithm) -> list[tuple[datetime, Path]]:
        """Return the time of making and path of each key, oldest first."""
        found = []
        for path in self.directory.iterdir() if self.directory.is_dir() else ():
            name = _FILE_NAME.fullmatch(path.name)
            if name and name[2] == algorithm:
                found.append((datetime.strptime(name[1], _STAMP).replace(tzinfo=UTC), path))
        return sorted(found)


def _read(path: Path) -> SigningKey:
    try:
        return SigningKey.from_pem(path.read_bytes(), path.name)
    except OSError as exc:
        raise SigningKeyError(f"{path.name} cannot be read: {exc.strerror}") from exc


def _signing_key(key: object, what: str) -> SigningKey:
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < _SHORTEST_RSA_BITS:
            raise SigningKeyError(f"{what} is an RSA key of only {key.key_size} bits")
        return SigningKey("RS384", key, thumbprint(key.public_key()))
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return SigningKey("ES384", key, thumbprint(key.public_key()))
    raise SigningKeyError(f"{what} is neither an RSA key nor one on the curve P-384")


def thumbprint(key: PublicKey) -> str:
    """RFC 7638: the members in alphabetical order, without spaces, hashed by SHA-256."""
    members = json.dumps(_members(key), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(members.encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _members(key: PublicKey) -> dict[str, str]:
    if isinstance(key, rsa.RSAPublicKey):
        jwk = RSAAlgorithm.to_jwk(key, as_dict=True)
    else:
        jwk = ECAlgorithm.to_jwk(key, as_dict=True)
    return {name: str(jwk[name]) for name in ("kty", "n", "e", "crv", "x", "y") if name in jwk}
