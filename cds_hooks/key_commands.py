"""``meam keys``: make, rotate, list the keys of stored data, and encrypt these anew."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cds_hooks.commands import (
    config_option,
    in_one_sentence,
    opened_store,
    progress_bar,
    settings_of,
)


@click.group()
def keys() -> None:
    """Keys that encrypt stored data, sign links and the audit log."""


@keys.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@in_one_sentence
def make(out: Path | None) -> None:
    """Make a fresh key; print it, or write a new file that only you may read.

    A key ring file holds one key a line: new data use the first, old data may use any.
    """
    from cds_hooks.key_file import make_key_file
    from cds_hooks.keys import new_key

    if out is None:
        click.echo(new_key())
        return
    make_key_file(out)
    click.echo(f"Wrote {out}.", err=True)


keys.add_command(make, "generate")  # its name in the first release


@keys.command()
@config_option
@in_one_sentence
def rotate(config: Path | None) -> None:
    """Put a fresh key in front of those in the key file; the old ones stay for reading.

    Restart the service afterwards, then run ``meam keys re-encrypt``. On several machines, copy
    the file to all of them before the first restart.
    """
    from cds_hooks.audit import append_audit
    from cds_hooks.database import writing
    from cds_hooks.errors import CommandError
    from cds_hooks.key_file import rotate_key_file
    from cds_hooks.store import Store

    settings = settings_of(config)
    if settings.keys or settings.key_file is None:
        raise CommandError(
            "The keys are in MEAM_KEYS, not in a file: make one with 'meam keys make', and put it"
            " in front of the others, with a comma."
        )
    before = settings.key_ring().key_ids[0]
    Store(settings.database_url, settings.key_ring()).close()  # a lost key is said before
    ring = rotate_key_file(settings.key_file)
    store = Store(settings.database_url, ring)
    with writing(store.engine) as connection:
        facts = {"from": before, "to": ring.key_ids[0]}
        append_audit(connection, ring, at=store.clock(), event="key rotated", facts=facts)
    store.close()
    click.echo(
        f"Key {ring.key_ids[0]} is the current one now, {before} stays for reading."
        " Restart the service, then run: meam keys re-encrypt"
    )


@keys.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@in_one_sentence
def list_keys(config: Path | None, *, as_json: bool) -> None:
    """List key ids, and how many stored values need each; no key itself is shown.

    A key that encrypts nothing any more may leave the ring; what it signed in the audit log can be
    verified without it. A key that is lost is an error.
    """
    from cds_hooks.errors import KeyLost
    from cds_hooks.re_encryption import keys_in_use, verifiable_key_ids

    with opened_store(config) as store:
        used, ring, verifiable = keys_in_use(store), store.keys.key_ids, verifiable_key_ids(store)
    rows = {key_id: {"state": _state(key_id, ring), **counts} for key_id, counts in used.items()}
    click.echo(json.dumps(rows, indent=2) if as_json else "\n".join(_described(rows)))
    lost = [
        key_id
        for key_id, counts in used.items()
        if key_id not in ring and (set(counts) - {"audit"} or key_id not in verifiable)
    ]
    if lost:
        raise KeyLost(f"Stored data need keys that are not in the key ring: {', '.join(lost)}.")


@keys.command("re-encrypt")
@config_option
@in_one_sentence
def re_encrypt_command(config: Path | None) -> None:
    """Encrypt all stored data with the current key; a run that was stopped goes on.

    The service may run meanwhile. Afterwards the old keys may leave the ring; links that they
    signed stop working.
    """
    from cds_hooks.errors import KeyLost
    from cds_hooks.re_encryption import left_to_encrypt, re_encrypt

    with opened_store(config) as store:
        with progress_bar("encrypting", left_to_encrypt(store)) as bar:
            done = re_encrypt(store, progress=bar)
        current = store.keys.key_ids[0]
    for column, count in done.rows.items():
        click.echo(f"{column}: {count}")
    click.echo(f"{done.rows.total()} values are now encrypted with key {current}.")
    if done.unreadable:
        more = f" (and {len(done.unreadable) - 1} more)" if len(done.unreadable) > 1 else ""
        raise KeyLost(f"{len(done.unreadable)} values were left: {done.unreadable[0]}{more}.")


def _state(key_id: str, ring: tuple[str, ...]) -> str:
    if key_id not in ring:
        return "not in the ring"
    return "current" if key_id == ring[0] else "old"


def _described(rows: dict[str, dict[str, object]]) -> list[str]:
    lines = []
    for key_id, row in rows.items():
        used = ", ".join(f"{name} {count}" for name, count in row.items() if name != "state")
        lines.append(f"{key_id}  {row['state']}: {used or 'nothing'}")
    return lines
