"""The command line: help for everything, work done, and one sentence for each way to fail."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cds_hooks.audit import append_audit
from cds_hooks.cli import main
from cds_hooks.database import writing
from cds_hooks.keys import KeyRing
from cds_hooks.store import Store, utc_now
from cds_hooks.tables import audit


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in group.commands.items():
        is_group = isinstance(command, click.Group)
        found += commands(command, (*path, name)) if is_group else [(*path, name)]
    return found


@pytest.mark.parametrize("command", commands(main), ids=lambda path: " ".join(path) or "meam")
def test_every_command_has_help(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")
    description = result.output.split("\n\n")[1].strip()
    assert description.endswith(".")
    assert "-h, --help" in result.output


def test_the_first_screen_says_what_this_is_not():
    assert "not a medical device" in run("--help").output


def test_a_key_can_be_printed():
    result = run("keys", "generate")
    KeyRing([result.output.strip()])


def test_a_key_file_is_private_and_never_overwritten(tmp_path):
    path = tmp_path / "keys"
    assert run("keys", "generate", "--out", path).exit_code == 0
    KeyRing(path.read_text().split())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    result = run("keys", "generate", "--out", path)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {path} exists already and was not changed.\n"
    assert path.read_text() == before


@pytest.fixture
def config(tmp_path):
    run("keys", "generate", "--out", tmp_path / "keys")
    path = tmp_path / "meam.toml"
    path.write_text(
        'profile = "development"\nmode_auth = "open"\n'
        f'database_url = "sqlite:///{tmp_path / "meam.sqlite"}"\nkey_file = "{tmp_path / "keys"}"\n'
    )
    return path


def store_of(config: Path) -> Store:
    keys = KeyRing((config.parent / "keys").read_text().split())
    return Store(f"sqlite:///{config.parent / 'meam.sqlite'}", keys)


def test_an_untouched_audit_log_verifies(config):
    store = store_of(config)
    for number in range(3):
        with writing(store.engine) as connection:
            append_audit(
                connection, store.keys, at=utc_now(), event="test", facts={"number": number}
            )
    store.close()
    result = run("verify-audit", "--config", config)
    assert (result.exit_code, result.output) == (0, "The audit log is whole: 4 lines.\n")


def test_an_edited_audit_line_is_named(config):
    store = store_of(config)
    with writing(store.engine) as connection:
        append_audit(connection, store.keys, at=utc_now(), event="test", facts={})
        connection.execute(audit.update().values(event="something else"))
    store.close()
    result = run("verify-audit", "--config", config)
    assert result.exit_code == 1
    assert result.stderr == "Error: audit line 1 was changed\n"


def test_purge_says_what_it_deleted(config):
    result = run("purge", "--config", config)
    assert result.exit_code == 0
    assert "0 explanations" in result.output


def test_a_wrong_setting_is_one_sentence(config):
    config.write_text('profile = "development"\nmode_auth = "jwt"\n')
    for command in (("serve",), ("purge",), ("verify-audit",)):
        result = run(*command, "--config", config)
        assert result.exit_code == 1
        assert result.stderr == 'Error: mode_auth "jwt" needs at least one [[issuers]] table\n'


def test_explain_needs_one_source():
    assert "Name either --fhir or --bundle." in run("explain", "p1").stderr
    assert "PATIENT_ID is needed" in run("explain", "--fhir", "http://127.0.0.1:9/fhir").stderr


def test_explain_says_what_is_wrong_with_a_file(tmp_path):
    path = tmp_path / "chart.json"
    path.write_text("{")
    result = run("explain", "--bundle", path)
    assert result.exit_code == 1
    assert "not a JSON file" in result.stderr
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection"}))
    assert "holds 0 patients; name one of them" in run("explain", "--bundle", path).stderr


def test_explain_says_that_a_server_is_not_there():
    result = run("explain", "p1", "--fhir", "http://127.0.0.1:9/fhir")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Data that this service cannot do without are missing")


def test_train_says_which_data_are_missing(tmp_path):
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    result = run("train", "--data", tmp_path, "--checkpoint", tmp_path / "out")
    assert result.exit_code == 1
    assert "training needs the open data set" in result.stderr


def test_demo_without_its_fhir_server_is_one_sentence(tmp_path):
    result = run("demo", "--fhir-venv", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {tmp_path}/bin/sekmet is not there;")


def test_a_database_that_is_not_there_is_one_sentence(config):
    text = config.read_text()
    database = 'database_url = "sqlite:////proc/nowhere/meam.sqlite"'
    config.write_text(
        "\n".join(database if "sqlite" in line else line for line in text.split("\n"))
    )
    result = run("purge", "--config", config)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
