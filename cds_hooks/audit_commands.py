"""``meam verify-audit``, and ``meam archive-audit`` for what becomes of old lines."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from cds_hooks.commands import config_option, in_one_sentence, opened_store

_FILE = click.Path(dir_okay=False, path_type=Path)
_PRESENT = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("verify-audit")
@config_option
@click.option(
    "--witness",
    type=_FILE,
    help="File of remembered heads: checked, then the newest head is added to it.",
)
@click.option("--log", "logs", type=_PRESENT, multiple=True, help="Log of the service, as witness.")
@click.option("--archive", "archives", type=_PRESENT, multiple=True, help="Archives, oldest first.")
@in_one_sentence
def verify_audit_command(
    config: Path | None, witness: Path | None, logs: tuple[Path, ...], archives: tuple[Path, ...]
) -> None:
    """Check the audit log: any line edited, removed, reordered or cut off is found.

    A database that was put back as a whole to an older state is found with a witness: keep the
    file where those who administer the database cannot write.
    """
    from cds_hooks.audit_archive import read_archives
    from cds_hooks.audit_check import verify_audit
    from cds_hooks.audit_witness import read_heads, remember_head

    files = [*logs, *([witness] if witness and witness.exists() else [])]
    heads = [head for file in files for head in read_heads(file)]
    with opened_store(config) as store:
        lines = verify_audit(
            store.engine, store.keys, witnesses=heads, archives=read_archives(archives)
        )
        if witness:
            remember_head(store, witness)
    against = f" {len(heads)} remembered heads agree." if heads else ""
    click.echo(f"The audit log is whole: {lines} lines.{against}")


@click.command("archive-audit")
@config_option
@click.option("--older-than-days", type=click.FloatRange(min=0), required=True, help="Age.")
@click.option("--out", type=_FILE, required=True, help="New file for the lines.")
@in_one_sentence
def archive_audit_command(config: Path | None, older_than_days: float, out: Path) -> None:
    """Move old lines of a verified log into a file; the rest stays verifiable by itself."""
    from cds_hooks.audit_archive import archive_audit

    with opened_store(config) as store:
        moved = archive_audit(store, store.clock() - timedelta(days=older_than_days), out)
    click.echo(f"Moved {moved} lines to {out}." if moved else "No line is that old.")
