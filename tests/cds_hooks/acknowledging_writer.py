"""A worker that can be killed: it stores, and only then says what it stored.

``python -m tests.cds_hooks.acknowledging_writer URL KEY``: for each line on stdin one worker is
forked, which prints its process id and then the uuid of each card whose answer and feedback are
stored. When it has ended, however, "ended" is printed.
"""

from __future__ import annotations

import os
import sys
import uuid

from cds_hooks.errors import StoreUnavailable
from cds_hooks.feedback import FeedbackItem, store_feedback
from cds_hooks.keys import KeyRing
from cds_hooks.store import Store, StoredCard


def main(url: str, key: str) -> None:
    for _ in sys.stdin:
        worker = os.fork()
        if worker == 0:
            _work(url, key)
        os.waitpid(worker, 0)
        _say("ended")


def _work(url: str, key: str) -> None:
    _say(str(os.getpid()))
    try:
        store = Store(url, KeyRing([key]))
        while True:
            _say(_stored(store))
    except StoreUnavailable:
        os._exit(1)


def _stored(store: Store) -> str:
    card = StoredCard(str(uuid.uuid4()), "meam-risk", "h", "open", "p", "info", "m 1")
    store.record_answer([], [card], {"card": card.card_uuid})
    item = FeedbackItem(card.card_uuid, "overridden", "2026-11-23T12:00:00Z", user_comment="why")
    store_feedback(store, "meam-risk", "open", (item,))
    return card.card_uuid


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
