"""Requirements 58 to 66: feedback is checked, stored once, and never shows a comment."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from cds_hooks import tables
from cds_hooks.feedback import FeedbackItem, FeedbackReceipt, store_feedback
from cds_hooks.parts import parts_of
from cds_hooks.store import Store, StoredCard
from tests.cds_hooks import world

URL = "/cds-services/meam-risk/feedback"
COMMENT = "Mrs Miller is in palliative care"
ACCEPTED = {
    "card": "4e0a3a1e-3283-4575-ab82-028d55fe2719",
    "outcome": "accepted",
    "acceptedSuggestions": [{"id": "e56e1945-20b3-4393-8503-a1a20fd73152"}],
    "outcomeTimestamp": "2026-11-23T19:23:44.829Z",
}
OVERRIDDEN = {
    "card": "4e0a3a1e-3283-4575-ab82-028d55fe2719",
    "outcome": "overridden",
    "outcomeTimestamp": "2026-11-23T00:00:00Z",
}
WITH_REASON = {
    **OVERRIDDEN,
    "overrideReason": {"reason": {"code": "c", "system": "s"}, "userComment": COMMENT},
}


@pytest.fixture
def each(service: Callable[..., FlaskClient], database_url: str) -> FlaskClient:
    """A client of a service on each kind of database."""
    return service(database_url=database_url)


def _store(client: FlaskClient) -> Store:
    return parts_of(client.application).store


def _rows(client: FlaskClient) -> list[Any]:
    with _store(client).engine.connect() as connection:
        return list(connection.execute(select(tables.feedback)))


def _post(client: FlaskClient, *items: Any) -> Any:
    return client.post(URL, json={"feedback": list(items)})


@pytest.mark.parametrize("item", [ACCEPTED, OVERRIDDEN, WITH_REASON])
def test_the_shapes_of_the_specification_are_stored(each: FlaskClient, item: Any) -> None:
    response = _post(each, item)
    assert response.status_code == 200
    assert response.get_data() == b""
    assert "Content-Type" not in response.headers
    (row,) = _rows(each)
    assert (row.card_uuid, row.outcome) == (item["card"], item["outcome"])
    assert row.outcome_timestamp == item["outcomeTimestamp"]


@pytest.mark.parametrize("body", [[], "x", 1, {}, {"feedback": {}}, {"feedback": None}, ACCEPTED])
def test_r58_the_body_is_an_object_with_an_array(client: FlaskClient, body: Any) -> None:
    response = client.post(URL, json=body)
    assert response.status_code == 400
    assert response.json["resourceType"] == "OperationOutcome"


def test_r58_an_empty_array_is_accepted(client: FlaskClient) -> None:
    assert _post(client).status_code == 200


def _without(item: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != name}


WRONG: list[tuple[str, Any, str]] = [
    ("r59 no card", _without(ACCEPTED, "card"), "$.feedback[0].card"),
    ("r59 no outcome", _without(ACCEPTED, "outcome"), "$.feedback[0].outcome"),
    ("r59 no time", _without(ACCEPTED, "outcomeTimestamp"), "$.feedback[0].outcomeTimestamp"),
    ("r59 ignored", {**OVERRIDDEN, "outcome": "ignored"}, "expected accepted or overridden"),
    ("r59 not an object", "x", "$.feedback[0]: expected an object"),
    ("r61 no suggestions", _without(ACCEPTED, "acceptedSuggestions"), "acceptedSuggestions"),
    ("r61 none accepted", {**ACCEPTED, "acceptedSuggestions": []}, "at least one suggestion"),
    ("r61 no id", {**ACCEPTED, "acceptedSuggestions": [{}]}, "acceptedSuggestions[0].id"),
    ("r61 bare id", {**ACCEPTED, "acceptedSuggestions": ["a"]}, "acceptedSuggestions[0]: expected"),
    ("r62 empty reason", {**OVERRIDDEN, "overrideReason": {}}, "reason, userComment or both"),
    (
        "r62 reason without system",
        {**OVERRIDDEN, "overrideReason": {"reason": {"code": "c"}}},
        "overrideReason.reason.system",
    ),
    ("r62 text", {**OVERRIDDEN, "overrideReason": "x"}, "overrideReason: expected an object"),
    ("long card", {**OVERRIDDEN, "card": "x" * 200}, "at most 128 characters"),
    ("nul", {**OVERRIDDEN, "card": "a\x00b"}, "cannot be stored"),
    ("surrogate", {**OVERRIDDEN, "card": "a\ud800"}, "cannot be stored"),
]


@pytest.mark.parametrize(("item", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_r59_to_r62_wrong_items_are_named_and_nothing_is_stored(
    client: FlaskClient, item: Any, message: str
) -> None:
    response = client.post(URL, json={"feedback": [item, OVERRIDDEN]})
    assert response.status_code == 400
    assert message in response.json["issue"][0]["details"]["text"]
    assert _rows(client) == []


@pytest.mark.parametrize(
    ("timestamp", "status"),
    [
        ("2026-11-23T19:23:44Z", 200),
        ("2026-11-23T19:23:44.8291234Z", 200),
        (f"2026-11-23T19:23:44.{'1' * 60}Z", 400),  # longer than its column
        ("2026-11-23t19:23:44z", 200),
        ("2026-11-23T19:23:44+00:00", 200),
        ("2026-11-23", 400),
        ("2026-11-23T19:23:44", 400),
        ("2026-11-23 19:23:44Z", 400),
        ("2026-11-31T19:23:44Z", 400),
        ("2026-11-23T25:23:44Z", 400),
        ("1764012345", 400),
        (1764012345, 400),
        ("٢٠٢٦-11-23T19:23:44Z", 400),
    ],
)
def test_r60_the_timestamp_is_rfc_3339(client: FlaskClient, timestamp: Any, status: int) -> None:
    assert _post(client, {**OVERRIDDEN, "outcomeTimestamp": timestamp}).status_code == status


@pytest.mark.parametrize(
    "reason",
    [
        {"reason": {"code": "c", "system": "s"}},
        {"reason": {"code": "c", "system": "s", "display": "d"}},
        {"userComment": "text"},
    ],
)
def test_r62_reason_or_comment_is_enough(client: FlaskClient, reason: Any) -> None:
    assert _post(client, {**OVERRIDDEN, "overrideReason": reason}).status_code == 200


def test_r63_a_batch_and_its_replay(each: FlaskClient) -> None:
    for _ in range(2):
        assert _post(each, ACCEPTED, OVERRIDDEN, WITH_REASON).status_code == 200
    assert len(_rows(each)) == 3


def test_r63_the_same_item_twice_in_a_batch_is_stored_once(each: FlaskClient) -> None:
    assert _post(each, ACCEPTED, ACCEPTED).status_code == 200
    assert len(_rows(each)) == 1


def test_r63_the_same_item_from_two_sides_at_once_is_stored_once(each: FlaskClient) -> None:
    item = FeedbackItem("c", "overridden", "2026-11-23T00:00:00Z")
    receipts: list[FeedbackReceipt] = []
    start = threading.Barrier(4)

    def send() -> None:
        start.wait()
        receipts.append(store_feedback(_store(each), "meam-risk", "open", (item,)))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((one.stored, one.repeated) for one in receipts) == [(0, 1)] * 3 + [(1, 0)]
    assert len(_rows(each)) == 1


def test_r65_unknown_cards_are_accepted_flagged_and_counted(each: FlaskClient, log: Any) -> None:
    assert _post(each, OVERRIDDEN).status_code == 200
    assert [row.known_card for row in _rows(each)] == [False]
    assert json.loads(log.getvalue().splitlines()[-1])["unknown"] == 1


def test_r65_a_card_that_we_sent_is_known(each: FlaskClient) -> None:
    (card,) = each.post("/cds-services/meam-risk", json=world.hook_request()).json["cards"]
    _post(each, {**OVERRIDDEN, "card": card["uuid"]})
    _post(each, {**ACCEPTED, "card": card["uuid"]})
    assert all(row.known_card for row in _rows(each))
    known = {row.outcome: row.known_suggestions for row in _rows(each)}
    assert known == {"overridden": True, "accepted": False}, "that suggestion was never offered"


def test_a_suggestion_that_we_offered_is_known(each: FlaskClient) -> None:
    store = _store(each)
    suggestion = ACCEPTED["acceptedSuggestions"][0]["id"]
    card = StoredCard(
        str(ACCEPTED["card"]),
        "meam-risk",
        "h",
        "open",
        "p",
        "info",
        "m",
        suggestion_uuids=(suggestion,),
    )
    store.record_answer([], [card], {})
    assert _post(each, ACCEPTED).status_code == 200
    assert [row.known_card for row in _rows(each)] == [True]


def test_r66_a_comment_is_encrypted_and_in_no_log(
    each: FlaskClient, log: Any, tmp_path: Path
) -> None:
    _post(each, WITH_REASON)
    (row,) = _rows(each)
    place = tables.place(tables.feedback.c.comment, row.fingerprint)
    assert _store(each).keys.decrypt(row.comment, place).decode() == COMMENT
    assert COMMENT not in log.getvalue()
    assert all(COMMENT.encode() not in file.read_bytes() for file in tmp_path.iterdir())
    assert COMMENT not in repr(FeedbackItem("c", "overridden", "t", user_comment=COMMENT))


def test_feedback_to_an_unknown_service_is_404(client: FlaskClient) -> None:
    response = client.post("/cds-services/other/feedback", json={"feedback": []})
    assert response.status_code == 404


def test_a_batch_is_stored_whole_or_not_at_all(each: FlaskClient) -> None:
    store = _store(each)

    def items() -> tuple[FeedbackItem, ...]:
        good = FeedbackItem("c", "overridden", "2026-11-23T00:00:00Z")
        bad = FeedbackItem("c", "overridden", None)  # type: ignore[arg-type]  # violates NOT NULL
        return good, bad

    crash: Callable[[], object] = lambda: store_feedback(store, "meam-risk", "open", items())  # noqa: E731
    with pytest.raises(Exception, match=r"NOT NULL|not-null"):
        crash()
    assert _rows(each) == []


@pytest.mark.parametrize("headers", [{"Content-Type": "text/plain"}, {}])
def test_feedback_wants_json(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post(URL, data=b"{}", headers=headers).status_code == 415
