"""The key file: one key a line, the current one first. It is replaced whole, never half written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cds_hooks.errors import CommandError
from cds_hooks.keys import KeyRing, new_key


def make_key_file(path: Path) -> None:
    """Write a new file with one fresh key that only its owner may read. Raises CommandError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise CommandError(f"{path} exists already and was not changed.") from exc
    except OSError as exc:
        raise CommandError(f"{path} cannot be written: {exc.strerror}.") from exc
    _write(descriptor, new_key() + "\n")


def rotate_key_file(path: Path) -> KeyRing:
    """Put a fresh key in front of those of a file, and return the new ring.

    The old keys stay, so that what they encrypted can be read. Raises CommandError.
    """
    try:
        before = path.stat()
        if before.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise CommandError(f"{path}: others than the owner may read the keys; chmod 600")
        text = new_key() + "\n" + path.read_text(encoding="ascii")
        ring = KeyRing(keys_of(text))
        _replace(path, text, before)
    except OSError as exc:
        raise CommandError(f"{path} was not changed: {exc.strerror}.") from exc
    return ring


def keys_of(text: str) -> list[str]:
    """The keys of a file's text, without comments and empty lines."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _replace(path: Path, text: str, before: os.stat_result) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)  # of a run that was killed
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    if os.geteuid() == 0:  # the service has to read it still
        os.fchown(descriptor, before.st_uid, before.st_gid)
    _write(descriptor, text)
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(descriptor: int, text: str) -> None:
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
