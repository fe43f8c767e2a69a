"""Other views of a record: earlier in the stay."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from model.record import DeviceSeries, PatientRecord


def earlier(record: PatientRecord, prediction_time: datetime) -> PatientRecord:
    """Return what the chart held at an earlier moment, by the times in the record.

    Only right where values were known when they were true, as in PhysioNet 2012; a chart with
    values that arrived later needs the record builder and the earlier time.
    """
    end_s = prediction_time.timestamp()
    series = [_until(one, end_s) for one in record.device_series]
    return PatientRecord(
        demographics=record.demographics,
        prediction_time=prediction_time,
        measurements=tuple(m for m in record.measurements if m.time <= prediction_time),
        notes=tuple(n for n in record.notes if n.time <= prediction_time),
        device_series=tuple(one for one in series if len(one.times_s)),
        stay=record.stay,
        report=record.report,
    )


def _until(series: DeviceSeries, end_s: float) -> DeviceSeries:
    count = int(np.searchsorted(series.times_s, end_s, side="right"))
    return DeviceSeries(
        channel=series.channel,
        unit=series.unit,
        times_s=series.times_s[:count],
        values=series.values[:count],
        sources=series.sources,
        source_index=series.source_index[:count],
        device=series.device,
        period_s=series.period_s,
    )
