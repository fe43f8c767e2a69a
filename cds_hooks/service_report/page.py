"""The report as one HTML file: no script, nothing from elsewhere, numbers beside every picture."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from cds_hooks.limits import input_words
from cds_hooks.service_report.accuracy_page import accuracy_section
from cds_hooks.service_report.cells import Json, is_hidden
from cds_hooks.service_report.elements import (
    Row,
    count_text,
    document_table,
    rate_rows,
    section,
    share_rows,
    share_text,
)
from cds_hooks.service_report.inputs_page import drift_section
from cds_hooks.service_report.style import STYLE
from cds_hooks.service_report.svg import bar
from cds_hooks.service_report.usage import ANSWERS, STATES

_POLICY = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'"


def page(document: Json) -> str:
    """Return the HTML of a document."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
    title = f"Service report, {_period(document)}"
    head = Markup(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="{}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n"
    ).format(_POLICY.format(digest), title, Markup(STYLE))  # noqa: S704  # our own style sheet
    body = Markup("\n").join(_sections(document, title))
    return str(head + body + Markup("\n</main>\n</body>\n</html>\n"))


def _period(document: Json) -> str:
    period = document["period"]
    if period["from"] and period["to"]:
        return f"{period['from']} to before {period['to']}"
    if period["from"]:
        return f"from {period['from']} on"
    return f"until before {period['to']}" if period["to"] else "all that is stored"


def _sections(document: Json, title: str) -> Iterator[Markup]:
    yield _head(document, title)
    yield _key_figures(document)
    yield section(
        "Services and models",
        "",
        document_table(
            "Hooks that were answered",
            ("service", "model", "mode", "hooks"),
            [
                Row((one["service"], one["model"], one["mode"]), (count_text(one["hooks"]),))
                for one in document["services"]
            ],
        ),
    )
    yield section(
        "What was answered",
        "Shares of all answered hooks, in shadow mode of what would have been answered. Requests"
        " that were refused or failed are not in the store; /metrics counts them"
        " (meam_http_answers).",
        share_rows("Answers", document["answers"], ANSWERS),
    )
    yield section(
        "Whether the model could speak",
        "Of several reasons against an estimate the first is counted. Estimates whose explanation"
        f" did not pass its own check: {count_text(document['unexplained'])}.",
        share_rows("Applicability", document["applicability"], STATES),
    )
    yield from _cards(document)
    yield _delays(document["timeToFeedback"], document)
    yield _latency(document["latencyMs"], document)
    yield drift_section(document["drift"])
    if "accuracy" in document:
        yield accuracy_section(document["accuracy"], document["leastCell"])
    yield _notes(document)


def _head(document: Json, title: str) -> Markup:
    return Markup(
        "<h1>{}</h1>\n"
        '<p class="soft">{} Made {}. Days are UTC. Research software: not a medical device, not'
        " validated at this hospital.</p>"
    ).format(
        title,
        _whose(document["period"]),
        document["period"]["madeAt"].replace("T", " ").replace("+00:00", " UTC"),
    )


def _whose(period: Json) -> str:
    service, issuer, tenant = (period[one] for one in ("service", "issuer", "tenant"))
    words = [f"Service {service}." if service else "All services."]
    if issuer is not None:
        words.append(f"Issuer {issuer}.")
    if tenant is not None:
        words.append(f"Tenant {tenant}." if tenant else "No tenant.")
    return " ".join(words)


def _key_figures(document: Json) -> Markup:
    cards, delay, latency = (document[one] for one in ("cards", "timeToFeedback", "latencyMs"))
    figures = [
        (count_text(document["hooks"]), "hooks answered"),
        (count_text(cards["cards"]), "cards shown"),
        (share_text(cards["answered"], interval=False), "of cards were answered"),
        (share_text(cards["accepted"], interval=False), "of answered cards were accepted"),
        (f"{delay['medianMinutes']:.1f} min" if delay else "–", "median time to feedback"),
        (f"{latency['p95']:.0f} ms" if latency else "–", "of time for 95 of 100 answers"),
    ]
    items = Markup("").join(
        Markup("<li><strong>{}</strong><span>{}</span></li>").format(*one) for one in figures
    )
    return Markup('<ul class="key">{}</ul>').format(items)


