"""The key ring: encryption at rest, signatures of links and of the audit chain, key rotation.

One ring holds one or more Fernet keys. The first key encrypts and signs; all of them decrypt and
verify, so that a new key can be put in front while old data are still readable. Every purpose has
a key of its own, derived by HKDF, so that a signature for one purpose is worth nothing in another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cds_hooks.errors import KeyLost, SettingsError


class KeyRing:
    """Keys in order: the first one is used for new data, all are tried for old data."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise SettingsError("the key ring is empty; at least one Fernet key is needed")
        self._raw = [_decoded(key, position) for position, key in enumerate(keys)]
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(raw)) for raw in self._raw])
        self._by_id = {_key_id(raw): raw for raw in self._raw}

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Fingerprints of the keys, the current one first. They give nothing of the key away."""
        return tuple(self._by_id)

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt and authenticate with the current key."""
        return self._fernet.encrypt(data)

    def decrypt(self, token: bytes) -> bytes:
        """Return the data. Raises KeyLost if no key of the ring made this token."""
        try:
            return self._fernet.decrypt(token)
        except InvalidToken as exc:
            raise KeyLost(
                "stored data cannot be decrypted: its key is not in the key ring"
                f" (present: {', '.join(self.key_ids)}), or the data were changed"
            ) from exc

    def rotate(self, token: bytes) -> bytes:
        """Return the same data, encrypted with the current key."""
        return self._fernet.encrypt(self.decrypt(token))

    def signature(self, purpose: str, data: bytes, *, key_id: str | None = None) -> str:
        """HMAC-SHA256 in hex for one purpose. Raises KeyLost if the named key is not here."""
        name = key_id or self.key_ids[0]
        if name not in self._by_id:
            raise KeyLost(f"key {name} is not in the key ring (present: {', '.join(self.key_ids)})")
        return hmac.new(_derived(self._by_id[name], purpose), data, hashlib.sha256).hexdigest()

    def signing_secrets(self, purpose: str) -> list[bytes]:
        """Secrets for itsdangerous, which wants the oldest first and signs with the last."""
        return [_derived(raw, purpose) for raw in reversed(self._raw)]


def new_key() -> str:
    """Make a fresh key in the form that settings and key files hold."""
    return Fernet.generate_key().decode("ascii")


def _decoded(key: str, position: int) -> bytes:
    try:
        raw = base64.b64decode(key.strip().encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise SettingsError(f"key {position + 1} of the key ring is not URL-safe base64") from exc
    if len(raw) != 32:
        raise SettingsError(f"key {position + 1} of the key ring has {len(raw)} bytes, expected 32")
    return raw


def _key_id(raw: bytes) -> str:
    return hashlib.sha256(b"meam key id" + raw).hexdigest()[:12]


def _derived(raw: bytes, purpose: str) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=purpose.encode("utf-8")).derive(raw)
