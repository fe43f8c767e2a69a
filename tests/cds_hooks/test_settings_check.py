"""``meam check-settings`` and the profiles of EHRs: every fault with its line and its fix."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from cds_hooks.cli import main
from cds_hooks.ehr_profiles import profile_names, read_profile
from cds_hooks.errors import SettingsError
from cds_hooks.settings import Settings, load_settings
from cds_hooks.settings_check import Fault, check_settings, line_of
from cds_hooks.trust import TrustedIssuer

GOOD = """\
public_base_url = "https://cds.hospital.example"
tls = "proxy"

[[issuers]]
iss = "https://ehr.hospital.example"
jku = ["https://ehr.hospital.example/jwks"]

[[issuers]]
profile = "cds-hooks-sandbox"

[thresholds]
card_from = 0.2
"""


def _faults(tmp_path: Path, text: str) -> list[Fault]:
    file = tmp_path / "meam.toml"
    file.write_text(text)
    return check_settings(file)


def test_a_good_file_has_no_fault(tmp_path: Path) -> None:
    assert _faults(tmp_path, GOOD) == []


CASES = [
    ('tls = "proxy"', 'tls = "none"', 2, 'profile "production" needs TLS', 'tls = "proxy"'),
    ('tls = "proxy"', "tls = 1", 2, "tls: expected one of none, proxy, direct", ""),
    ('tls = "proxy"', 'tsl = "proxy"', 2, "tsl: no such setting", "did you mean tls?"),
    ('"https://cds.', '"http://cds.', 1, "expected https", "beginning with https://"),
    ("jku = [", "jkus = [", 6, "issuers[0].jkus: no such setting", "did you mean jku?"),
    ('"https://ehr.hospital.example/jwks"', '"http://x/jwks"', 6, "expected https", "https"),
    ("iss = ", "# iss = ", 4, "issuers[0]: iss must be set", ""),
    ('"cds-hooks-sandbox"', '"sandbox"', 9, "there is no profile 'sandbox'", "name one of these"),
    ('"cds-hooks-sandbox"', '"epic"', 8, "the profile epic needs iss", "ask the Epic team"),
    ("card_from = 0.2", "card_from = 2.0", 11, "card_from <= warning_from", "this order"),
    ("card_from = 0.2", 'card_from = "x"', 12, "thresholds.card_from: expected float", ""),
    ("card_from = 0.2", "card_from = ", 12, "not TOML", ""),
    ("[[issuers]]\niss", "hooks = []\n[[issuers]]\niss", 4, "hooks: expected one hook", "leave it"),
    (
        *("[[issuers]]\niss", "stale_after_h = nan\n[[issuers]]\niss", 4),
        *("stale_after_h: expected more than 0 and at most 876000, got nan", ""),
    ),
    (
        *("[[issuers]]\niss", 'quiet_despite_missing = ["labratory"]\n[[issuers]]\niss', 4),
        *("got 'labratory'", "did you mean laboratory?"),
    ),
]


@pytest.mark.parametrize(("old", "new", "line", "message", "fix"), CASES)
def test_each_fault_has_its_line_and_its_fix(
    tmp_path: Path, old: str, new: str, line: int, message: str, fix: str
) -> None:
    assert old in GOOD
    found = [
        fault for fault in _faults(tmp_path, GOOD.replace(old, new)) if message in fault.message
    ]
    assert [fault.line for fault in found] == [line]
    assert fix in found[0].fix


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('"proxy"', '"none"').replace("card_from", "card_form")
    text = text.replace('iss = "https', 'algorithms = ["HS256"]\niss = "https')
    faults = _faults(tmp_path, text)
    assert [fault.line for fault in faults] == [2, 5, 13]


def test_files_that_are_named_have_to_be_there(tmp_path: Path) -> None:
    faults = _faults(tmp_path, 'key_file = "/nowhere/keys"\nconcept_map = "/nowhere/map"\n' + GOOD)
    assert [(fault.line, fault.message.partition(":")[0]) for fault in faults] == [
        (1, "key_file"),
        (2, "concept_map"),
    ]
    assert faults[0].fix == "meam keys generate --out /nowhere/keys"


def test_the_command_lists_faults_and_fails(tmp_path: Path) -> None:
    file = tmp_path / "meam.toml"
    file.write_text(GOOD.replace('"proxy"', '"none"'))
    done = CliRunner().invoke(main, ["check-settings", str(file)])
    assert done.exit_code == 1
    assert f"{file}:2: profile" in done.output
    assert 'fix: tls = "proxy"' in done.output
    assert "has 1 fault." in done.output
    file.write_text(GOOD)
    done = CliRunner().invoke(main, ["check-settings", str(file)])
    assert (done.exit_code, done.output) == (0, f"{file} has no fault.\n")


def test_the_example_names_only_files_that_an_operator_makes() -> None:
    example = Path(__file__).parent.parent.parent / "cds_hooks" / "settings.example.toml"
    assert [fault.message.partition(":")[0] for fault in check_settings(example)] == ["key_file"]


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("tls", 2),
        ("issuers", 4),
        ("issuers[0].jku[0]", 6),
        ("issuers[1]", 8),
        ("issuers[1].profile", 9),
        ("issuers[1].jku", 8),
        ("thresholds.card_from", 12),
        ("mode", None),
        ("", None),
    ],
)
def test_lines_are_found(setting: str, line: int | None) -> None:
    assert line_of(GOOD, setting) == line


NEEDS = {
    "iss": "https://ehr.example",
    "jku": ["https://ehr.example/jwks"],
    "audiences": ["a"],
    "fhir_servers": ["https://ehr.example/r4"],
    "tenants": ["t"],
    "link_hosts": [],
}


def _with_profile(tmp_path: Path, name: str, leave_out: str = "") -> Settings:
    needs = [need for need in read_profile(name).get("needs", {}) if need != leave_out]
    if name == "smart-health-it":
        needs.append("jku")
    lines = [f"{need} = {NEEDS[need]!r}".replace("'", '"') for need in needs]
    file = tmp_path / "meam.toml"
    head = 'tls = "proxy"\npublic_base_url = "https://cds.example"\n[[issuers]]\n'
    file.write_text(head + f'profile = "{name}"\n' + "\n".join(lines))
    return load_settings({"MEAM_CONFIG": str(file)})


def test_the_four_profiles_are_there() -> None:
    assert profile_names() == ("cds-hooks-sandbox", "epic", "oracle-health", "smart-health-it")


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_goes_into_production(tmp_path: Path, name: str) -> None:
    (issuer,) = _with_profile(tmp_path, name).issuers
    assert issuer.fhir_servers
    assert read_profile(name)["description"]


@pytest.mark.parametrize(
    ("name", "need"),
    [(name, need) for name in profile_names() for need in read_profile(name).get("needs", {})],
)
def test_what_a_profile_needs_is_asked_for(tmp_path: Path, name: str, need: str) -> None:
    with pytest.raises(SettingsError, match=f"the profile {name} needs {need}"):
        _with_profile(tmp_path, name, leave_out=need)


def test_the_sites_own_members_win(tmp_path: Path) -> None:
    file = tmp_path / "meam.toml"
    file.write_text(
        'tls = "proxy"\npublic_base_url = "https://cds.example"\n'
        '[[issuers]]\nprofile = "cds-hooks-sandbox"\nfhir_servers = []\nprefetch_only = true\n'
    )
    (issuer,) = load_settings({"MEAM_CONFIG": str(file)}).issuers
    assert issuer.fhir_servers == ()
    assert issuer.prefetch_only
    assert issuer.algorithms == ("ES384",)
    assert issuer.cors_origins == ("https://sandbox.cds-hooks.org",)


CONNECT = (Path(__file__).parent.parent.parent / "docs" / "connect.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```toml\n(.*?)```", CONNECT, re.DOTALL)


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_is_explained(name: str) -> None:
    assert f'profile = "{name}"' in CONNECT


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_the_documented_settings_are_valid(tmp_path: Path, snippet: str) -> None:
    (tmp_path / "small-site.jwks.json").write_text('{"keys": []}')
    head = 'tls = "proxy"\npublic_base_url = "https://cds.example"\n'
    text = snippet if "tls =" in snippet else head + snippet
    if "[[issuers]]" not in text:
        text += GOOD.partition("\n\n")[2].partition("\n\n")[0] + "\n"
    text = text.replace('"small-site', f'"{tmp_path}/small-site')
    messages = [fault.message for fault in _faults(tmp_path, text)]
    if 'tls = "direct"' in text:
        messages = [one for one in messages if "is not there" not in one and "https" not in one]
    assert messages == []


def test_every_member_of_an_issuers_table_is_documented() -> None:
    rows = " ".join(re.findall(r"^\| (`.+?) \|", CONNECT, re.MULTILINE))
    members = {field.name for field in fields(TrustedIssuer)}
    assert members <= set(re.findall(r"`(\w+)`", rows))
