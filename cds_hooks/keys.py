"""The key ring: encryption at rest, signatures of links and of the audit chain.

One ring holds one or more keys of 32 bytes. The first key encrypts and signs; all of them decrypt
and verify, so that a new key can be put in front while old data are still readable. Every purpose
has a key of its own, derived by HKDF, so that a signature for one purpose is worth nothing in
another.

Data are encrypted with AES-256-GCM. A ciphertext names its key and is bound to the place where it
stands (table, column, row): moved to another row it is refused. Nonces are random, which bounds one
key to 2**32 messages (NIST SP 800-38D): five years of 25 hooks a second.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cds_hooks.errors import CiphertextRefused, KeyLost, SettingsError

_MARK = b"M2"  # the second form of ciphertexts; Fernet tokens were the first
_KEY_ID_BYTES = 6
HEAD_BYTES = len(_MARK) + _KEY_ID_BYTES  # mark and key id stand in front of each ciphertext
_NONCE_BYTES = 12
_SHORTEST = HEAD_BYTES + _NONCE_BYTES + 16  # with the tag, and nothing in it
_AT_REST = "encryption at rest"


class KeyRing:
    """Keys in order: the first one is used for new data, all of them for old data."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise SettingsError("the key ring is empty; at least one key is needed")
        self._raw = [_decoded(key, position) for position, key in enumerate(keys)]
        self._by_id = {_key_id(raw): raw for raw in self._raw}
        self._ciphers = {name: AESGCM(_derived(raw, _AT_REST)) for name, raw in self._by_id.items()}

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Fingerprints of the keys, the current one first. They give nothing of the key away."""
        return tuple(self._by_id)

    def encrypt(self, data: bytes, place: str) -> bytes:
        """Encrypt and authenticate with the current key, for one place (see tables.place)."""
        current = self.key_ids[0]
        head = head_of(current)
        nonce = os.urandom(_NONCE_BYTES)
        return head + nonce + self._ciphers[current].encrypt(nonce, data, _bound(head, place))

    def decrypt(self, ciphertext: bytes, place: str) -> bytes:
        """Return the data. Raises KeyLost, and CiphertextRefused where it was changed or moved."""
        name = key_id_of(ciphertext)
        if name is None or len(ciphertext) < _SHORTEST:
            raise CiphertextRefused(f"{place}: this is not a ciphertext of this program")
        if name not in self._ciphers:
            raise KeyLost(
                f"{place} is encrypted with key {name}, which is not in the key ring"
                f" (present: {', '.join(self.key_ids)})"
            )
        head, rest = ciphertext[:HEAD_BYTES], ciphertext[HEAD_BYTES:]
        nonce, sealed = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        try:
            return self._ciphers[name].decrypt(nonce, sealed, _bound(head, place))
        except InvalidTag as exc:
            raise CiphertextRefused(
                f"{place}: the stored data were changed since they were encrypted with key {name},"
                " or belong to another row"
            ) from exc

    def decrypt_first_form(self, token: bytes) -> bytes | None:
        """Read a token of schema version 1; None if no key of the ring made it."""
        fernets = [Fernet(base64.urlsafe_b64encode(raw)) for raw in self._raw]
        try:
            return MultiFernet(fernets).decrypt(token)
        except InvalidToken:
            return None

    def secret(self, purpose: str, key_id: str | None = None) -> bytes:
        """The key of one purpose. Raises KeyLost if the named key is not here."""
        name = key_id or self.key_ids[0]
        if name not in self._by_id:
            raise KeyLost(f"key {name} is not in the key ring (present: {', '.join(self.key_ids)})")
        return _derived(self._by_id[name], purpose)

    def signing_secrets(self, purpose: str) -> list[bytes]:
        """Secrets for itsdangerous, which wants the oldest first and signs with the last."""
        return [_derived(raw, purpose) for raw in reversed(self._raw)]


def new_key() -> str:
    """Make a fresh key in the form that settings and key files hold."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode("ascii")


def signature(secret: bytes, data: bytes) -> str:
    """HMAC-SHA256 in hex."""
    return hmac.new(secret, data, hashlib.sha256).hexdigest()


def head_of(key_id: str) -> bytes:
    """What every ciphertext of this key begins with."""
    return _MARK + bytes.fromhex(key_id)


def key_id_of(ciphertext: bytes) -> str | None:
    """Name the key of a ciphertext; None if it is none of ours. ``ciphertext`` may be a head."""
    if not ciphertext.startswith(_MARK) or len(ciphertext) < HEAD_BYTES:
        return None
    return ciphertext[len(_MARK) : HEAD_BYTES].hex()


def _bound(head: bytes, place: str) -> bytes:
    return head + place.encode("utf-8")


def _decoded(key: str, position: int) -> bytes:
    try:
        raw = base64.b64decode(key.strip().encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise SettingsError(f"key {position + 1} of the key ring is not URL-safe base64") from exc
    if len(raw) != 32:
        raise SettingsError(f"key {position + 1} of the key ring has {len(raw)} bytes, expected 32")
    return raw


def _key_id(raw: bytes) -> str:
    return hashlib.sha256(b"meam key id" + raw).hexdigest()[: 2 * _KEY_ID_BYTES]


def _derived(raw: bytes, purpose: str) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=purpose.encode("utf-8")).derive(raw)
