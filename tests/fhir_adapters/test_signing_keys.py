"""Our signing keys: JWK Set, thumbprints, files and rotation."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fhir_adapters.signing_keys import Algorithm, KeyFolder, SigningKey, SigningKeyError, thumbprint

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def pem(key: Any) -> bytes:
    made: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made


class Clock:
    now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path, clock: Clock) -> KeyFolder:
    return KeyFolder(tmp_path / "keys", clock=clock)


@pytest.mark.parametrize("algorithm", get_args(Algorithm))
def test_a_jwk_verifies_what_its_key_signs_and_holds_nothing_private(algorithm: Algorithm) -> None:
    key = SigningKey.generate(algorithm)
    published = json.loads(json.dumps(key.public_jwk()))
    assert not PRIVATE_MEMBERS & published.keys()
    signed = jwt.encode({"a": 1}, key.private_key, algorithm=algorithm)
    assert jwt.decode(signed, jwt.PyJWK(published), algorithms=[algorithm]) == {"a": 1}
    assert published["alg"] == algorithm
    assert published["kid"] == key.key_id


def test_the_key_id_is_the_thumbprint_of_rfc_7638() -> None:
    # The key and the thumbprint are those of RFC 7638, section 3.1.
    modulus = jwt.utils.base64url_decode(
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_B"
        "JECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_F"
        "DW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4"
        "vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    numbers = rsa.RSAPublicNumbers(65537, int.from_bytes(modulus, "big"))
    assert thumbprint(numbers.public_key()) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("algorithm", get_args(Algorithm))
def test_a_key_survives_its_pem_file(algorithm: Algorithm) -> None:
    key = SigningKey.generate(algorithm)
    assert SigningKey.from_pem(key.to_pem()).public_jwk() == key.public_jwk()
    assert "private_key" not in repr(key)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an unencrypted private key in PEM form"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not an unencrypted"),
        (pem(rsa.generate_private_key(65537, 1024)), "an RSA key of only 1024 bits"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "nor one on the curve P-384"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "neither an RSA key nor one on the curve"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_with_its_name(content: bytes, message: str) -> None:
    with pytest.raises(SigningKeyError, match=f"^backend.pem is .*{message}"):
        SigningKey.from_pem(content, "backend.pem")


def test_an_encrypted_key_is_refused() -> None:
    encrypted = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    with pytest.raises(SigningKeyError, match="not an unencrypted"):
        SigningKey.from_pem(encrypted)


def test_the_first_key_signs_at_once(folder: KeyFolder) -> None:
    key = folder.rotate("ES384")
    assert folder.signing_key("ES384").key_id == key.key_id


def test_a_new_key_is_published_before_it_signs(folder: KeyFolder, clock: Clock) -> None:
    old = folder.rotate("ES384")
    clock.now = NOON + timedelta(days=30)
    new = folder.rotate("ES384")
    assert [jwk["kid"] for jwk in folder.jwk_set()["keys"]] == [old.key_id, new.key_id]
    assert folder.signing_key("ES384").key_id == old.key_id
    clock.now += folder.settle
    assert folder.signing_key("ES384").key_id == new.key_id


def test_a_replaced_key_stays_published_for_a_while_and_is_then_removed(
    folder: KeyFolder, clock: Clock
) -> None:
    old = folder.rotate("ES384")
    clock.now = NOON + timedelta(days=30)
    new = folder.rotate("ES384")
    clock.now += folder.settle + folder.keep - timedelta(seconds=1)
    third = folder.rotate("ES384")
    assert {jwk["kid"] for jwk in folder.jwk_set()["keys"]} == {
        old.key_id,
        new.key_id,
        third.key_id,
    }
    clock.now += timedelta(days=1)
    folder.rotate("ES384")
    assert old.key_id not in {jwk["kid"] for jwk in folder.jwk_set()["keys"]}
    assert new.key_id in {jwk["kid"] for jwk in folder.jwk_set()["keys"]}


def test_both_algorithms_are_published_side_by_side(folder: KeyFolder) -> None:
    folder.rotate("ES384")
    folder.rotate("RS384")
    assert {jwk["alg"] for jwk in folder.jwk_set()["keys"]} == {"ES384", "RS384"}
    assert folder.signing_key("RS384").algorithm == "RS384"


def test_key_files_belong_to_their_owner_alone(folder: KeyFolder) -> None:
    folder.rotate("ES384")
    (path,) = folder.directory.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.directory.stat().st_mode & 0o777 == 0o700


def test_two_rotations_in_one_second_do_not_overwrite_a_key(folder: KeyFolder) -> None:
    folder.rotate("ES384")
    with pytest.raises(SigningKeyError, match="made within this very second"):
        folder.rotate("ES384")


def test_a_folder_without_keys_is_an_error_of_its_own(folder: KeyFolder) -> None:
    with pytest.raises(SigningKeyError, match="holds no RS384 key"):
        folder.signing_key("RS384")
    assert folder.jwk_set() == {"keys": []}
