"""Requirements 3 and 39 to 56: what a card may be. The builders refuse all else."""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from typing import Any

import pytest
from fhir.resources.R4B.servicerequest import ServiceRequest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from cds_hooks.cards import Action, Card, Coding, Link, Source, Suggestion, cards_response
from cds_hooks.errors import InvalidCard
from tests.cds_hooks import world
from tests.cds_hooks.conftest import Service, refuse_empty

URL = "/cds-services/meam-risk"
ORDER = {
    "resourceType": "ServiceRequest",
    "status": "draft",
    "intent": "proposal",
    "subject": {"reference": "Patient/pat-1"},
}
CREATE = Action("create", "Order lactate", ORDER)
SUGGESTION = Suggestion("Order lactate", "s-1", (CREATE,), is_recommended=True)
CARD = Card(
    uuid="c-1",
    summary="Estimated risk: 38 %.",
    indicator="warning",
    source=Source("MEAM", "https://example.org", "https://example.org/icon.png"),
    detail="Why",
    suggestions=(SUGGESTION,),
    selection_behavior="any",
    override_reasons=(Coding("c", "http://s", "Not applicable"),),
    links=(Link("Explanation", "https://example.org/x"),),
    extension={"org.example.thing": {"a": 1}},
)


def test_a_whole_card() -> None:
    assert CARD.to_json() == {
        "uuid": "c-1",
        "summary": "Estimated risk: 38 %.",
        "detail": "Why",
        "indicator": "warning",
        "source": {
            "label": "MEAM",
            "url": "https://example.org",
            "icon": "https://example.org/icon.png",
        },
        "suggestions": [
            {
                "label": "Order lactate",
                "uuid": "s-1",
                "isRecommended": True,
                "actions": [{"type": "create", "description": "Order lactate", "resource": ORDER}],
            }
        ],
        "selectionBehavior": "any",
        "overrideReasons": [{"code": "c", "system": "http://s", "display": "Not applicable"}],
        "links": [{"label": "Explanation", "url": "https://example.org/x", "type": "absolute"}],
        "extension": {"org.example.thing": {"a": 1}},
    }


def test_r3_members_without_a_value_are_left_out() -> None:
    card = Card("c-1", "Short.", "info", Source("MEAM"))
    assert set(card.to_json()) == {"uuid", "summary", "indicator", "source"}


def test_r4_action_resources_are_standard_fhir() -> None:
    ServiceRequest.model_validate(CREATE.to_json()["resource"])


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("r40 140 characters", {"summary": "x" * 140}, "has 140 characters"),
    ("r40 no summary", {"summary": ""}, "has 0 characters"),
    ("r40 line break", {"summary": "a\nb"}, "a line break"),
    ("r42 indicator", {"indicator": "hard-stop"}, "info, warning or critical"),
    ("r43 no label", {"source": Source("")}, "source.label"),
    ("r43 icon", {"source": Source("a", icon="/icon.png")}, "source.icon"),
    ("r44 no uuid", {"uuid": ""}, "card.uuid"),
    ("r45 no behaviour", {"selection_behavior": ""}, "at-most-one or any"),
    ("r45 wrong behaviour", {"selection_behavior": "all"}, "at-most-one or any"),
    ("r45 nothing to select", {"suggestions": ()}, "for cards with suggestions"),
    (
        "r46 two recommended",
        {
            "suggestions": (SUGGESTION, dataclasses.replace(SUGGESTION, uuid="s-2")),
            "selection_behavior": "at-most-one",
        },
        "at most one recommended",
    ),
    ("r47 label", {"suggestions": (Suggestion("", "s"),)}, "needs label"),
    (
        "r49 no description",
        {"suggestions": (Suggestion("a", "s", (Action("create", "", ORDER),)),)},
        "description is required",
    ),
    (
        "r49 create nothing",
        {"suggestions": (Suggestion("a", "s", (Action("create", "d"),)),)},
        "carries a whole resource",
    ),
    (
        "r49 update without id",
        {"suggestions": (Suggestion("a", "s", (Action("update", "d", ORDER),)),)},
        "needs its id",
    ),
    (
        "r49 delete with resource",
        {"suggestions": (Suggestion("a", "s", (Action("delete", "d", ORDER, "Task/1"),)),)},
        "carries no resource",
    ),
    (
        "r49 delete absolute",
        {"suggestions": (Suggestion("a", "s", (Action("delete", "d", None, "http://x/Task/1"),)),)},
        "relative reference",
    ),
    (
        "r3 null in resource",
        {"suggestions": (Suggestion("a", "s", (Action("create", "d", {**ORDER, "note": []}),)),)},
        "action.resource.note is null or empty",
    ),
    ("r50 no display", {"override_reasons": (Coding("c", "http://s"),)}, "needs a display"),
    ("r51 relative", {"links": (Link("a", "/x"),)}, "link.url"),
    ("r51 script", {"links": (Link("a", "javascript:alert(1)"),)}, "link.url"),
    ("r52 context", {"links": (Link("a", "https://x.org", app_context="1"),)}, "appContext"),
    ("r55 no system", {"override_reasons": (Coding("c", "", "d"),)}, "code and system"),
    ("r56 key", {"extension": {"Thing": 1}}, "reversed domain"),
]


