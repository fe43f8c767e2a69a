"""PhysioNet/CinC Challenge 2012 (Silva et al., ODC-By 1.0) as FHIR charts.

A set is ``set-a.tar.gz`` with one text file a stay (``Time,Parameter,Value`` over 48 hours) and
``Outcomes-a.txt``. Monitor series become device Observations; the rest is structured. The data
set has no dates, so that every stay begins on the same day.
"""

from __future__ import annotations

import csv
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fhir_adapters.datasets.chart_writer import (
    ARTERIAL_PRESSURE_PANEL,
    BLOOD_PRESSURE_PANEL,
    ChartWriter,
    birth_date,
    instant,
)
from fhir_adapters.datasets.labelled import LabelledChart
from fhir_adapters.errors import DataSetError

ADMISSION = datetime(2012, 1, 1, tzinfo=UTC)
HOURS = 48
MISSING = -1.0

UNIT_TYPES = {
    1: "coronary care unit",
    2: "cardiac surgery recovery unit",
    3: "medical intensive care unit",
    4: "surgical intensive care unit",
}
GENDERS = {0: "female", 1: "male"}
DESCRIPTORS = frozenset({"RecordID", "Age", "Gender", "ICUType"})

CUFF = {
    "NISysABP": "systolic_blood_pressure",
    "NIDiasABP": "diastolic_blood_pressure",
    "NIMAP": "mean_blood_pressure",
}
ARTERIAL_LINE = {
    "SysABP": "arterial_systolic_blood_pressure",
    "DiasABP": "arterial_diastolic_blood_pressure",
    "MAP": "arterial_mean_blood_pressure",
}
MONITOR = {"HR": "heart_rate", "RespRate": "respiratory_rate", "Temp": "body_temperature"}
# Values are in the variables' canonical units, FiO2 (a fraction) aside. The challenge's table
# calls magnesium mmol/L; its values (mean 2.0) are mg/dL.
CHARTED = {
    "ALP": "alkaline_phosphatase",
    "ALT": "alanine_aminotransferase",
    "AST": "aspartate_aminotransferase",
    "Albumin": "albumin",
    "BUN": "blood_urea_nitrogen",
    "Bilirubin": "bilirubin",
    "Cholesterol": "cholesterol",
    "Creatinine": "creatinine",
    "FiO2": "fraction_inspired_oxygen",
    "GCS": "glasgow_coma_scale",
    "Glucose": "glucose",
    "HCO3": "bicarbonate",
    "HCT": "hematocrit",
    "Height": "body_height",
    "K": "potassium",
    "Lactate": "lactate",
    "Mg": "magnesium",
    "Na": "sodium",
    "PaCO2": "arterial_carbon_dioxide_pressure",
    "PaO2": "arterial_oxygen_pressure",
    "Platelets": "platelets",
    "SaO2": "arterial_oxygen_saturation",
    "TroponinI": "troponin_i",
    "TroponinT": "troponin_t",
    "Urine": "urine_output",
    "WBC": "white_blood_cells",
    "Weight": "body_weight",
    "pH": "arterial_ph",
}
PRESSURES = {**CUFF, **ARTERIAL_LINE}

