"""``meam database`` and ``meam purge``: for those who administer the service's database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds_hooks.commands import (
    config_option,
    in_one_sentence,
    opened_store,
    progress_bar,
    settings_of,
)

if TYPE_CHECKING:
    from cds_hooks.settings import Settings
    from cds_hooks.store import Store


@click.group()
def database() -> None:
    """Look after the database of the service."""


@database.command()
@config_option
@in_one_sentence
def migrate(config: Path | None) -> None:
    """Create or migrate the database, as the service does when it starts.

    Run by an account that may change tables, it lets the service do without that right.
    """
    from cds_hooks.migrations import SCHEMA_VERSION

    with opened_store(config):
        pass
    click.echo(f"The database has schema version {SCHEMA_VERSION}.")


@database.command()
@config_option
@in_one_sentence
def status(config: Path | None) -> None:
    """Say which schema the database has, and how many rows wait for the purge. Changes nothing."""
    from cds_hooks.database import is_missing, open_engine
    from cds_hooks.migrations import SCHEMA_VERSION, schema_version

    settings = settings_of(config)
    if is_missing(settings.database_url):
        click.echo("The file of the database is not there; 'meam database migrate' makes it.")
        return
    engine = open_engine(settings.database_url)
    version = schema_version(engine)
    backend = engine.dialect.name
    engine.dispose()
    if version is None:
        click.echo(f"{backend}, empty; 'meam database migrate' creates version {SCHEMA_VERSION}.")
        return
    click.echo(f"{backend}, schema version {version}; this program has {SCHEMA_VERSION}.")
    if version == SCHEMA_VERSION:
        click.echo(_due(config))


@database.command()
@config_option
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="New file."
)
@in_one_sentence
def backup(config: Path | None, out: Path) -> None:
    """Copy a SQLite database while the service runs. The key file has to be kept apart from it.

    The purge does not reach copies: delete them when their content is over its time.
    """
    from cds_hooks.database import back_up

    with opened_store(config) as store:
        back_up(store.engine, out)
    click.echo(f"Wrote {out}.")


@click.command()
@config_option
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--all-sentences", is_flag=True, help="Empty the sentence cache, used lately or not.")
@in_one_sentence
def purge(config: Path | None, *, dry_run: bool, all_sentences: bool) -> None:
    """Delete expired explanations, cards and feedback older than keep_cards_days, and cached
    sentences that were not used for sentence_cache_days.

    Run it daily. The audit log records it; 'meam archive-audit' is for the log itself.
    """
    from cds_hooks import retention

    if dry_run:
        click.echo(_due(config, all_sentences=all_sentences))
        return
    settings = settings_of(config)
    keep, cool = _times(settings.keep_cards_days, settings.cool_down.hours)
    with opened_store(config) as store:
        due = sum(retention.overdue(store, keep, cool).values())
        with progress_bar("deleting", due) as bar:
            counts = retention.purge(store, keep, cool, progress=bar)
        if sentences := _sentences(settings):
            days = 0.0 if all_sentences else settings.sentence_cache_days
            counts["sentences"] = _purge_sentences(store, sentences, days)
    click.echo(f"Deleted: {_counted(counts)}.")


def _due(config: Path | None, *, all_sentences: bool = False) -> str:
    from cds_hooks.retention import overdue
    from cds_hooks.sentence_cache_file import unused_rows

    settings = settings_of(config)
    with opened_store(config) as store:
        counts = overdue(store, *_times(settings.keep_cards_days, settings.cool_down.hours))
    if sentences := _sentences(settings):
        days = 0.0 if all_sentences else settings.sentence_cache_days
        counts["sentences"] = unused_rows(sentences, days)
    return f"Over their time: {_counted(counts)}."


def _sentences(settings: Settings) -> Path | None:
    """The file of the sentence cache, where there is one."""
    file = settings.sentence_cache
    return file if file is not None and file.exists() else None


def _purge_sentences(store: Store, file: Path, days: float) -> int:
    from cds_hooks.audit import append_audit
    from cds_hooks.database import writing
    from cds_hooks.sentence_cache_file import purge_rows

    count = purge_rows(file, days)
    facts = {"deleted": "sentences", "rows": count}
    with writing(store.engine) as connection:
        append_audit(connection, store.keys, at=store.clock(), event="purge batch", facts=facts)
    return count


def _times(keep_cards_days: float, cool_down_h: float) -> tuple[timedelta, timedelta]:
    return timedelta(days=keep_cards_days), timedelta(hours=cool_down_h)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
