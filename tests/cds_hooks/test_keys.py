"""The key ring and its file: what is encrypted, with which key, and where it may stand."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from cds_hooks.errors import CiphertextRefused, CommandError, KeyLost, SettingsError
from cds_hooks.key_file import keys_of, make_key_file, rotate_key_file
from cds_hooks.keys import HEAD_BYTES, KeyRing, head_of, key_id_of, new_key, signature

OLD, NEW = new_key(), new_key()
PLACE = "explanations.payload 4e0a3a1e"
# A known answer, computed apart from KeyRing: AES-256-GCM under HKDF-SHA256 of 32 zero bytes.
ZERO_KEY = "A" * 43 + "="


def test_a_known_ciphertext_is_read() -> None:
    ring = KeyRing([ZERO_KEY])
    (key_id,) = ring.key_ids
    head, nonce = b"M2" + bytes.fromhex(key_id), bytes(12)
    derived = ring.secret("encryption at rest")
    known = head + nonce + AESGCM(derived).encrypt(nonce, b"text", head + PLACE.encode())
    assert ring.decrypt(known, PLACE) == b"text"


def test_the_same_text_never_looks_the_same() -> None:
    ring = KeyRing([OLD])
    assert len({ring.encrypt(b"text", PLACE) for _ in range(100)}) == 100


def test_a_ciphertext_names_its_key_and_not_its_content() -> None:
    ring = KeyRing([NEW, OLD])
    sealed = ring.encrypt(b"text", PLACE)
    assert key_id_of(sealed) == ring.key_ids[0]
    assert sealed.startswith(head_of(ring.key_ids[0]))
    assert b"text" not in sealed
    assert key_id_of(b"gAAAAA") is None


def test_the_first_key_writes_and_all_keys_read() -> None:
    old, ring = KeyRing([OLD]), KeyRing([NEW, OLD])
    assert ring.decrypt(old.encrypt(b"text", PLACE), PLACE) == b"text"
    assert KeyRing([NEW]).decrypt(ring.encrypt(b"text", PLACE), PLACE) == b"text"


def test_a_lost_key_is_named() -> None:
    old, new = KeyRing([OLD]), KeyRing([NEW])
    with pytest.raises(KeyLost) as caught:
        new.decrypt(old.encrypt(b"text", PLACE), PLACE)
    assert str(caught.value) == (
        f"{PLACE} is encrypted with key {old.key_ids[0]}, which is not in the key ring"
        f" (present: {new.key_ids[0]})"
    )


def test_another_place_is_refused() -> None:
    ring = KeyRing([OLD])
    with pytest.raises(CiphertextRefused, match="were changed since they were encrypted with key"):
        ring.decrypt(ring.encrypt(b"text", PLACE), "feedback.comment 4e0a3a1e")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_changed_ciphertext_is_refused(data: st.DataObject) -> None:
    ring = KeyRing([OLD])
    sealed = bytearray(ring.encrypt(b"some text", PLACE))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, 3))
    with pytest.raises((CiphertextRefused, KeyLost)):
        ring.decrypt(bytes(sealed[: len(sealed) - cut]), PLACE)


@pytest.mark.parametrize("length", [0, 1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 12])
def test_a_short_ciphertext_is_refused(length: int) -> None:
    ring = KeyRing([OLD])
    with pytest.raises(CiphertextRefused):
        ring.decrypt(ring.encrypt(b"", PLACE)[:length], PLACE)


@pytest.mark.parametrize(
    ("keys", "message"),
    [((), "empty"), (("a b",), "not URL-safe base64"), (("YWJj",), "3 bytes, expected 32")],
)
def test_keys_that_are_none_are_refused(keys: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        KeyRing(keys)


def test_a_signature_is_hmac_sha256() -> None:
    # RFC 4231, test case 2
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert signature(b"Jefe", b"what do ya want for nothing?") == expected


def test_purposes_have_keys_of_their_own() -> None:
    ring = KeyRing([OLD])
    assert ring.secret("a") != ring.secret("b")
    with pytest.raises(KeyLost, match="key 000000000000 is not in the key ring"):
        ring.secret("a", "000000000000")


def test_rotation_puts_a_key_in_front_and_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.touch(0o600)
    path.write_text(f"# made in November\n{OLD}\n")
    before = KeyRing(keys_of(path.read_text())).key_ids
    ring = rotate_key_file(path)
    assert ring.key_ids[1:] == before
    assert KeyRing(keys_of(path.read_text())).key_ids == ring.key_ids
    assert "# made in November" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_rotation_gives_the_file_back_to_the_service(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    path = tmp_path / "keys"
    make_key_file(path)
    os.chown(path, 12345, 12345)
    rotate_key_file(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12345)


def test_a_file_that_others_may_read_is_not_rotated(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    make_key_file(path)
    path.chmod(0o640)
    before = path.read_text()
    with pytest.raises(CommandError, match="chmod 600"):
        rotate_key_file(path)
    assert path.read_text() == before


def test_what_a_killed_rotation_left_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    make_key_file(path)
    (tmp_path / ".keys.new").write_text("half a k")
    assert len(rotate_key_file(path).key_ids) == 2
    assert list(tmp_path.iterdir()) == [path]
