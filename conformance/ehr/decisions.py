"""What a clinician does with a card: accept a suggestion, or override the card with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from conformance.ehr.accepting import (
    CannotAccept,
    create,
    identified,
    read_back,
    resources_to_create,
)
from conformance.ehr.cds_client import CdsClient
from conformance.ehr.desk import desk
from conformance.ehr.http import CallFailed
from conformance.ehr.safe_markdown import plain
from conformance.ehr.visits import Visit

decisions = Blueprint("decisions", __name__)
_LONGEST_COMMENT = 500


@decisions.post("/<int:number>/patients/<patient_id>/override")
def override(number: int, patient_id: str) -> AnyResponse:
    """Report that a card was overridden, with the reason if one was picked."""
    client, card = desk().client(number), request.form["card"]
    item: dict[str, Any] = {"card": card, "outcome": "overridden"}
    code, _, system = request.form.get("reason", "").partition(" ")
    comment = request.form.get("comment", "").strip()[:_LONGEST_COMMENT]
    reason: dict[str, Any] = {"reason": {"code": code, "system": system}} if code else {}
    if comment:
        reason["userComment"] = comment
    if reason:
        item["overrideReason"] = reason
    visit = desk().visits.find(request.form, patient_id)
    with visit.busy if visit else nullcontext():
        if visit is None or card not in visit.overridden:
            sent = client.send_feedback(request.form["service"], item)
            if visit:
                visit.overridden[card] = _reason_text(visit, card, code) or comment
                visit.feedback.append(sent)
    return _back(number, patient_id, visit, [])


@decisions.post("/<int:number>/patients/<patient_id>/accept")
def accept(number: int, patient_id: str) -> AnyResponse:
    """Create what a suggestion proposes, then report that it was accepted.

    Pressing the button again, in this tab or another, changes nothing any more.
    """
    client = desk().client(number)
    suggestion = desk().seals.open(request.form["suggestion"], patient_id)
    visit = desk().visits.find(request.form, patient_id)
    with visit.busy if visit else nullcontext():
        if visit and suggestion["suggestion"] in visit.accepted:
            created = visit.accepted[suggestion["suggestion"]].split(", ")
        elif visit and visit.closed_for(suggestion["card"]):
            raise CannotAccept(
                "This card was overridden, or another of its suggestions was accepted already."
            )
        else:
            created = _carry_out(client, suggestion, patient_id)
            _report(client, suggestion, created, visit)
            if visit:  # only now: what was not reported is reported at the next press
                visit.accepted[suggestion["suggestion"]] = ", ".join(created)
    return _back(number, patient_id, visit, created)


def _carry_out(client: CdsClient, suggestion: dict[str, Any], patient_id: str) -> list[str]:
    """Create all resources of a suggestion and read them back. Return their references."""
    server, token = client.connection.fhir_server, client.connection.fhir_token
    references = []
    for index, resource in enumerate(resources_to_create(suggestion["actions"], patient_id)):
        wanted = identified(resource, suggestion["suggestion"], index)
        reference = create(server, wanted, token)
        read_back(server, reference, wanted, token)
        references.append(reference)
    return references


def _report(
    client: CdsClient, suggestion: dict[str, Any], created: list[str], visit: Visit | None
) -> None:
    item = {
        "card": suggestion["card"],
        "outcome": "accepted",
        "acceptedSuggestions": [{"id": suggestion["suggestion"]}],
    }
    try:
        sent = client.send_feedback(suggestion["service"], item)
    except CallFailed as exc:
        raise CallFailed(f"{', '.join(created)} was created, but not reported: {exc}") from exc
    if visit:
        visit.feedback.append(sent)


def _reason_text(visit: Visit, card_uuid: str, code: str) -> str:
    cards = (card for exchange in visit.exchanges for card in exchange.cards)
    reasons = (one for card in cards if card.uuid == card_uuid for one in card.override_reasons)
    return next((one.display for one in reasons if one.code == code), plain(code))


def _back(number: int, patient_id: str, visit: Visit | None, created: Sequence[str]) -> AnyResponse:
    """Return to the chart as it was opened, and say there what was done.

    What was done is sealed: an address alone cannot claim an order. Without a visit, as after a
    restart, the chart is opened again.
    """
    where: dict[str, Any] = {"said": desk().seals.say(patient_id, created)}
    if visit:
        where["visit"] = visit.number
    return redirect(url_for("ehr.chart", number=number, patient_id=patient_id, **where))
