"""From open data sets to cohorts: data set -> FHIR chart -> record -> tokens.

The way in is the one that serves: every stay becomes FHIR resources and ``build_record`` reads
them. Each stay gives several views: as recorded, with its monitor's values charted by hand, and,
where every value was known when it was true, earlier in the stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_adapters.chart import Chart
from fhir_adapters.codes import load_variables
from fhir_adapters.datasets.eicu import read_eicu
from fhir_adapters.datasets.labelled import LabelledChart
from fhir_adapters.datasets.physionet2012 import read_physionet2012
from fhir_adapters.record_builder import build_record
from model.record import PatientRecord

if TYPE_CHECKING:
    from model.tokens import Embed, TokenConfig
    from model.training.cohort import Case, Cohort

PHYSIONET_HOURS = 48
EICU_HOURS = 24
EARLIER_HOURS = (24.0,)
RANDOM_HOURS = (10.0, 44.0)  # bounds of the moment that is drawn for each stay
DEVICE, CHARTED = "device", "charted"

OnStay = Callable[[], None]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One record of a stay and what it is called."""

    name: str  # "device@48h", "charted@24h", "device@random"
    record: PatientRecord


@dataclass(frozen=True, slots=True, eq=False)
class LabelledViews:
    """A stay's views with its labels."""

    data_set: str
    stay: LabelledChart
    views: tuple[View, ...]


def physionet2012_views(
    directory: Path, set_name: str, *, augmented: bool
) -> Iterator[LabelledViews]:
    """Yield each stay as seen at 48 h and, for training, earlier and with charted values."""
    for stay in read_physionet2012(directory, set_name):
        records = [(DEVICE, build_record(stay.chart, stay.prediction_time))]
        charted = build_record(as_charted(stay.chart), stay.prediction_time)
        records.append((CHARTED, charted))
        views = [View(f"{source}@{PHYSIONET_HOURS}h", record) for source, record in records]
        if augmented:
            for source, record in records:
                views += _earlier_views(source, record, stay)
        yield LabelledViews(f"physionet2012-{set_name}", _without_chart(stay), tuple(views))


def eicu_views(directory: Path) -> Iterator[LabelledViews]:
    """Yield each stay at 24 h, as recorded and with the monitor's values charted."""
    for stay in read_eicu(directory, EICU_HOURS):
        views = (
            View(f"{DEVICE}@{EICU_HOURS}h", build_record(stay.chart, stay.prediction_time)),
            View(
                f"{CHARTED}@{EICU_HOURS}h",
                build_record(as_charted(stay.chart), stay.prediction_time),
            ),
        )
        yield LabelledViews("eicu-demo", _without_chart(stay), views)


def as_charted(chart: Chart) -> Chart:
    """Return the chart of a site without connected monitors: no observation names a device.

    The values are the same; what they are read as is not. Many hospitals' vital signs come like
    this, and a model that had only ever seen them as device series would not know them.
    """
    resources = tuple(
        {name: value for name, value in resource.items() if name != "device"}
        for resource in chart.resources
        if resource["resourceType"] not in ("Device", "DeviceMetric")
    )
    return Chart(chart.patient_id, resources, chart.incomplete, chart.encounter_id)


def _earlier_views(source: str, record: PatientRecord, stay: LabelledChart) -> list[View]:
    from model.training.views import earlier

    admission = stay.prediction_time - timedelta(hours=PHYSIONET_HOURS)
    moments = [(f"{hours:g}h", admission + timedelta(hours=hours)) for hours in EARLIER_HOURS]
    moments.append(("random", _random_moment(stay.stay_id, admission)))
    return [View(f"{source}@{name}", earlier(record, moment)) for name, moment in moments]


def _random_moment(stay_id: str, admission: datetime) -> datetime:
    """Return the stay's own moment; it comes from a hash, so that every run has the same."""
    low, high = RANDOM_HOURS
    share = int.from_bytes(sha256(stay_id.encode()).digest()[:4], "big") / 2**32
    return admission + timedelta(hours=low + share * (high - low))


def _without_chart(stay: LabelledChart) -> LabelledChart:
    """Drop the resources, which are large and have been read."""
    empty = Chart(stay.chart.patient_id, ())
    return LabelledChart(
        empty,
        stay.prediction_time,
        stay.labels,
        stay.group,
        stay.site,
        stay.stay_id,
        stay.reference_scores,
    )


def full_vocabulary(stays: Iterable[LabelledViews]) -> TokenConfig:
    """Return every variable of variables.csv, and the note and unit types that occur."""
    from model.tokens import STATICS, TokenConfig, VariableSpec

    note_types: set[str] = set()
    unit_types: set[str] = set()
    for stay in stays:
        for view in stay.views:
            note_types |= {note.note_type for note in view.record.notes}
            if view.record.stay is not None and view.record.stay.unit_type:
                unit_types.add(view.record.stay.unit_type)
    displays = {"age_years": ("Age", "a"), "sex": ("Sex", ""), "unit_type": ("Unit type", "")}
    statics = [VariableSpec(name, *displays[name], "general") for name in STATICS]
    known = [
        (VariableSpec(v.name, v.display, v.unit, v.organ_system), v.modality)
        for v in load_variables().values()
    ]
    return TokenConfig(
        variables=(*statics, *(spec for spec, modality in known if modality != "device")),
        channels=tuple(spec for spec, modality in known if modality != "structured"),
        note_types=tuple(sorted(note_types)),
        unit_types=tuple(sorted(unit_types)),
    )


def make_cohort(
    stays: Sequence[LabelledViews],
    config: TokenConfig,
    embed: Embed,
    on_stay: OnStay | None = None,
) -> Cohort:
    """Tokenise every view of every stay."""
    from model.training.cohort import Cohort

    cases: list[Case] = []
    for stay in stays:
        cases += [_case(stay, view, config, embed) for view in stay.views]
        if on_stay is not None:
            on_stay()
    return Cohort(config, tuple(cases))


def _case(stay: LabelledViews, view: View, config: TokenConfig, embed: Embed) -> Case:
    from model.tokens import tokenize
    from model.training.baselines import summary_features
    from model.training.cohort import Case, CaseFacts

    record, labelled = view.record, stay.stay
    facts = CaseFacts(
        data_set=stay.data_set,
        stay_id=labelled.stay_id,
        group=labelled.group,
        site=labelled.site,
        view=view.name,
        labels={task: float(label) for task, label in labelled.labels.items()},
        age_years=record.demographics.age_years,
        sex=record.demographics.sex,
        unit_type="" if record.stay is None else record.stay.unit_type,
        reference_scores=dict(labelled.reference_scores),
        note_text="\n".join(s.text for note in record.notes for s in note.sentences),
    )
    # All variables, not only those of the vocabulary: the baselines' features are the same for
    # every cohort of these unit types.
    summary = summary_features(record, list(load_variables()), config.unit_types)
    return Case(tokenize(record, config, embed, with_labels=False), facts, summary)
