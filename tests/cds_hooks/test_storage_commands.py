"""The commands for stored data, run as an operator runs them, one after the other."""

from __future__ import annotations

import json
import sqlite3
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_hooks.audit_check import verify_audit
from cds_hooks.cli import main
from cds_hooks.database import travels_in_clear
from cds_hooks.feedback import FeedbackItem, store_feedback
from cds_hooks.key_file import keys_of
from cds_hooks.keys import KeyRing
from cds_hooks.override_reasons import OVERRIDE_REASONS
from cds_hooks.store import Store, utc_now
from tests.cds_hooks.stored_things import COMMENT, a_card, an_explanation, an_override


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def succeed(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def config(tmp_path: Path) -> Path:
    run("keys", "make", "--out", tmp_path / "keys")
    path = tmp_path / "meam.toml"
    path.write_text(
        'profile = "development"\nmode_auth = "open"\n'
        f'database_url = "sqlite:///{tmp_path / "meam.sqlite"}"\nkey_file = "{tmp_path / "keys"}"\n'
    )
    return path


def ring_of(config: Path) -> KeyRing:
    return KeyRing(keys_of((config.parent / "keys").read_text()))


def store_of(config: Path) -> Store:
    return Store(f"sqlite:///{config.parent / 'meam.sqlite'}", ring_of(config))


def answered(config: Path, count: int = 1) -> list[str]:
    """That many answered hooks with feedback; returns the uuids of their cards."""
    store = store_of(config)
    stored = [an_explanation() for _ in range(count)]
    store.record_answer(stored, [a_card(one.card_uuid) for one in stored], {})
    items = tuple(an_override(one.card_uuid) for one in stored)
    store_feedback(store, "meam-risk", "open", items)
    store.close()
    return [one.card_uuid for one in stored]


def test_keys_rotate_re_encrypt_and_leave(config: Path) -> None:
    answered(config, 2)
    (old,) = ring_of(config).key_ids
    said = succeed("keys", "rotate", "--config", config)
    new = ring_of(config).key_ids[0]
    assert said == (
        f"Key {new} is the current one now, {old} stays for reading."
        " Restart the service, then run: meam keys re-encrypt\n"
    )
    listed = json.loads(succeed("keys", "list", "--json", "--config", config))
    assert listed[old]["state"] == "old"
    assert listed[old]["explanations.payload"] == 2
    done = succeed("keys", "re-encrypt", "--config", config)
    assert f"7 values are now encrypted with key {new}." in done
    key_file = config.parent / "keys"
    key_file.write_text(key_file.read_text().splitlines()[0])
    assert f"{old}  not in the ring: audit 3" in succeed("keys", "list", "--config", config)
    assert "The audit log is whole: 5 lines." in succeed("verify-audit", "--config", config)


def test_a_lost_key_is_one_sentence_that_names_it(config: Path) -> None:
    answered(config)
    (old,) = ring_of(config).key_ids
    succeed("keys", "rotate", "--config", config)
    key_file = config.parent / "keys"
    key_file.write_text(key_file.read_text().splitlines()[0])
    for command in (("keys", "list"), ("keys", "re-encrypt"), ("verify-audit",), ("feedback",)):
        result = run(*command, "--config", config)
        assert result.exit_code == 1
        assert f"is encrypted with key {old}, which is not in the key ring" in result.stderr
        assert result.stderr.count("\n") == 1


def test_keys_of_the_environment_are_not_rotated(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEAM_KEYS", (config.parent / "keys").read_text().strip())
    result = run("keys", "rotate", "--config", config)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The keys are in MEAM_KEYS, not in a file")


def test_feedback_is_a_table(config: Path) -> None:
    for card in answered(config, 3)[:1]:
        store = store_of(config)
        reason = OVERRIDE_REASONS[0]
        item = FeedbackItem(
            card,
            "overridden",
            "2026-11-24T12:00:00Z",
            reason_code=reason.code,
            reason_system=reason.system,
        )
        store_feedback(store, "meam-risk", "open", (item,))
        store.close()
    lines = succeed("feedback", "--config", config).splitlines()
    assert lines[:3] == [
        "All cards",
        f"  {'':34}  cards  answered              accepted              overridden",
        f"  {'all':34}      3  3 (100 %, 44 to 100)  0 (0 %, 0 to 56)      3 (100 %, 44 to 100)",
    ]
    assert "Override reasons, of 3 overridden cards" in lines
    assert f"  {OVERRIDE_REASONS[0].display}: 1 (33 %, 6 to 79)" in lines
    assert "  no reason given: 2 (67 %, 21 to 94)" in lines
    assert "Overridden cards with a comment: 2" in lines
    printed = json.loads(succeed("feedback", "--json", "--config", config))
    assert printed["all"]["overridden"]["count"] == 3
    assert COMMENT not in "".join(lines)
    none = succeed("feedback", "--until", "2020-01-01", "--config", config)
    assert "0 of 0" in none


def test_a_witness_is_kept_and_finds_a_log_that_was_put_back(config: Path) -> None:
    witness, database = config.parent / "witness", config.parent / "meam.sqlite"
    answered(config)
    said = succeed("verify-audit", "--config", config, "--witness", witness)
    assert said == "The audit log is whole: 3 lines.\n"
    copy = sqlite3.connect(config.parent / "copy")
    with sqlite3.connect(database) as source:
        source.backup(copy)
    answered(config)
    said = succeed("verify-audit", "--config", config, "--witness", witness)
    assert said == "The audit log is whole: 5 lines. 1 remembered heads agree.\n"
    with sqlite3.connect(database) as target:
        copy.backup(target)
    copy.close()
    result = run("verify-audit", "--config", config, "--witness", witness)
    assert result.exit_code == 1
    assert "audit line 5 was written once and is gone; the last line is 3" in result.stderr


def test_old_audit_lines_are_archived(config: Path) -> None:
    answered(config)
    out = config.parent / "audit-2026"
    none = succeed("archive-audit", "--config", config, "--older-than-days", "1", "--out", out)
    assert none == "No line is that old.\n"
    said = succeed("archive-audit", "--config", config, "--older-than-days", "0", "--out", out)
    assert said == f"Moved 2 lines to {out}.\n"
    assert "whole: 2 lines" in succeed("verify-audit", "--config", config)
    assert "whole: 4 lines" in succeed("verify-audit", "--config", config, "--archive", out)


def test_a_purge_can_be_tried_first(config: Path) -> None:
    answered(config)
    words = (
        "1 explanations, 0 replays, 0 findings, 0 suggestions, 0 cards, 0 predictions, 0 feedback"
    )
    assert succeed("purge", "--dry-run", "--config", config) == f"Over their time: {words}.\n"
    assert succeed("purge", "--config", config) == f"Deleted: {words}.\n"
    store = store_of(config)
    store.clock = lambda: utc_now() + timedelta(days=1)
    store.close()


def test_the_state_of_the_database(config: Path) -> None:
    status = ("database", "status", "--config", config)
    assert "'meam database migrate' makes it" in succeed(*status)
    assert not (config.parent / "meam.sqlite").exists()
    said = succeed("database", "migrate", "--config", config)
    assert said == "The database has schema version 4.\n"
    first, second = succeed(*status).splitlines()
    assert first == "sqlite, schema version 4; this program has 4."
    assert second.startswith("Over their time: 0 explanations")


def test_a_backup_is_whole_private_and_never_overwrites(config: Path) -> None:
    answered(config, 2)
    out = config.parent / "backup.sqlite"
    service = store_of(config)  # it may go on meanwhile
    assert succeed("database", "backup", "--config", config, "--out", out) == f"Wrote {out}.\n"
    service.close()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    copy = Store(f"sqlite:///{out}", ring_of(config))
    assert verify_audit(copy.engine, copy.keys) == 3
    copy.close()
    result = run("database", "backup", "--config", config, "--out", out)
    assert result.stderr == f"Error: {out} was not written: File exists.\n"


@pytest.mark.parametrize(
    ("url", "in_clear"),
    [
        ("postgresql://meam@db.hospital.example/meam", True),
        ("postgresql://meam@db.hospital.example/meam?sslmode=require", True),
        ("postgresql://meam@db.hospital.example/meam?sslmode=verify-full", False),
        ("postgresql+psycopg://meam@/meam?host=db.hospital.example", True),
        ("postgresql://meam@/meam?host=/run/postgresql,db.hospital.example", True),
        ("postgresql://meam@/meam?host=/run/postgresql", False),
        ("postgresql://meam@localhost/meam", False),
        ("sqlite:///meam.sqlite", False),
        ("nonsense", False),
    ],
)
def test_a_database_elsewhere_needs_verified_tls(url: str, in_clear: bool) -> None:
    assert travels_in_clear(url) is in_clear


def test_a_newer_database_is_one_sentence(config: Path) -> None:
    succeed("database", "migrate", "--config", config)
    with sqlite3.connect(config.parent / "meam.sqlite") as connection:
        connection.execute("UPDATE meam_schema SET version = 9")
    result = run("purge", "--config", config)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the database has schema version 9, and this program")
    assert succeed("database", "status", "--config", config) == (
        "sqlite, schema version 9; this program has 4.\n"
    )
