"""Writes charts as a FHIR Bulk Data export, which ``read_bulk`` reads into the same charts."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

from fhir_adapters.chart import Chart, Resource

_SHARED_BY_PATIENTS = ("Device", "DeviceMetric")


def write_bulk(
    charts: Iterable[Chart],
    directory: Path,
    *,
    compress: bool = False,
    lines_per_file: int = 100_000,
) -> Mapping[str, int]:
    """Write one NDJSON file a resource type, more where one grows long; return counts by type.

    A device that several charts hold is written once. References by a Bundle's fullUrl become
    ordinary ones. Raises FileExistsError rather than writing over an earlier export.
    """
    directory.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    written: set[str] = set()
    with _Files(directory, compress, lines_per_file) as files:
        for chart in charts:
            for resource in chart.resources:
                kind = resource["resourceType"]
                name = f"{kind}/{resource.get('id')}"
                if kind in _SHARED_BY_PATIENTS and "id" in resource:
                    if name in written:
                        continue
                    written.add(name)
                files.write(kind, _with_references(resource, chart.aliases))
                counts[kind] += 1
    return dict(counts)


class _Files:
    """The file being written for each type."""

    def __init__(self, directory: Path, compress: bool, lines_per_file: int) -> None:
        self._directory = directory
        self._compress = compress
        self._lines_per_file = lines_per_file
        self._open: dict[str, BinaryIO] = {}
        self._lines: Counter[str] = Counter()

    def __enter__(self) -> _Files:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._open.values():
            file.close()

    def write(self, kind: str, resource: Resource) -> None:
        if self._lines[kind] % self._lines_per_file == 0:
            self._next_file(kind)
        self._lines[kind] += 1
        text = json.dumps(resource, ensure_ascii=False, separators=(",", ":"))
        self._open[kind].write(text.encode("utf-8") + b"\n")

    def _next_file(self, kind: str) -> None:
        if kind in self._open:
            self._open[kind].close()
        path = self._directory / f"{kind}.{self._lines[kind] // self._lines_per_file:03}.ndjson"
        if self._compress:
            packed = gzip.open(f"{path}.gz", "xb")  # noqa: SIM115  (closed by __exit__)
            self._open[kind] = cast(BinaryIO, packed)
        else:
            self._open[kind] = path.open("xb")


def _with_references(value: Any, aliases: Mapping[str, str]) -> Any:
    """Return a resource with the references of a Bundle's fullUrls made ordinary."""
    if not aliases:
        return value
    if isinstance(value, Mapping):
        return {
            name: aliases.get(item, item)
            if name == "reference" and isinstance(item, str)
            else _with_references(item, aliases)
            for name, item in value.items()
        }
    return [_with_references(item, aliases) for item in value] if isinstance(value, list) else value
