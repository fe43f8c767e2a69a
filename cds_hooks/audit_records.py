"""Records for an audit: sample patients, stays of the open data, or a site's own export."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from cds_hooks.errors import ResultsUnusable
from cds_hooks.train_command import EICU, PHYSIONET, DataMissing
from cds_hooks.training_records import eicu_views, physionet2012_views
from fhir_adapters.bulk import read_bulk
from fhir_adapters.codes import CodeTable
from fhir_adapters.datasets.sample_patients import DEFAULT_SEED, sample_charts
from fhir_adapters.errors import ChartError
from fhir_adapters.last_moment import record_at_last_moment
from fhir_adapters.record_builder import build_record
from model.record import PatientRecord

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)  # of the sample patients: every audit sees the same


def sample_records(count: int) -> list[PatientRecord]:
    """Return records of sample patients, with further seeds for more than one round of them."""
    return list(islice(_sample_records(), count))


def _sample_records() -> Iterator[PatientRecord]:
    seed = DEFAULT_SEED
    while True:
        for chart in sample_charts(NOW, seed).values():
            yield build_record(chart, NOW)
        seed += 1


def open_data_records(data: Path, count: int) -> list[PatientRecord]:
    """Return stays of PhysioNet 2012 set B and of the eICU demo, half each, as recorded.

    Raises DataMissing where neither is there.
    """
    folders = [folder for name in (PHYSIONET, EICU) if (folder := data / name).is_dir()]
    if not folders:
        raise DataMissing(f"{data}: holds neither {PHYSIONET} nor {EICU}")
    share = -(-count // len(folders))
    found: list[PatientRecord] = []
    for folder in folders:
        stays = (
            physionet2012_views(folder, "b", augmented=False)
            if folder.name == PHYSIONET
            else eicu_views(folder)
        )
        found += [stay.views[0].record for stay in islice(stays, share)]
    return found[:count]


def export_records(bulk: Path, count: int, codes: CodeTable | None = None) -> list[PatientRecord]:
    """Return a site's patients, each at the moment of the newest data.

    Patients who cannot be read are passed over. Raises ResultsUnusable where none is left.
    """
    found: list[PatientRecord] = []
    for chart in read_bulk(bulk):
        try:
            record = record_at_last_moment(chart, datetime.now(UTC), codes=codes)
        except ChartError:
            continue
        if record is not None:
            found.append(record)
        if len(found) == count:
            break
    if not found:
        raise ResultsUnusable(f"{bulk} holds no patient whose chart can be read.")
    return found
