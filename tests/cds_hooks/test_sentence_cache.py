"""The sentence cache on disk: found again, bounded, unreadable to others, and never in the way."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cds_hooks import telemetry
from cds_hooks.app import create_app
from cds_hooks.cli import main
from cds_hooks.errors import CommandError
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.sentence_cache import SentenceCache
from cds_hooks.sentence_cache_file import purge_rows, unused_rows
from cds_hooks.settings import development_settings
from tests.cds_hooks import world

ROOT = Path(__file__).parent.parent.parent
KEY = new_key()
SECRET = "Denies chest pain, wife Ottilie at the bedside."
VECTORS = {SECRET: np.arange(384, dtype=np.float32), "Lactate 9.8.": np.ones(384, np.float32)}
DAY_S = 86_400.0


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "sentences.sqlite"


def opened(path, *, keys=(KEY,), entries=1000, **more):
    return SentenceCache(path, KeyRing(keys), entries=entries, **more)


@pytest.fixture
def log():
    stream = StringIO()
    telemetry.configure_logging(stream)
    yield stream
    telemetry.configure_logging()


def test_vectors_are_found_again_by_another_process(path):
    opened(path).keep("encoder", VECTORS)
    found = opened(path).recall("encoder", [*VECTORS, "Never seen."])
    assert set(found) == set(VECTORS)
    for text, vector in VECTORS.items():
        np.testing.assert_array_equal(found[text], vector)
        assert found[text].dtype == np.float32


def test_another_encoder_finds_nothing(path):
    cache = opened(path)
    cache.keep("encoder", VECTORS)
    assert cache.recall("encoder int8", list(VECTORS)) == {}


def test_no_sentence_and_no_vector_stand_on_the_disk(path):
    cache = opened(path)
    cache.keep("encoder", VECTORS)
    on_disk = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert len(on_disk) > 2 * 384 * 4
    assert b"Ottilie" not in on_disk
    assert VECTORS[SECRET].tobytes()[:64] not in on_disk
    assert VECTORS["Lactate 9.8."].tobytes()[:64] not in on_disk


def test_only_the_owner_may_read_it(path):
    opened(path).keep("encoder", VECTORS)
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


def test_a_wrong_key_finds_nothing_and_says_nothing_of_patients(path, log):
    opened(path).keep("encoder", VECTORS)
    assert opened(path, keys=(new_key(),)).recall("encoder", list(VECTORS)) == {}
    assert "Ottilie" not in log.getvalue()


def test_an_old_key_of_the_ring_reads_and_the_row_is_written_anew(path):
    opened(path).keep("encoder", VECTORS)
    new = new_key()
    assert set(opened(path, keys=(new, KEY)).recall("encoder", list(VECTORS))) == set(VECTORS)
    assert set(opened(path, keys=(new,)).recall("encoder", list(VECTORS))) == set(VECTORS)


def test_a_row_that_was_changed_is_a_miss_and_is_replaced(path, log):
    cache = opened(path)
    cache.keep("encoder", VECTORS)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE vectors SET sealed = substr(sealed, 1, 100)")
    database.close()
    assert cache.recall("encoder", [SECRET]) == {}
    assert "a row was changed since it was written" in log.getvalue()
    assert "Ottilie" not in log.getvalue()
    cache.keep("encoder", VECTORS)
    assert SECRET in cache.recall("encoder", [SECRET])


def test_a_row_moved_to_another_sentence_is_a_miss(path):
    cache = opened(path)
    cache.keep("encoder", VECTORS)
    with sqlite3.connect(path) as database:
        (first, second) = database.execute("SELECT sealed FROM vectors ORDER BY number").fetchall()
        database.execute("UPDATE vectors SET sealed = ? WHERE sealed = ?", (*first, *second))
    database.close()
    assert set(cache.recall("encoder", list(VECTORS))) == {SECRET}


def test_the_oldest_make_room(path):
    cache = opened(path, entries=10)
    for n in range(25):
        cache.keep("encoder", {f"Sentence {n}.": np.full(384, n, np.float32)})
    texts = [f"Sentence {n}." for n in range(25)]
    assert set(cache.recall("encoder", texts)) == set(texts[15:])
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM vectors").fetchone() == (10,)
    database.close()


def test_what_is_read_again_stays(path):
    cache = opened(path, entries=10)
    for n in range(25):
        cache.keep("encoder", {f"Sentence {n}.": np.full(384, n, np.float32)})
        cache.recall("encoder", ["Sentence 0."])
    assert cache.recall("encoder", ["Sentence 0."])["Sentence 0."][0] == 0


@pytest.mark.parametrize(
    "content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"x" * 5000]
)
def test_a_damaged_file_is_begun_anew(path, log, content):
    path.parent.mkdir()
    path.write_bytes(content)
    cache = opened(path)
    cache.keep("encoder", VECTORS)
    assert set(cache.recall("encoder", list(VECTORS))) == set(VECTORS)
    assert "the file is damaged and is begun anew" in log.getvalue()


def test_damage_while_it_is_open_is_a_miss_and_heals(path, log):
    cache = opened(path)
    cache.keep("encoder", {f"Sentence {n}.": np.full(384, n, np.float32) for n in range(300)})
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    cache.recall("encoder", ["Sentence 7."])
    cache.recall("encoder", ["Sentence 7."])
    cache.keep("encoder", VECTORS)
    cache.keep("encoder", VECTORS)
    assert set(opened(path).recall("encoder", list(VECTORS))) == set(VECTORS)
    assert "damaged" in log.getvalue()


def test_a_file_that_cannot_be_written_is_a_miss(tmp_path, log):
    (tmp_path / "file").write_text("")
    cache = opened(tmp_path / "file" / "sentences.sqlite")
    cache.keep("encoder", VECTORS)
    assert cache.recall("encoder", [SECRET]) == {}
    assert "NotADirectoryError" in log.getvalue() or "FileExistsError" in log.getvalue()


def test_another_writer_that_holds_the_file_is_not_waited_for(path, log):
    cache = opened(path)
    cache.keep("encoder", VECTORS)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    cache.keep("encoder", {"New.": np.zeros(384, np.float32)})
    assert SECRET in cache.recall("encoder", [SECRET])  # readers do not wait for writers
    other.execute("ROLLBACK")
    other.close()
    assert "SQLITE_BUSY" in log.getvalue()
    assert "New." not in cache.recall("encoder", ["New."])


def writer(path, name, batches):
    command = [sys.executable, "-m", "tests.cds_hooks.sentence_writer", str(path), KEY, name]
    return subprocess.Popen([*command, str(batches)], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_processes_write_at_once_and_one_is_killed(path):
    """What two others write beside it is whole, and so is what the killed one said it kept."""
    victim = writer(path, "victim", 0)
    assert victim.stdout is not None
    others = [writer(path, f"other {n}", 30) for n in range(2)]
    kept = [int(victim.stdout.readline()) for _ in range(15)]
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    for other in others:
        other.communicate(timeout=60)
        assert other.returncode == 0
    cache = opened(path, entries=100_000)
    texts = [f"victim {n}" for first in kept for n in range(first, first + 10)]
    found = cache.recall("encoder", texts)
    # A batch that met another writer for more than 50 ms is left out, never half of it.
    assert len(found) >= 0.5 * len(texts)
    assert len(found) % 10 == 0
    assert all(vector[0] == int(text.split()[-1]) for text, vector in found.items())
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    victim.stdout.close()


def test_purge_deletes_what_was_not_used_lately(path):
    opened(path, clock=lambda: 0.0).keep("encoder", {"Old.": np.zeros(384, np.float32)})
    opened(path, clock=lambda: 5 * DAY_S).keep("encoder", VECTORS)
    opened(path, clock=lambda: 5 * DAY_S).recall("encoder", ["Lactate 9.8."])
    assert unused_rows(path, 7, lambda: 8 * DAY_S) == 1
    assert purge_rows(path, 7, lambda: 8 * DAY_S) == 1
    assert set(opened(path).recall("encoder", ["Old.", *VECTORS])) == set(VECTORS)


def test_a_row_that_is_used_days_later_is_kept_on(path):
    opened(path, clock=lambda: 0.0).keep("encoder", VECTORS)
    opened(path, clock=lambda: 5 * DAY_S).recall("encoder", [SECRET])
    assert purge_rows(path, 7, lambda: 8 * DAY_S) == 1
    assert set(opened(path).recall("encoder", list(VECTORS))) == {SECRET}


def test_purging_a_damaged_file_says_so(path):
    path.parent.mkdir()
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(CommandError, match="cannot be purged: file is not a database"):
        purge_rows(path, 7)


def test_the_command_purges_and_the_audit_log_knows(tmp_path, path):
    config = tmp_path / "meam.toml"
    config.write_text(
        f'profile = "development"\nmode_auth = "open"\nkey_file = "{tmp_path / "keys"}"\n'
        f'database_url = "sqlite:///{tmp_path / "meam.sqlite"}"\nsentence_cache = "{path}"\n'
    )
    command = ["purge", "--config", str(config)]
    assert "sentences" not in CliRunner().invoke(main, command).output  # there is none yet
    opened(path).keep("encoder", VECTORS)
    assert "0 sentences" in CliRunner().invoke(main, command).output
    assert (
        "2 sentences" in CliRunner().invoke(main, [*command, "--dry-run", "--all-sentences"]).output
    )
    assert "2 sentences" in CliRunner().invoke(main, [*command, "--all-sentences"]).output
    assert opened(path).recall("encoder", list(VECTORS)) == {}
    with sqlite3.connect(tmp_path / "meam.sqlite") as database:
        lines = [facts for (facts,) in database.execute("SELECT facts FROM audit")]
    database.close()
    assert '{"deleted":"sentences","rows":2}' in [line.replace(" ", "") for line in lines]


def test_the_service_fills_it_and_a_second_start_finds_all(tmp_path, path):
    settings = development_settings(tmp_path, sentence_cache=path, deadline_ms=9000)
    pages = []
    for _ in range(2):
        client = create_app(settings, clock=lambda: world.NOW).test_client()
        answer = client.post("/cds-services/meam-risk", json=world.hook_request())
        assert answer.status_code == 200
        pages.append(client.get("/metrics").text)
    found = [
        float(line.split()[-1])
        for page in pages
        for line in page.splitlines()
        if line.startswith('meam_sentence_cache_total{outcome="found"}')
    ]
    missed = [
        float(line.split()[-1])
        for page in pages
        for line in page.splitlines()
        if line.startswith('meam_sentence_cache_total{outcome="missed"}')
    ]
    assert found[0] == 0
    assert missed[0] > 0
    assert (found[1], missed[1]) == (missed[0], 0)
