"""An NDJSON file that only grows, and that stays readable when its writer is killed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cds_hooks.errors import ResultsUnusable

Json = Mapping[str, Any]


class GrowingFile:
    """Resources of one type, one a line. Call ``earlier`` to its end before ``append``."""

    def __init__(self, path: Path, resource_type: str) -> None:
        """Open a file, or make one that only its owner may read. Raises ResultsUnusable."""
        self.path = path
        self._resource_type = resource_type
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as exc:
            raise ResultsUnusable(f"{path} cannot be written: {exc.strerror}.") from exc
        self._file = os.fdopen(descriptor, "a+b")

    def earlier(self) -> Iterator[Json]:
        """Yield what an earlier run wrote; a last line that broke off is cut away.

        Raises ResultsUnusable for a line that is something else: the file is not one of ours.
        """
        self._file.seek(0)
        whole_bytes = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break
            yield self._parsed(line, number)
            whole_bytes += len(line)
        self._file.truncate(whole_bytes)

    def append(self, resource: Json) -> None:
        """Add a line; it is safe from a crash after ``sync``."""
        text = json.dumps(resource, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        try:
            self._file.write(text.encode("utf-8", "replace") + b"\n")
        except OSError as exc:
            raise ResultsUnusable(f"{self.path} cannot be written: {exc.strerror}.") from exc

    def sync(self) -> None:
        """Bring every line to the disk."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as exc:
            raise ResultsUnusable(f"{self.path} cannot be written: {exc.strerror}.") from exc

    def close(self) -> None:
        """Close the file; lines since the last ``sync`` are flushed."""
        self._file.close()

    def _parsed(self, line: bytes, number: int) -> Json:
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict) or value.get("resourceType") != self._resource_type:
            raise ResultsUnusable(
                f"{self.path}, line {number}, is no {self._resource_type}, and no earlier run wrote"
                " it; name another file."
            )
        return value


def read_resources(path: Path) -> Iterator[Json]:
    """Yield the lines of a file that this process has written and synced."""
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)
