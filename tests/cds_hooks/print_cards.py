"""Prints the cards of many charts as an EHR that shows plain text would, to be read critically.

``python -m tests.cds_hooks.print_cards`` prints those of the sample patients;
``--archive clinosim --most 20`` those of charts that nobody here wrote, each at its last moment.
docs/cards.md shows some; ``--document`` writes them anew, and a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import click

from cds_hooks.recommendations.offer import Recommender, new_recommender
from cds_hooks.settings import Settings
from cds_hooks.wording import repeated_card, write_card
from fhir_adapters.chart import Chart
from fhir_adapters.datasets.sample_patients import sample_charts
from fhir_adapters.errors import ChartError
from fhir_adapters.last_moment import record_at_last_moment
from fhir_adapters.record_builder import build_record
from model.predictor import Predictor, load_predictor
from model.record import PatientRecord
from tests.fhir_adapters.corpus import charts_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SETTINGS = Settings(show_low_risk=True, display_time_zone="Europe/Berlin")


@cache
def shipped() -> tuple[Predictor, Recommender]:
    """The shipped model and the shipped next steps."""
    return load_predictor(SETTINGS.checkpoint), new_recommender(SETTINGS)


def card_of(
    chart: Chart, record: PatientRecord, drifting: tuple[str, ...] = ()
) -> dict[str, Any] | None:
    """The card for a chart, as JSON."""
    predictor, recommender = shipped()
    prediction, explanation = predictor(record)
    steps = recommender.offer(chart, record, prediction, explanation)
    settings = replace(SETTINGS, public_base_url="https://cds.hospital.example")
    written = write_card(
        prediction, explanation, record.report, settings, "https://x.org/{}".format, steps, drifting
    )
    return written.card.to_json() if written else None


def sample_card(name: str, drifting: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """The card of a sample patient."""
    chart = sample_charts(NOW)[name]
    return card_of(chart, build_record(chart, NOW), drifting)


def text_of(card: Mapping[str, Any]) -> str:
    """A card as plain text: what an EHR shows that does not render Markdown."""
    lines = [f"[{card['indicator']}] {card['summary']}", "", str(card.get("detail", ""))]
    lines += ["", *(f"( {one['label']} )" for one in card.get("suggestions", ()))]
    return "\n".join(lines).rstrip()


def cards_of_archive(archive: str, most: int) -> Iterator[tuple[str, str]]:
    """Patient and text of the card, or why there is none, of charts of a corpus."""
    for chart in islice(charts_of(archive), most):
        try:
            record = record_at_last_moment(chart, NOW)
        except ChartError as exc:
            yield chart.patient_id, f"refused: {exc}"
            continue
        if record is None:
            yield chart.patient_id, "no data with a time"
            continue
        card = card_of(chart, record)
        yield chart.patient_id, text_of(card) if card else "no card"


def changed(name: str, kind: str, **members: Any) -> dict[str, Any]:
    """The card of a sample patient, with members of one kind of resource replaced."""
    chart = sample_charts(NOW)[name]
    resources = tuple(
        {**one, **members} if one["resourceType"] == kind else one for one in chart.resources
    )
    other = replace(chart, resources=resources)
    return card_of(other, build_record(other, NOW)) or {}


def repeated() -> dict[str, Any]:
    """The short form that the cool-down shows instead of a card that was seen."""
    chart = sample_charts(NOW)["sepsis"]
    predictor, _ = shipped()
    record = build_record(chart, NOW)
    prediction, explanation = predictor(record)
    written = write_card(
        prediction, explanation, record.report, SETTINGS, "https://x.org/{}".format
    )
    assert written is not None
    before = NOW - timedelta(hours=3)
    shown = {task.task: task.probability - 0.04 for task in prediction.tasks}
    return repeated_card(written.card, prediction, before, shown, SETTINGS).to_json()


EXAMPLES: dict[str, Callable[[], dict[str, Any] | None]] = {  # of docs/cards.md
    "sepsis": lambda: sample_card("sepsis"),
    "uncertain": lambda: sample_card("delirium"),
    "low": lambda: sample_card("postoperative"),
    "drift": lambda: sample_card("gi-bleeding", ("lactate", "device/heart_rate")),
    "ambulatory": lambda: changed("observation", "Encounter", **{"class": {"code": "AMB"}}),
    "short": repeated,
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "cards.md"
_BLOCK = r"<!-- card {} -->\n```text\n(.*?)\n```"


def shown_in_document(name: str) -> str:
    """The text that docs/cards.md shows for an example."""
    (text,) = re.findall(_BLOCK.format(name), DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return str(text)


def write_document() -> None:
    """Write the examples of docs/cards.md as the cards are now."""
    page = DOCUMENT.read_text(encoding="utf-8")
    for name, card in EXAMPLES.items():
        block = f"<!-- card {name} -->\n```text\n{text_of(card() or {})}\n```"
        page = re.sub(_BLOCK.format(name), lambda _, block=block: block, page, flags=re.DOTALL)
    DOCUMENT.write_text(page, encoding="utf-8")


@click.command()
@click.option("--document", is_flag=True, help="Write the examples of docs/cards.md instead.")
@click.option("--archive", help="Of ../shared/fhir-corpus; default: the sample patients.")
@click.option("--most", default=20, show_default=True)
def main(archive: str | None, most: int, *, document: bool) -> None:
    """Print cards."""
    if document:
        write_document()
        return
    if archive:
        found = cards_of_archive(archive, most)
    else:
        found = ((name, text_of(sample_card(name) or {})) for name in sample_charts(NOW))
    for name, text in found:
        click.echo(f"{'=' * 20} {name}\n{text}\n")


if __name__ == "__main__":
    main()
