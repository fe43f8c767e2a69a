"""NDJSON files line by line: plain or gzip, with the place of every line and of every fault."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from model.record import ReportLine

LONGEST_LINE_BYTES = 64 * 1024 * 1024  # a Binary of 45 MB; longer lines would not fit in memory
_MOST_REPORTED = 100  # of one file and one reason; a wrong file would fill the report
_ENDINGS = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")

Report = Callable[[ReportLine], None]


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not empty. ``offset`` is None where the file cannot be entered midway."""

    number: int  # from 1
    offset: int | None
    content: bytes


class FaultReport:
    """Reports faults by file and line, each reason up to a limit and then by its count."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._counts: dict[tuple[str, str], int] = {}

    @property
    def files(self) -> list[str]:
        """The files that have faults."""
        return sorted({source for source, _ in self._counts})

    def add(self, source: str, place: str, reason: str, sentence: str) -> None:
        """Report one fault of ``source`` (a file); ``place`` says where in it: "a.ndjson:7"."""
        count = self._counts.get((source, reason), 0) + 1
        self._counts[source, reason] = count
        if count <= _MOST_REPORTED:
            self._report(ReportLine(place, reason, f"{place}: {sentence}"))

    def finish(self) -> None:
        """Report how many faults there were beyond the limit."""
        for (source, reason), count in self._counts.items():
            if count > _MOST_REPORTED:
                more = f"{source}: {count - _MOST_REPORTED} more like the ones above ({reason})"
                self._report(ReportLine(source, reason, more))


def ndjson_files(directory: Path) -> list[Path]:
    """Return the NDJSON files below a directory, in the order of their names."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path.name.lower().endswith(_ENDINGS) and path.is_file()
    )


def read_lines(
    path: Path, name: str, faults: FaultReport, on_bytes: Callable[[int], None]
) -> Iterator[Line]:
    """Yield the lines of a file as far as it can be read; what cannot be read is reported.

    ``on_bytes`` learns how far the file itself has been read.
    """
    number = 0
    try:
        with path.open("rb") as file:
            packed = _is_gzip(file)
            stream = gzip.GzipFile(fileobj=file) if packed else file
            offset = 0
            while raw := stream.readline(LONGEST_LINE_BYTES + 1):
                number += 1
                start, offset = offset, offset + len(raw)
                if len(raw) > LONGEST_LINE_BYTES and not raw.endswith(b"\n"):
                    offset += _skip_line(stream)
                    faults.add(name, f"{name}:{number}", "too-large", "the line is over 64 MiB")
                elif content := raw.strip():
                    on_bytes(file.tell())
                    indent = len(raw) - len(raw.lstrip())
                    yield Line(number, None if packed else start + indent, content)
    except (EOFError, OSError, zlib.error):
        faults.add(
            name,
            f"{name}:{number + 1}",
            "truncated",
            "the file is damaged or breaks off here; the rest of it was not read",
        )


def _is_gzip(file: BufferedReader) -> bool:
    """Tell by the content: exports carry ``.ndjson`` on packed files and the other way round."""
    return file.peek(2)[:2] == b"\x1f\x8b"


def _skip_line(stream: BufferedReader | gzip.GzipFile) -> int:
    skipped = 0
    while raw := stream.readline(LONGEST_LINE_BYTES):
        skipped += len(raw)
        if raw.endswith(b"\n"):
            break
    return skipped
