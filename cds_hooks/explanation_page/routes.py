"""``/explanations/<token>``: one page for one card, under the strictest policy of browsers."""

from __future__ import annotations

from datetime import UTC, tzinfo
from functools import partial

import structlog
from flask import Blueprint, Response, make_response, render_template

from cds_hooks.errors import (
    CiphertextRefused,
    ExplanationNotFound,
    ExplanationUnreadable,
    KeyLost,
    LinkExpired,
    LinkInvalid,
    StoreUnavailable,
)
from cds_hooks.explanation_page.model_card import ModelCard
from cds_hooks.explanation_page.page import page_of
from cds_hooks.explanation_page.visible import visible
from cds_hooks.links import EXPLANATION_PATH, ExplanationLinks
from cds_hooks.store import Store

# Nothing from elsewhere, no script at all, no framing: notes are text that others wrote.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",  # the address is the key to the page
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NOT_OURS = (
    404,
    "This is not a link to an explanation",
    "The address is incomplete or was changed. Please open the explanation from the card again.",
)
GONE = (
    410,
    "This explanation is no longer available",
    "Links to explanations expire, and explanations are deleted after a time. "
    "Opening the patient's chart again gives a new card with a new link.",
)
LATER = (
    503,
    "This explanation cannot be shown now",
    "The service cannot reach its database. Please try again in a few minutes.",
)
UNREADABLE = (
    500,
    "This explanation cannot be shown",
    "It is stored, but cannot be read. Please tell whoever operates this service.",
)


def explanation_pages(
    store: Store,
    links: ExplanationLinks,
    model_card: ModelCard | None = None,
    zone: tzinfo = UTC,
) -> Blueprint:
    """Return the blueprint of the explanation pages, of their style sheet and of the model card.

    Times stand on the pages in ``zone``.
    """
    pages = Blueprint(
        "explanation_page",
        __name__,
        url_prefix=EXPLANATION_PATH.rstrip("/"),
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )
    pages.get("/<token>", endpoint="show")(partial(_show, store, links, model_card, zone))
    if model_card is not None:
        pages.get("/model-card", endpoint="model_card")(partial(_show_model_card, model_card))
    return pages


def _show_model_card(card: ModelCard) -> Response:
    """Answer without a token: the card says nothing about a patient."""
    return _answer(200, render_template("explanation_page/model_card.html", card=card))


def _show(
    store: Store, links: ExplanationLinks, model_card: ModelCard | None, zone: tzinfo, token: str
) -> Response:
    try:
        card_uuid = links.card_uuid(token)
        stored = store.load_explanation(card_uuid)
    except LinkInvalid:
        return _sorry(*NOT_OURS)
    except (LinkExpired, ExplanationNotFound):
        return _sorry(*GONE)
    except StoreUnavailable as exc:
        structlog.get_logger().error("explanation unavailable", reason=exc.reason)
        return _sorry(*LATER)
    except (KeyLost, CiphertextRefused, ExplanationUnreadable) as exc:
        structlog.get_logger().error("explanation unreadable", card=card_uuid, reason=str(exc))
        return _sorry(*UNREADABLE)
    page = page_of(stored, zone)
    has_card = model_card is not None and model_card.is_of(page.model)
    return _answer(
        200, render_template("explanation_page/page.html", page=page, model_card=has_card)
    )


def _sorry(status: int, title: str, sentence: str) -> Response:
    body = render_template("explanation_page/sorry.html", title=title, sentence=sentence)
    return _answer(status, body)


def _answer(status: int, body: str) -> Response:
    # JSON can hold half a character (a lone surrogate), which no encoding can; it becomes "?".
    response = make_response(visible(body).encode("utf-8", "replace"), status)
    response.headers.update(HEADERS)
    response.headers["Cache-Control"] = "no-store"
    return response
