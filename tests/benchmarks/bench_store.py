"""Times the store: answers, feedback, verifying the audit log, re-encrypting, the report.

Run as ``python -m tests.benchmarks.bench_store`` from the repository root. SQLite in a temporary
folder, and PostgreSQL where it is installed; each write is one transaction that is on the disk.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from cds_hooks.audit_check import verify_audit
from cds_hooks.feedback import FeedbackItem, store_feedback
from cds_hooks.feedback_report import feedback_report
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.re_encryption import re_encrypt
from cds_hooks.store import Store
from cds_hooks.stored_explanation import StoredExplanation
from tests.cds_hooks.stored_things import a_card, an_explanation
from tests.postgresql import PostgresMissing, running_cluster

ANSWERS = 300


def main() -> None:
    """Print the time of each for each kind of database."""
    with tempfile.TemporaryDirectory() as folder:
        _measure("SQLite", f"sqlite:///{folder}/s.sqlite")
    try:
        with running_cluster() as cluster, cluster.schema() as name:
            _measure("PostgreSQL", cluster.url(name))
    except PostgresMissing as exc:
        _say(f"PostgreSQL: not measured: {exc}")


def _measure(name: str, url: str) -> None:
    old = new_key()
    store = Store(url, KeyRing([old]))
    stored = [an_explanation() for _ in range(ANSWERS)]
    with _timed(f"{name}: one answer with card, explanation and audit line", ANSWERS):
        for one in stored:
            _answer(store, one)
    with _timed(f"{name}: one feedback item", ANSWERS):
        for one in stored:
            item = FeedbackItem(
                one.card_uuid, "overridden", "2026-11-23T12:00:00Z", user_comment="x"
            )
            store_feedback(store, "meam-risk", "open", (item,))
    with _timed(f"{name}: one JWT id", ANSWERS):
        for _ in stored:
            store.first_use("iss", str(uuid.uuid4()), 9e9)
    lines = verify_audit(store.engine, store.keys)
    with _timed(f"{name}: verifying one audit line of {lines}", lines):
        verify_audit(store.engine, store.keys)
    with _timed(f"{name}: the feedback report of {ANSWERS} cards", 1):
        feedback_report(store)
    store.close()
    rotated = Store(url, KeyRing([new_key(), old]))
    with _timed(f"{name}: re-encrypting one value", 2 * ANSWERS):
        re_encrypt(rotated)
    rotated.close()


def _answer(store: Store, stored: StoredExplanation) -> None:
    store.record_answer([stored], [a_card(stored.card_uuid)], {"card": stored.card_uuid})


@contextmanager
def _timed(what: str, times: int) -> Iterator[None]:
    start_s = time.perf_counter()
    yield
    took_ms = 1000 * (time.perf_counter() - start_s) / times
    _say(f"{what}: {took_ms:.3f} ms")


def _say(line: str) -> None:
    print(line)  # noqa: T201  # a benchmark's result


if __name__ == "__main__":
    main()