def _cards(document: Json) -> Iterator[Markup]:
    yield section(
        "Cards shown, and feedback",
        "A card counts with the latest feedback about it. Clients report nothing about a card"
        " that was ignored, so the share of answered cards stands beside the others. Intervals"
        " are 95 % Wilson intervals.",
        rate_rows("By indicator", document["byIndicator"], ("answered", "accepted", "overridden")),
        rate_rows("By week (ISO, UTC)", document["byWeek"], ("answered", "accepted")),
    )
    yield section(
        "Next steps",
        "A step counts as accepted where feedback names its suggestion; of answered cards that"
        " offered it.",
        rate_rows("By next step", document["byStep"], ("answered", "accepted")),
    )
    yield section(
        "Reasons shown",
        "A card counts under each of the reasons that it showed.",
        rate_rows(
            "By reason", document["byDriver"], ("answered", "accepted", "overridden"), _driver
        ),
    )
    yield section(
        "Why cards were overridden",
        f"Overridden cards with a comment: {count_text(document['overriddenWithComment'])}."
        " Comments are not shown here.",
        share_rows("Override reasons", document["overrideReasons"], {}),
    )


def _driver(name: str) -> str:
    """A driver of the feedback report in words: "Lactate", "Heart rate (monitor)"."""
    modality, _, variable = name.partition(": ")
    if not variable:
        return name
    return input_words(f"device/{variable}" if modality == "device" else variable)


def _delays(delays: Json | None, document: Json) -> Markup:
    if delays is None:
        return section("Time to feedback", f"Fewer than {document['leastCell']} cards have any.")
    low, high = delays["quartilesMinutes"]
    said = (
        f"Half of the {delays['answered']} answered cards had feedback within"
        f" {delays['medianMinutes']:.1f} minutes, the middle half between {low:.1f} and"
        f" {high:.1f}. Feedback with a time before its card, which tells of a wrong clock:"
        f" {count_text(delays['beforeTheirCard'])}."
    )
    return section("Time to feedback", said, _counts("From card to feedback", delays["counts"]))


def _latency(latency: Json | None, document: Json) -> Markup:
    if latency is None:
        return section("Time to answer", f"Fewer than {document['leastCell']} hooks.")
    said = (
        f"Half of the answers took at most {latency['p50']:.0f} ms, 95 of 100 at most"
        f" {latency['p95']:.0f} ms, 99 of 100 at most {latency['p99']:.0f} ms: from the arrival"
        " of a request until its answer was stored."
    )
    return section("Time to answer", said, _counts("Time to answer", latency["counts"]))


def _counts(caption: str, counts: dict[str, Any]) -> Markup:
    """Counts that are no shares of a stated whole, because some may be hidden."""
    scale = max([1, *(one for one in counts.values() if not is_hidden(one))])
    return document_table(
        caption,
        ("", "number", ""),
        [
            Row((name,), (count_text(one),), None if is_hidden(one) else bar(one, scale=scale))
            for name, one in counts.items()
        ],
    )


def _notes(document: Json) -> Markup:
    least, unreadable = document["leastCell"], document["unreadable"]
    notes: Sequence[str] = [
        f"Counts below {least}, beside 0, are written as “fewer than {least}”; figures from which"
        " they would follow are “hidden”, and where one group alone were so, a second one is, which"
        " may be large."
        if least > 1
        else "Small counts are shown: this report may point at single patients.",
        "Answered hooks are stored since schema version 3; cards and feedback before that.",
        f"Feedback about cards or suggestions that were not ours:"
        f" {count_text(document['unknownItems'])}.",
    ]
    if unreadable:
        notes = [*notes, f"Answered hooks that no key reads, and that are missing: {unreadable}."]
    items = Markup("").join(Markup("<li>{}</li>").format(one) for one in notes)
    return section("Notes", "", Markup("<ul>{}</ul>").format(items))
