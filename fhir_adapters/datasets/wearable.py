"""Stress-Predict (Iqbal et al. 2022, MIT licence) as FHIR: a wrist wearable of healthy adults.

Thirty-five volunteers wore an Empatica E4 for an hour of rest and stress tasks. There is no
clinical outcome; the recordings bring real wearable noise, gaps and artefacts to the reader. The
1 Hz channels become SampledData, each heart beat's interval an Observation of its own, because
SampledData in R4 has one period. Reading needs the package polars.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from fhir_adapters.chart import Chart
from fhir_adapters.datasets.chart_writer import UCUM, ChartWriter, instant
from fhir_adapters.datasets.variable_coding import variable_codings
from fhir_adapters.errors import DataSetError

START = datetime(2021, 6, 1, 10, tzinfo=UTC)  # the data set gives seconds only
PERIOD_MS = 1000
SAMPLES_PER_OBSERVATION = 600

# Column -> variable and resolution. Accelerometer and pulse-wave columns are spreads over a
# second, for which there is no variable.
CHANNELS = {
    "hr_bpm": ("heart_rate", 0.01),
    "resp_rate": ("respiratory_rate", 0.01),
    "skin_temp_C": ("skin_temperature", 0.01),
    "eda_uS": ("electrodermal_activity", 0.0001),
}


@dataclass(frozen=True, slots=True, eq=False)
class WearableRecording:
    """One volunteer's hour."""

    chart: Chart
    participant: str
    end: datetime  # of the recording


def read_stress_predict(directory: Path) -> Iterator[WearableRecording]:
    """Yield the recordings in the order of participants.

    Raises FileNotFoundError where the files are not in ``directory``, DataSetError for columns
    that are not the published ones.
    """
    seconds = _read(directory / "wearable_1hz.parquet", ("participant", "t_s", *CHANNELS))
    beats = _read(directory / "ibi.parquet", ("participant", "t_s", "ibi_s"))
    for participant in seconds["participant"].unique().sort().to_list():
        of_one = seconds.filter(pl.col("participant") == participant).sort("t_s")
        beats_of_one = beats.filter(pl.col("participant") == participant).sort("t_s")
        yield _recording(str(participant), of_one, beats_of_one)


def _read(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    table = pl.read_parquet(path)
    missing = sorted(set(columns) - set(table.columns))
    if missing:
        raise DataSetError(f"{path.name} has no column {', '.join(missing)}")
    return table.select(columns)


def _recording(participant: str, seconds: pl.DataFrame, beats: pl.DataFrame) -> WearableRecording:
    writer = ChartWriter(f"stress-predict-{participant}", f"stress-predict-{participant}-session")
    writer.patient(gender="unknown")
    writer.encounter(start=instant(START), encounter_class="AMB")
    device = writer.device("wearable", "Empatica E4 wrist wearable")
    writer.resources[-1]["manufacturer"] = "Empatica"
    writer.resources[-1]["deviceName"] = [{"name": "E4", "type": "model-name"}]
    offsets = seconds["t_s"].to_list()
    for column, (variable, factor) in CHANNELS.items():
        values = _every_second(offsets, seconds[column].to_list())
        _write_channel(writer, variable, values, factor, device)
    for offset_s, interval_s in beats.select("t_s", "ibi_s").iter_rows():
        effective = START + timedelta(seconds=offset_s)
        text = effective.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        writer.observe("rr_interval", round(interval_s * 1000, 3), text, device)
    last = max([*offsets, *beats["t_s"].to_list()])
    return WearableRecording(writer.chart(), participant, START + timedelta(seconds=last))


def _every_second(offsets: Sequence[int], values: Sequence[float | None]) -> list[float | None]:
    """Return one value a second from the start, ``None`` in the gaps."""
    known = dict(zip(offsets, values, strict=True))
    return [known.get(second) for second in range(offsets[-1] + 1)]


def _write_channel(
    writer: ChartWriter,
    variable: str,
    values: list[float | None],
    factor: float,
    device: dict[str, str],
) -> None:
    unit = variable_codings()[variable].unit
    origin: dict[str, Any] = {"value": 0, "unit": unit, "system": UCUM, "code": unit}
    for first in range(0, len(values), SAMPLES_PER_OBSERVATION):
        chunk = values[first : first + SAMPLES_PER_OBSERVATION]
        if all(value is None for value in chunk):
            continue
        samples = {
            "origin": origin,
            "period": PERIOD_MS,
            "factor": factor,
            "dimensions": 1,
            "data": " ".join("E" if v is None else str(round(v / factor)) for v in chunk),
        }
        start = START + timedelta(seconds=first)
        end = start + timedelta(seconds=len(chunk) - 1)
        writer.observe_samples(
            variable, samples, start=instant(start), end=instant(end), device=device
        )
