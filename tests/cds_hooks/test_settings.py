"""Requirement 2 and the configuration: what may not go into service does not start."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from cds_hooks.errors import SettingsError
from cds_hooks.keys import new_key
from cds_hooks.settings import CoolDown, Settings, Thresholds, load_settings
from cds_hooks.trust import TrustedIssuer
from tests.cds_hooks import signing, world

GOOD = """
profile = "production"
tls = "proxy"
public_base_url = "https://cds.example.org/meam"
cors_origins = ["https://sandbox.cds-hooks.org"]
database_url = "sqlite:///var/x.sqlite"
deadline_ms = 400
explanation_life_h = 8

[thresholds]
card_from = 0.2

[[issuers]]
iss = "https://ehr.example.org/fhir"
algorithms = ["RS384"]
jku = ["https://ehr.example.org/jwks"]
audiences = ["meam"]
fhir_servers = ["https://ehr.example.org/fhir"]
"""


def _load(tmp_path: Path, text: str, **environ: str) -> Settings:
    file = tmp_path / "meam.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings({"MEAM_CONFIG": str(file), **environ})


def test_a_whole_file(tmp_path: Path) -> None:
    settings = _load(tmp_path, GOOD)
    assert settings.thresholds == Thresholds(card_from=0.2)
    assert settings.explanation_life_h == 8.0
    assert settings.issuers == (
        TrustedIssuer(
            iss="https://ehr.example.org/fhir",
            algorithms=("RS384",),
            jku=("https://ehr.example.org/jwks",),
            audiences=("meam",),
            fhir_servers=("https://ehr.example.org/fhir",),
        ),
    )
    assert settings.service_url("meam-risk") == (
        "https://cds.example.org/meam/cds-services/meam-risk"
    )


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    key = new_key()
    settings = _load(
        tmp_path,
        GOOD,
        MEAM_KEYS=f"{key}, {new_key()}",
        MEAM_DATABASE_URL="postgresql://db/meam?sslmode=verify-full",
        MEAM_CHECKPOINT="/srv/checkpoint",
    )
    assert settings.keys[0] == key
    assert settings.database_url == "postgresql://db/meam?sslmode=verify-full"
    assert settings.checkpoint == Path("/srv/checkpoint")
    assert key not in repr(settings)


WRONG = [
    ('profile = "live"', "profile: expected one of production, development, got 'live'"),
    ("deadline = 3", "deadline: no such setting"),
    ('deadline_ms = "3"', "deadline_ms: expected int, got str"),
    ("deadline_ms = true", "deadline_ms: expected int, got bool"),
    ("cors_origins = 'x'", "cors_origins: expected list, got str"),
    ("cors_origins = [1]", r"cors_origins\[0\]: expected str, got int"),
    ("thresholds = 1", "thresholds: expected dict"),
    ("[thresholds]\ncard = 1", "thresholds.card: no such setting"),
    ("[[issuers]]\nalgorithms = []", r"issuers\[0\]: iss must be set"),
    ("[[issuers]]\niss = 1", r"issuers\[0\].iss: expected str"),
    ("a =", "not TOML"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        _load(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read: No such file"):
        load_settings({"MEAM_CONFIG": str(tmp_path / "none.toml")})


def test_r2_without_any_settings_the_service_does_not_start() -> None:
    with pytest.raises(SettingsError, match='profile "production" needs TLS'):
        load_settings({})


ISSUER = TrustedIssuer(iss=signing.ISS, jku=("https://ehr.example.org/jwks",))
PRODUCTION = Settings(tls="proxy", public_base_url="https://cds.example.org", issuers=(ISSUER,))

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tls": "none"}, "needs TLS"),
    ({"tls": "direct"}, "needs tls_certificate and tls_key"),
    ({"public_base_url": "http://cds.example.org"}, "expected https"),
    ({"mode_auth": "open"}, "for the development profile only"),
    ({"issuers": ()}, r"at least one \[\[issuers\]\]"),
    ({"issuers": (ISSUER, ISSUER)}, "the same iss stands in two tables"),
    ({"open_fhir_servers": ("http://fhir.example.org",)}, "expected https"),
    ({"open_fhir_servers": ("https://fhir.example.org/?x",)}, "not a plain http or https URL"),
    ({"thresholds": Thresholds(0.5, 0.4, 0.6)}, "card_from <= warning_from"),
    ({"compute_reserve_ms": 500}, "compute_reserve_ms < deadline_ms"),
    ({"hard_limit_ms": 100}, "deadline_ms <= hard_limit_ms"),
    ({"display_time_zone": "Mars/Olympus"}, "no such time zone"),
]


NAN, INFINITE = float("nan"), float("inf")
NUMBERS_REFUSED: list[tuple[str, float, str]] = [
    *(
        (name, value, "expected more than 0 and at most")
        for name in (
            "keep_cards_days",
            "sentence_cache_days",
            "explanation_life_h",
            "stale_after_h",
        )
        for value in (-1.0, 0.0, 1e9, NAN, INFINITE)
    ),
    *(("drift_from", value, "expected a finite number above 0") for value in (0.0, NAN, INFINITE)),
    *((name, -1, "expected 0 or more") for name in ("max_waiting_hooks", "max_wait_ms")),
    *((name, 0, "expected 1 or more") for name in ("fhir_connections", "workers", "read_limit_ms")),
]


def test_production_with_tls_and_an_issuer_starts() -> None:
    PRODUCTION.check()


@pytest.mark.parametrize(("name", "value", "allowed"), NUMBERS_REFUSED)
def test_a_number_without_meaning_does_not_start(name: str, value: float, allowed: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: {allowed}") as refusal:
        dataclasses.replace(PRODUCTION, **{name: value}).check()
    assert str(refusal.value).endswith(f"got {value}")
    assert refusal.value.setting == name


@pytest.mark.parametrize("hours", [-1.0, NAN, INFINITE])
def test_a_cool_down_without_an_end_does_not_start(hours: float) -> None:
    with pytest.raises(SettingsError, match=rf"cool_down: expected 0 <= hours .* got {hours}"):
        dataclasses.replace(PRODUCTION, cool_down=CoolDown(hours=hours)).check()


def test_nobody_has_to_wait_for_a_place() -> None:
    dataclasses.replace(PRODUCTION, max_waiting_hooks=0, max_wait_ms=0).check()


def test_a_service_without_a_hook_does_not_start() -> None:
    with pytest.raises(SettingsError, match="hooks: expected one hook or more, got an empty list"):
        dataclasses.replace(PRODUCTION, hooks=()).check()


def test_only_what_is_asked_for_can_be_missing_quietly() -> None:
    with pytest.raises(SettingsError, match=r"bedside, .*, got 'labratory'") as refusal:
        dataclasses.replace(PRODUCTION, quiet_despite_missing=("notes", "labratory")).check()
    assert refusal.value.setting == "quiet_despite_missing[1]"
    assert refusal.value.fix == "did you mean laboratory?"
    with pytest.raises(SettingsError, match="got 'deviceData-survey'"):
        dataclasses.replace(PRODUCTION, quiet_despite_missing=("deviceData-survey",)).check()


def test_every_key_that_is_asked_for_may_be_missing_quietly() -> None:
    keys = ("laboratory", "deviceData-survey", "orders", "tasks", "compositions", "devices")
    dataclasses.replace(
        PRODUCTION, device_categories=("survey",), quiet_despite_missing=keys
    ).check()


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_r2_r25_unsafe_settings_do_not_start(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        dataclasses.replace(PRODUCTION, **changes).check()


ISSUERS_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"iss": ""}, "iss must not be empty"),
    ({"algorithms": ("HS256",)}, "algorithms"),
    ({"algorithms": ("none",)}, "algorithms"),
    ({"algorithms": ()}, "algorithms"),
    ({"jku": ()}, "one of jku, jwks_file and jwks"),
    ({"jku": ("http://ehr.example.org/jwks",)}, "expected https"),
    ({"fhir_servers": ("http://ehr.example.org",)}, "expected https"),
]


@pytest.mark.parametrize(("changes", "message"), ISSUERS_REFUSED)
def test_r69_unsafe_issuers_do_not_start(changes: dict[str, Any], message: str) -> None:
    issuer = dataclasses.replace(ISSUER, **changes)
    with pytest.raises(SettingsError, match=message):
        dataclasses.replace(PRODUCTION, issuers=(issuer,)).check()


def test_keys_from_a_file(tmp_path: Path) -> None:
    file, key = tmp_path / "keys", new_key()
    file.touch(mode=0o600)
    file.write_text(f"# current first\n{key}\n{new_key()}\n")
    ring = dataclasses.replace(PRODUCTION, key_file=file).key_ring()
    assert len(ring.key_ids) == 2


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(new_key())
    file.chmod(0o640)
    with pytest.raises(SettingsError, match="others than the owner may read"):
        dataclasses.replace(PRODUCTION, key_file=file).key_ring()


def test_production_makes_no_keys_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    with pytest.raises(SettingsError, match="cannot be read"):
        dataclasses.replace(PRODUCTION, key_file=file).key_ring()
    with pytest.raises(SettingsError, match="no keys"):
        PRODUCTION.key_ring()
    assert not file.exists()


def test_development_makes_a_key_file_for_its_owner(tmp_path: Path) -> None:
    settings = world.settings(tmp_path)
    first = settings.key_ring().key_ids
    assert settings.key_file is not None
    assert settings.key_file.stat().st_mode & 0o777 == 0o600
    assert settings.key_ring().key_ids == first


def test_a_jwks_file_that_is_none_is_refused(tmp_path: Path) -> None:
    from cds_hooks.jwks import load_jwks_file

    file = tmp_path / "jwks.json"
    issuer = dataclasses.replace(ISSUER, jku=(), jwks_file=file)
    with pytest.raises(SettingsError, match="cannot be read"):
        load_jwks_file(issuer)
    for text in ("", "[]", json.dumps({"keys": 1})):
        file.write_text(text)
        with pytest.raises(SettingsError, match="not a JWK set"):
            load_jwks_file(issuer)


def test_the_example_file_is_valid() -> None:
    example = Path(__file__).parent.parent.parent / "cds_hooks" / "settings.example.toml"
    settings = load_settings({"MEAM_CONFIG": str(example)})
    assert settings.production
    assert [issuer.iss.rpartition(".")[2] for issuer in settings.issuers] == [
        "example/api/FHIR/R4",
        "example",
        "org",
    ]
