"""docs/security.md, docs/operations.md and docs/deploy name only what exists."""

from __future__ import annotations

import configparser
import re
import shlex
import sqlite3
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from cds_hooks.audit_check import verify_audit
from cds_hooks.cli import main
from cds_hooks.parts import parts_of
from cds_hooks.settings import CoolDown, Settings, Thresholds
from cds_hooks.store import Store
from cds_hooks.trust import TrustedIssuer
from tests.attacks.results import Results
from tests.attacks.site import ROOT
from tests.attacks.target import HOOK, target
from tests.cds_hooks import world

DOCS = ROOT / "docs"
SECURITY = (DOCS / "security.md").read_text(encoding="utf-8")
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
UNIT = (DOCS / "deploy" / "meam.service").read_text(encoding="utf-8")
CONTAINER = (DOCS / "deploy" / "Containerfile").read_text(encoding="utf-8")
PINNED = (DOCS / "deploy" / "requirements-serving.txt").read_text(encoding="utf-8")
SETTINGS = {
    one.name for kind in (Settings, TrustedIssuer, Thresholds, CoolDown) for one in fields(kind)
}
OF_OTHERS = {"limit_conn", "limit_req", "pg_dump", "pg_restore"}
_THREATS = (
    *("spoofed EHR", "replay", "SSRF", "token theft", "stored XSS", "prompt injection"),
    *("markdown injection", "gzip bomb", "XML bomb", "PDF bomb", "RTF", "log leakage"),
    *("explanation link sharing", "checkpoint tampering", "dependency tampering"),
    *("insider", "denial of service", "clock tampering", "feedback poisoning"),
)


def test_every_threat_has_a_control_and_a_test_that_exists() -> None:
    section = SECURITY.partition("## Threats")[2].partition("## What is declared")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 45
    for row in rows:
        threat, control, named = (cell.strip() for cell in row.strip("|").split("|"))
        assert threat and control
        path, _, test = named.partition("::")
        source = (ROOT / "tests" / path).read_text(encoding="utf-8")
        assert f"def {test}(" in source, f"{named} does not exist"


@pytest.mark.parametrize("threat", _THREATS)
def test_no_threat_of_the_list_is_left_out(threat: str) -> None:
    assert threat.lower() in SECURITY.lower()


def test_settings_and_metrics_that_are_named_exist(tmp_path: Path) -> None:
    metrics = _metrics(tmp_path)
    code = "".join(path.read_text() for path in (ROOT / "cds_hooks").glob("*.py"))
    log_fields = set(re.findall(r"[\"'](\w+)[\"']|(?<=[\s(])(\w+)=", code))
    known_words = {word for pair in log_fields for word in pair if word}
    named = set(re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", OPERATIONS))
    assert len(named) > 30
    for word in named:
        if word.startswith("meam_"):
            assert word in metrics, f"{word} is no metric"
        else:
            assert word in SETTINGS | OF_OTHERS | known_words, f"{word} is no setting"
    set_here = re.findall(r"`(\w+) = ", OPERATIONS)
    assert set(set_here) <= SETTINGS, set_here
    assert metrics <= {word.removesuffix("_total") for word in named}, "a metric is not described"


@pytest.mark.parametrize("page", ["operations.md", "security.md"])
def test_commands_that_are_named_exist(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    lines = re.findall(r"(?:^|`|/)(meam [a-z][^`\n]*)", text, re.MULTILINE)
    assert lines
    for line in lines:
        _check_command(shlex.split(line)[1:], line)


def test_the_unit_takes_power_away() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT)
    service = parser["Service"]
    for name, value in (
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("CapabilityBoundingSet", ""),
        ("UMask", "0077"),
        ("LimitCORE", "0"),
        ("User", "meam"),
    ):
        assert service[name] == value
    assert service["MemoryMax"] and service["TasksMax"]
    for name in ("ExecStart", "ExecStartPre"):
        words = shlex.split(service[name])
        assert Path(words[0]).name == "meam"
        _check_command(words[1:], service[name])


def test_the_container_runs_without_root() -> None:
    instructions = [line for line in CONTAINER.splitlines() if line and line[0].isupper()]
    last_stage = instructions[max(n for n, one in enumerate(instructions) if one[:4] == "FROM") :]
    user = next(n for n, one in enumerate(last_stage) if one.startswith("USER "))
    assert last_stage[user] == "USER 10001:10001"
    assert not [one for one in last_stage[user:] if one.startswith(("RUN", "COPY", "ADD"))]
    assert not [one for one in instructions if one.startswith("ADD") or "curl" in one]
    copied = [word for one in instructions if one.startswith("COPY ") for word in one.split()[1:-1]]
    for path in copied:
        assert path.startswith(("--from", "/opt")) or (ROOT / path).exists(), path
    assert '"/opt/meam/venv/bin/meam", "serve"' in instructions[-1]
    for option in ("--read-only", "--cap-drop=all", "no-new-privileges", "--memory"):
        assert option in OPERATIONS


def test_nginx_does_not_log_explanation_links() -> None:
    blocks = re.findall(r"location (\S+) \{([^}]*)\}", (DOCS / "nginx.conf").read_text())
    assert "access_log off;" in dict(blocks)["/explanations/"]


def test_every_file_of_serving_is_pinned_by_digest() -> None:
    pins = dict(_pins((ROOT / "constraints.txt").read_text()))
    pinned = dict(_pins(PINNED))
    assert len(pinned) > 40
    for name, version in pinned.items():
        assert pins[name] == version, f"{name}: constraints.txt has {pins[name]}"
    for block in PINNED.partition("\n\n")[2].split("\n\n") or [PINNED]:
        assert "==" in block or block.startswith("#") or not block.strip()
    entries = re.split(r"\n(?=[A-Za-z0-9])", PINNED)
    assert all("--hash=sha256:" in one for one in entries if "==" in one.splitlines()[0])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {_name(one) for one in project["dependencies"]}
    assert not needed - pinned.keys()


def test_a_backup_of_a_running_database_is_whole(tmp_path: Path) -> None:
    """What docs/operations.md says about SQLite; ``.backup`` is this call."""
    with target(tmp_path, Results("one"), predictor=world.LinearPredictor()) as made:
        assert made.post("hook", HOOK, world.hook_request()) == 200
        with (
            sqlite3.connect(tmp_path / "meam.sqlite") as running,
            sqlite3.connect(tmp_path / "backup.sqlite") as backup,
        ):
            running.backup(backup)
        keys = parts_of(made.client.application).store.keys
        restored = Store(f"sqlite:///{tmp_path / 'backup.sqlite'}", keys)
        assert verify_audit(restored.engine, restored.keys) >= 1
        restored.close()


def _check_command(words: list[str], line: str) -> None:
    command: click.Command = main
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        assert words[0] in command.commands, f"{line}: no such command"
        command = command.commands[words.pop(0)]
    options = {option for one in command.params for option in one.opts}
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in options, f"{line}: no option {word}"


def _metrics(folder: Path) -> set[str]:
    """The names on /metrics after a hook, as /metrics has them in its comments."""
    with target(folder, Results("one")) as made:
        made.post("hook", HOOK, world.hook_request())
        page = made.client.get("/metrics").get_data(as_text=True)
    names = re.findall(r"^# HELP (meam_\w+)", page, re.MULTILINE)
    return {name.removesuffix("_total") for name in names if not name.endswith("_created")}


def _pins(text: str) -> Iterator[tuple[str, str]]:
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE):
        yield _name(name), version


def _name(requirement: str) -> str:
    return re.split(r"[\[=<>]", requirement)[0].lower().replace("_", "-").replace(".", "-")