_EFFECTIVE = [instant(ADMISSION + timedelta(minutes=m)) for m in range(HOURS * 60 + 1)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of an outcomes file."""

    died: int
    scores: Mapping[str, float]


def read_physionet2012(
    directory: Path, set_name: str = "a", *, prediction_hours: float = HOURS
) -> Iterator[LabelledChart]:
    """Yield the stays of one set in the archive's order, with rows up to the prediction time.

    Raises FileNotFoundError where the set is not in ``directory`` and DataSetError where a file
    does not have the published form.
    """
    if not 0 < prediction_hours <= HOURS:
        raise DataSetError(f"prediction at {prediction_hours} h: the data set covers 0 to 48 h")
    outcomes = _read_outcomes(directory / f"Outcomes-{set_name}.txt")
    for stay_id, text in _stays(directory / f"set-{set_name}.tar.gz"):
        if stay_id not in outcomes:
            raise DataSetError(f"set-{set_name}/{stay_id}.txt: no line in the outcomes")
        yield _labelled(stay_id, text, outcomes[stay_id], prediction_hours)


def _stays(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each stay. Raises DataSetError for a damaged archive."""
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is not None and member.name.endswith(".txt"):
                    yield Path(member.name).stem, content.read().decode("ascii")
    except (tarfile.TarError, EOFError, zlib.error, UnicodeDecodeError) as exc:
        raise DataSetError(f"{path}: not a whole archive: {exc}") from exc


def _read_outcomes(path: Path) -> dict[str, Outcome]:
    with path.open(encoding="ascii", newline="") as lines:
        return {row["RecordID"]: _outcome(row) for row in csv.DictReader(lines)}


def _outcome(row: Mapping[str, str]) -> Outcome:
    scores = {"saps_i": float(row["SAPS-I"]), "sofa": float(row["SOFA"])}
    known = {name: score for name, score in scores.items() if score != MISSING}
    return Outcome(int(row["In-hospital_death"]), known)


def _labelled(stay_id: str, text: str, outcome: Outcome, hours: float) -> LabelledChart:
    return LabelledChart(
        chart=_write_stay(stay_id, _rows(stay_id, text, hours * 60)).chart(),
        prediction_time=ADMISSION + timedelta(hours=hours),
        labels={"in_hospital_death": outcome.died},
        group=stay_id,  # the challenge does not say which stays share a patient
        site="physionet2012",
        stay_id=stay_id,
        reference_scores=outcome.scores,
    )


def _rows(stay_id: str, text: str, last_minute: float) -> list[tuple[int, str, float]]:
    """Return (minute, parameter, value) without missing values and rows after the cut."""
    lines = text.split()
    if not lines or lines[0] != "Time,Parameter,Value":
        raise DataSetError(f"stay {stay_id}: the file does not begin with Time,Parameter,Value")
    rows = []
    for line in lines[1:]:
        time, parameter, value_text = line.split(",")
        minute = int(time[:-3]) * 60 + int(time[-2:])
        value = float(value_text)
        if value != MISSING and minute <= last_minute:
            rows.append((minute, parameter, value))
    return rows


def _write_stay(stay_id: str, rows: list[tuple[int, str, float]]) -> ChartWriter:
    writer = ChartWriter(f"physionet2012-{stay_id}", f"physionet2012-{stay_id}-stay")
    descriptors = {name: value for _, name, value in rows if name in DESCRIPTORS}
    age = descriptors.get("Age")
    writer.patient(
        gender=GENDERS.get(int(descriptors.get("Gender", MISSING)), "unknown"),
        birth_date=None if age is None else birth_date(ADMISSION, int(age)),
    )
    unit_type = UNIT_TYPES.get(int(descriptors.get("ICUType", MISSING)), "")
    writer.encounter(start=_EFFECTIVE[0], unit_type=unit_type)
    _write_values(writer, rows)
    return writer


def _write_values(writer: ChartWriter, rows: list[tuple[int, str, float]]) -> None:
    monitor = writer.device("monitor", "bedside monitor")
    pressures: dict[int, list[tuple[str, float]]] = {}
    for minute, parameter, value in rows:
        if parameter in CHARTED:
            _write_charted(writer, parameter, value, _EFFECTIVE[minute])
        elif parameter in MONITOR:
            writer.observe(MONITOR[parameter], value, _EFFECTIVE[minute], monitor)
        elif parameter in PRESSURES:
            pressures.setdefault(minute, []).append((parameter, value))
        elif parameter == "MechVent":
            writer.observe_flag("mechanical_ventilation", value == 1, _EFFECTIVE[minute])
        elif parameter not in DESCRIPTORS:
            raise DataSetError(f"{writer.patient_id}: parameter {parameter!r} is not published")
    for minute, readings in pressures.items():
        _write_pressures(writer, readings, _EFFECTIVE[minute], monitor)


def _write_charted(writer: ChartWriter, parameter: str, value: float, effective: str) -> None:
    if parameter == "FiO2":
        value = round(value * 100, 4)
    writer.observe(CHARTED[parameter], value, effective)


def _write_pressures(
    writer: ChartWriter, readings: list[tuple[str, float]], effective: str, monitor: dict[str, str]
) -> None:
    for panel, members in (
        (BLOOD_PRESSURE_PANEL, CUFF),
        (ARTERIAL_PRESSURE_PANEL, ARTERIAL_LINE),
    ):
        open_panel: dict[str, float] = {}
        for parameter, value in readings:
            variable = members.get(parameter)
            if variable is None:
                continue
            if variable in open_panel:  # charted twice in one minute: a panel of its own
                writer.observe_panel(panel, open_panel, effective, monitor)
                open_panel = {}
            open_panel[variable] = value
        if open_panel:
            writer.observe_panel(panel, open_panel, effective, monitor)