@pytest.mark.parametrize(
    ("changes", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_invalid_cards_do_not_come_into_being(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCard, match=message):
        dataclasses.replace(CARD, **changes)


def test_r40_139_characters_are_allowed() -> None:
    assert dataclasses.replace(CARD, summary="x" * 139).to_json()["summary"] == "x" * 139


def test_r40_characters_count_as_a_browser_counts_them() -> None:
    with pytest.raises(InvalidCard, match="has 140 characters"):
        dataclasses.replace(CARD, summary="🩺" * 70)


def test_r44_uuids_are_unique_in_a_response() -> None:
    with pytest.raises(InvalidCard, match="unique"):
        cards_response((CARD, CARD))


def test_r46_any_allows_several_recommended() -> None:
    both = (SUGGESTION, dataclasses.replace(SUGGESTION, uuid="s-2"))
    assert len(dataclasses.replace(CARD, suggestions=both).to_json()["suggestions"]) == 2


def test_r47_is_recommended_false_is_kept() -> None:
    suggestion = dataclasses.replace(SUGGESTION, is_recommended=False)
    assert suggestion.to_json()["isRecommended"] is False


def test_r48_action_selection_behavior_only_where_supported() -> None:
    suggestion = dataclasses.replace(SUGGESTION, action_selection_behavior="any")
    card = dataclasses.replace(CARD, suggestions=(suggestion,))
    with pytest.raises(InvalidCard, match="known to support"):
        cards_response((card,))
    answer = cards_response((card,), action_selection_supported=True)
    assert answer["cards"][0]["suggestions"][0]["actionSelectionBehavior"] == "any"


def test_r49_update_and_delete_actions() -> None:
    whole = {**ORDER, "id": "1"}
    assert Action("update", "d", whole).to_json()["resource"] == whole
    assert Action("delete", "d", resource_id="Task/1").to_json() == {
        "type": "delete",
        "description": "d",
        "resourceId": "Task/1",
    }


def test_r52_r53_smart_links() -> None:
    link = Link("App", "https://x.org/launch", "smart", "card c-1", autolaunchable=True)
    assert link.to_json()["appContext"] == "card c-1"
    assert link.to_json()["autolaunchable"] is True


def test_r54_system_actions_are_left_out_when_empty() -> None:
    assert cards_response(()) == {"cards": []}
    answer = cards_response((), (Action("delete", "Withdraw", resource_id="Task/1"),))
    assert answer["systemActions"][0]["description"] == "Withdraw"


TEXT = st.text(max_size=150)
CODINGS = st.builds(Coding, TEXT, TEXT, TEXT)
ACTIONS = st.builds(
    Action,
    st.sampled_from(["create", "update", "delete", "other"]),
    TEXT,
    st.none() | st.dictionaries(st.sampled_from(["resourceType", "id", "note"]), st.none() | TEXT),
    st.sampled_from(["", "Task/1", "x"]),
)
SUGGESTIONS = st.builds(
    Suggestion,
    TEXT,
    TEXT,
    st.lists(ACTIONS, max_size=2).map(tuple),
    st.none() | st.booleans(),
)
LINKS = st.builds(Link, TEXT, st.sampled_from(["", "https://a.org/x", "/x"]), st.just("absolute"))


@given(st.data())
def test_r3_random_cards_are_refused_or_hold_nothing_empty(data: st.DataObject) -> None:
    try:
        card = Card(
            data.draw(TEXT),
            data.draw(TEXT),
            data.draw(st.sampled_from(["info", "warning", "critical"])),
            Source(data.draw(TEXT), data.draw(st.sampled_from(["", "https://a.org"]))),
            data.draw(TEXT),
            tuple(data.draw(st.lists(SUGGESTIONS, max_size=2))),
            data.draw(st.sampled_from(["", "any", "at-most-one"])),
            tuple(data.draw(st.lists(CODINGS, max_size=2))),
            tuple(data.draw(st.lists(LINKS, max_size=2))),
            data.draw(st.dictionaries(TEXT, st.none() | TEXT, max_size=1)),
        )
    except InvalidCard:
        return
    refuse_empty(json.loads(json.dumps(card.to_json())), "$")


def test_r39_success_is_200_with_cards(client: FlaskClient) -> None:
    response = client.post(URL, json=world.hook_request())
    assert response.status_code == 200
    assert isinstance(response.json["cards"], list)


def test_r39_nothing_to_say_is_an_empty_list(client: FlaskClient) -> None:
    response = client.post(URL, json=world.hook_request(world.calm_prefetch()))
    assert response.status_code == 200
    assert response.json == {"cards": []}


def test_r53_r54_our_cards_start_nothing_by_themselves(client: FlaskClient) -> None:
    answer = client.post(URL, json=world.hook_request()).json
    assert "systemActions" not in answer
    for card in answer["cards"]:
        assert not [link for link in card["links"] if "autolaunchable" in link]


def test_r43_the_icon_that_a_card_names_is_served(client: FlaskClient) -> None:
    (card,) = client.post(URL, json=world.hook_request()).json["cards"]
    icon = card["source"]["icon"]
    assert client.get(icon.removeprefix("http://127.0.0.1:5000")).mimetype == "image/png"


def test_r50_override_reasons_have_displays(client: FlaskClient) -> None:
    (card,) = client.post(URL, json=world.hook_request()).json["cards"]
    assert len(card["overrideReasons"]) == 6
    assert all(set(reason) == {"code", "system", "display"} for reason in card["overrideReasons"])


def test_r57_the_same_request_gives_the_same_cards(client: FlaskClient) -> None:
    request = world.hook_request()
    answers = []
    for _ in range(2):
        (card,) = client.post(URL, json=request).json["cards"]
        assert card.pop("uuid")
        assert card.pop("links")
        for suggestion in card["suggestions"]:  # what it creates is named after it
            name = suggestion.pop("uuid")
            (identifier,) = suggestion["actions"][0]["resource"].pop("identifier")
            assert identifier["value"] == f"urn:uuid:{name}"
        answers.append(card)
    assert answers[0] == answers[1]


def test_r43_the_icon_is_an_opaque_png_of_100_pixels(client: FlaskClient) -> None:
    (card,) = client.post(URL, json=world.hook_request()).json["cards"]
    assert card["source"]["icon"] == "http://127.0.0.1:5000/icon.png"
    png = client.get("/icon.png").get_data()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height, depth, colour = struct.unpack(">IIBB", png[16:26])
    assert (width, height, depth, colour) == (100, 100, 8, 2)  # colour type 2 has no alpha
    data_length = struct.unpack(">I", png[33:37])[0]
    assert len(zlib.decompress(png[41 : 41 + data_length])) == 100 * (1 + 300)


def test_low_risk_is_shown_where_a_site_wants_it(service: Service) -> None:
    client = service(show_low_risk=True)
    (card,) = client.post(URL, json=world.hook_request(world.calm_prefetch())).json["cards"]
    assert card["indicator"] == "info"
