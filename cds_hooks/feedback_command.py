"""``meam feedback``: what became of the cards, as tables of counts and rates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds_hooks.commands import config_option, in_one_sentence, opened_store

if TYPE_CHECKING:
    from cds_hooks.feedback_report import FeedbackReport
    from cds_hooks.rates import Rate, StepTally, Tally

_DATE = click.DateTime(formats=["%Y-%m-%d"])
_NAME_WIDTH, _RATE_WIDTH = 34, 22


@click.command()
@config_option
@click.option("--since", type=_DATE, help="Only cards shown from this day on (UTC).")
@click.option("--until", type=_DATE, help="Only cards shown before this day (UTC).")
@click.option("--service", "service_id", help="Only cards of this service.")
@click.option("--issuer", help="Only cards for this issuer of JWTs.")
@click.option("--tenant", help='Only cards for this tenant of an issuer; "" for none.')
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@in_one_sentence
def feedback(
    config: Path | None,
    since: datetime | None,
    until: datetime | None,
    service_id: str | None,
    issuer: str | None,
    tenant: str | None,
    *,
    as_json: bool,
) -> None:
    """Report how many cards were accepted and overridden, and why.

    Rates are shares of the cards that were answered, with 95 % intervals. The report holds counts
    only, nothing about a patient or a user.
    """
    from cds_hooks.feedback_report import feedback_report

    with opened_store(config) as store:
        report = feedback_report(
            store,
            since=_utc(since),
            until=_utc(until),
            service_id=service_id,
            issuer=issuer,
            tenant=tenant,
        )
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
        return
    for line in _lines(report):
        click.echo(line)


def _utc(day: datetime | None) -> datetime | None:
    return day.replace(tzinfo=UTC) if day else None


def _lines(report: FeedbackReport) -> list[str]:
    whole = report.all_cards
    lines = _table("All cards", {"all": whole})
    lines += _table("By indicator", report.by_indicator)
    lines += _table("By week of the card (ISO, UTC)", report.by_week)
    lines += _table("By driver (a card counts under each of its reasons)", report.by_driver)
    lines += _table("By next step (a card counts under each that it offered)", report.by_step)
    lines += ["", f"Override reasons, of {whole.overridden} overridden cards"]
    lines += [f"  {name}: {_rate(rate)}" for name, rate in report.reason_rates().items()]
    lines += ["", f"Overridden cards with a comment: {report.with_comment}"]
    lines.append(f"Suggestions accepted: {report.suggestions_accepted}")
    lines.append(
        f"Feedback about cards or suggestions that we did not send: {report.unknown_items}"
    )
    return lines[1:]


def _table(title: str, groups: Mapping[str, Tally] | Mapping[str, StepTally]) -> list[str]:
    heads = "".join(name.ljust(_RATE_WIDTH) for name in ("answered", "accepted", "overridden"))
    lines = ["", title, f"  {'':{_NAME_WIDTH}}{'cards':>7}  {heads}".rstrip()]
    for name, tally in groups.items():
        rates = "".join(_rate(rate).ljust(_RATE_WIDTH) for rate in tally.rates().values())
        lines.append(f"  {name:{_NAME_WIDTH}}{tally.cards:>7}  {rates}".rstrip())
    return lines


def _rate(rate: Rate) -> str:
    interval = rate.interval()
    if interval is None:
        return "0 of 0"
    low, high = (round(100 * end) for end in interval)
    return f"{rate.count} ({100 * rate.count / rate.of:.0f} %, {low} to {high})"
