"""What every data set reader yields: a chart, the moment to predict at, and what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fhir_adapters.chart import Chart


@dataclass(frozen=True, slots=True, eq=False)
class LabelledChart:
    """One stay of an open data set.

    ``reference_scores`` are published risk scores or predictions to compare with. They are
    never features: some of them know more than the chart holds at ``prediction_time``.
    """

    chart: Chart
    prediction_time: datetime
    labels: Mapping[str, int | float]  # {"in_hospital_death": 0 or 1}
    group: str  # the patient; splits never separate two stays of one group
    site: str  # the hospital, or the data set where it does not say
    stay_id: str  # the data set's own number of the stay
    reference_scores: Mapping[str, float] = field(default_factory=dict)
