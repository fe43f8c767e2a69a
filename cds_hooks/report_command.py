"""``meam report``: what the service did in a period, as one page or one JSON object."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from cds_hooks.commands import config_option, in_one_sentence, opened_store

_DATE = click.DateTime(formats=["%Y-%m-%d"])


@click.command()
@config_option
@click.option("--from", "since", type=_DATE, help="From this day on (UTC).")
@click.option("--to", "until", type=_DATE, help="Before this day (UTC).")
@click.option("--service", "service_id", help="Only of this service.")
@click.option("--issuer", help="Only for this issuer of JWTs.")
@click.option("--tenant", help='Only for this tenant of an issuer; "" for none.')
@click.option(
    "--outcomes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV of outcomes: patient_id, time, outcome; or prediction_id, outcome.",
)
@click.option(
    "--least-cell",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Counts from 1 to below this are hidden.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("service-report.html"),
    show_default=True,
    help="The page.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@in_one_sentence
def report(
    config: Path | None,
    since: datetime | None,
    until: datetime | None,
    service_id: str | None,
    issuer: str | None,
    tenant: str | None,
    outcomes: Path | None,
    least_cell: int,
    output: Path,
    *,
    as_json: bool,
) -> None:
    """Draw a service report: cards, feedback, next steps, times, drift, accuracy.

    One HTML file that loads nothing and holds no patient; it reads the service's database only.
    With --outcomes it compares predictions with what came of them: of each outcome the first
    prediction before it. Where several issuers or tenants were answered, outcomes by patient_id
    need --issuer or --tenant: patients of two hospitals may have the same id.
    """
    from cds_hooks.service_report.page import page
    from cds_hooks.service_report.reading import Period
    from cds_hooks.service_report.report import service_report

    period = Period(_utc(since), _utc(until), service_id, issuer, tenant)
    with opened_store(config) as store:
        document = service_report(store, period, outcomes=outcomes, least_cell=least_cell)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    try:
        output.write_text(page(document), encoding="utf-8")
    except OSError as exc:
        raise click.ClickException(f"{output} was not written: {exc.strerror}.") from exc
    click.echo(f"Wrote {output}.")


def _utc(day: datetime | None) -> datetime | None:
    return day.replace(tzinfo=UTC) if day else None
