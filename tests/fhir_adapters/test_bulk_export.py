"""An index of an export is made once, may be read by many, and only of the files it is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_adapters import bulk_export
from fhir_adapters.bulk import IndexedExport, index_export
from fhir_adapters.bulk_export import BulkProgress
from fhir_adapters.errors import FhirNotFound
from tests.fhir_adapters.bulk_world import write_export
from tests.fhir_adapters.test_bulk import observation, patient


@pytest.fixture
def export(tmp_path: Path) -> Path:
    write_export(
        tmp_path / "in",
        {
            "p.ndjson": [patient("1"), patient("2")],
            "o.ndjson.gz": [observation("a", "Patient/1"), observation("b", "Patient/nobody")],
        },
    )
    return tmp_path / "in"


def test_charts_come_in_any_order_and_from_any_opening(export: Path, tmp_path: Path) -> None:
    with index_export(export, tmp_path / "index") as made:
        assert list(made.patients()) == ["1", "2"]
        assert len(made) == 2
        with IndexedExport(export, tmp_path / "index") as opened:
            assert opened.chart("2") == made.chart("2")
            assert [r["id"] for r in opened.chart("1").resources] == ["a", "1"]
            assert opened.chart("1") == made.chart("1")


def test_a_finished_index_is_used_again_and_tells_the_same(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with index_export(export, tmp_path / "index") as made:
        reports = list(made.reports())
    assert [line.reason for line in reports] == ["unknown-patient"]
    monkeypatch.setattr(bulk_export, "_fill", None)  # calling it would fail
    seen: list[BulkProgress] = []
    with index_export(export, tmp_path / "index", on_progress=seen.append) as again:
        assert list(again.reports()) == reports
        assert list(again.patients()) == ["1", "2"]
    assert seen == []


def test_an_unfinished_index_is_made_anew(export: Path, tmp_path: Path) -> None:
    index_export(export, tmp_path / "index").close()
    (tmp_path / "index" / "export.json").unlink()  # a kill before the end
    with pytest.raises(FhirNotFound, match="holds no finished index"):
        IndexedExport(export, tmp_path / "index")
    with index_export(export, tmp_path / "index") as made:
        assert len(made) == 2


@pytest.mark.parametrize("change", ["more", "other", "gone"])
def test_an_index_of_other_files_is_made_anew(export: Path, tmp_path: Path, change: str) -> None:
    index_export(export, tmp_path / "index").close()
    if change == "more":
        write_export(export, {"q.ndjson": [patient("3")]})
    elif change == "other":
        write_export(export, {"p.ndjson": [patient("3"), patient("4"), patient("5")]})
    else:
        (export / "p.ndjson").unlink()
    with pytest.raises(FhirNotFound, match="holds no finished index"):
        IndexedExport(export, tmp_path / "index")
    with index_export(export, tmp_path / "index") as made:
        assert len(made) == {"more": 3, "other": 3, "gone": 0}[change]


def test_the_index_is_for_its_owner_alone(export: Path, tmp_path: Path) -> None:
    index_export(export, tmp_path / "index").close()
    assert (tmp_path / "index").stat().st_mode & 0o777 == 0o700
