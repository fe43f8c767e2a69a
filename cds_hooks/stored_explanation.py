"""What an explanation page needs, as bytes: the record, the prediction and the explanation.

JSON with a tag on each dataclass, compressed. Only the classes named here are ever made on the
way back. Device series are thinned for display: the page draws them, nothing computes with them.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from types import ModuleType
from typing import Any

import numpy as np
import orjson

from cds_hooks.errors import ExplanationUnreadable
from model import prediction as prediction_types
from model import record as record_types
from model.prediction import Explanation, Prediction
from model.record import DeviceSeries, Measurement, PatientRecord, ReadingReport, ReportLine

_FORMAT = 1
_TAG = "_"
_BUCKETS = 1000  # a page is about as many pixels wide


@dataclass(frozen=True, slots=True)
class StoredExplanation:
    """One card's explanation with all that it was made from."""

    card_uuid: str
    service_id: str
    hook_instance: str
    created_at: datetime
    expires_at: datetime
    record: PatientRecord  # device series thinned, see thinned()
    prediction: Prediction
    explanation: Explanation | None  # None: the prediction was not applicable
    limitations: tuple[ReportLine, ...] = ()  # what could not be obtained for this request


def _dataclasses_of(module: ModuleType) -> dict[str, type[Any]]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and dataclasses.is_dataclass(value)
    }


_CLASSES: dict[str, type[Any]] = {
    "StoredExplanation": StoredExplanation,
    **_dataclasses_of(record_types),
    **_dataclasses_of(prediction_types),
}
_FIELDS = {cls: tuple(f.name for f in dataclasses.fields(cls)) for cls in _CLASSES.values()}
# All members of an instance in one call, its tag first.
_NAMES = {cls: (_TAG, *fields) for cls, fields in _FIELDS.items()}
_MEMBERS = {cls: attrgetter("__class__.__name__", *fields) for cls, fields in _FIELDS.items()}
_ROW = attrgetter(*_FIELDS[Measurement])
_TO_US = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


class _NotFinite(ValueError):
    """orjson would write a number as null."""


def to_bytes(stored: StoredExplanation) -> bytes:
    """Serialise, with the device series thinned."""
    series = tuple(thinned(one) for one in stored.record.device_series)
    record = dataclasses.replace(stored.record, device_series=series, measurements=())
    document = {
        "format": _FORMAT,
        "value": dataclasses.replace(stored, record=record),
        "measurements": _columns(stored.record.measurements),
    }
    return zlib.compress(_text(document), level=1)


def _text(document: dict[str, Any]) -> bytes:
    """Write JSON: by orjson at a fifth of the time, unless it cannot say what is there.

    That is NaN, infinity (never among measurements: they are plausible), and half a pair of
    surrogates in a text.
    """
    try:
        return orjson.dumps(document, default=_tagged, option=_TO_US)
    except orjson.JSONEncodeError:  # also around _NotFinite
        return json.dumps(document, default=_tagged_as_it_is, separators=(",", ":")).encode("ascii")


def from_bytes(data: bytes) -> StoredExplanation:
    """Read what to_bytes wrote. Raises ExplanationUnreadable."""
    try:
        document = json.loads(zlib.decompress(data), object_hook=_untagged)
        written, stored = document["format"], document["value"]
        measurements = _rows(document.get("measurements", {}))
    except (zlib.error, ValueError, KeyError, TypeError) as exc:
        raise ExplanationUnreadable(f"the stored explanation cannot be read: {exc}") from exc
    if written != _FORMAT:
        raise ExplanationUnreadable(
            f"the stored explanation has format {written}, we read {_FORMAT}"
        )
    if not isinstance(stored, StoredExplanation):
        raise ExplanationUnreadable("the stored data are not an explanation")
    record = dataclasses.replace(stored.record, measurements=measurements)
    return dataclasses.replace(stored, record=record)


def thinned(series: DeviceSeries) -> DeviceSeries:
    """Keep the lowest and the highest point of each bucket, so that no peak is lost."""
    n = len(series.values)
    if n <= 2 * _BUCKETS:
        return series
    width = -(-n // _BUCKETS)
    padded = np.full((-(-n // width), width), np.nan, dtype=series.values.dtype)
    padded.flat[:n] = series.values
    starts = np.arange(len(padded)) * width
    extremes = (np.nanargmin(padded, axis=1) + starts, np.nanargmax(padded, axis=1) + starts)
    index = np.unique(np.concatenate(extremes))
    return dataclasses.replace(
        series,
        times_s=series.times_s[index],
        values=series.values[index],
        source_index=series.source_index[index],
    )


def _columns(measurements: tuple[Measurement, ...]) -> dict[str, Any]:
    """Hundreds of like rows, by column: four times as fast as one by one."""
    names = _FIELDS[Measurement]
    rows: list[tuple[Any, ...]] = list(map(_ROW, measurements))
    columns: dict[str, Any] = dict.fromkeys(names, ())
    if rows:
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    columns["time"] = [time.timestamp() for time in columns["time"]]
    return columns


def _rows(columns: Mapping[str, list[Any]]) -> tuple[Measurement, ...]:
    rows = zip(*(columns[name] for name in columns), strict=True)
    return tuple(
        Measurement(**{**row, "time": datetime.fromtimestamp(row["time"], UTC)})
        for row in (dict(zip(columns, values, strict=True)) for values in rows)
    )


def _tagged(value: Any) -> Any:
    """Called by the JSON encoder for what it does not know: one level, it goes on by itself.

    Raises _NotFinite for a number that orjson would not write.
    """
    tagged = _tagged_as_it_is(value)
    for one in tagged.values() if type(tagged) is dict else (tagged,):
        if type(one) is float and not math.isfinite(one):
            raise _NotFinite
    return tagged


def _tagged_as_it_is(value: Any) -> Any:
    cls = type(value)
    if cls in _MEMBERS:
        members = dict(zip(_NAMES[cls], _MEMBERS[cls](value), strict=True))
        if cls is ReadingReport:  # the keys of its mappings are data, not our tags
            for name in ("resources_read", "values_used"):
                members[name] = {_TAG: "mapping", "items": list(members[name].items())}
        return members
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, datetime):
        return {_TAG: "datetime", "iso": value.isoformat()}
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {_TAG: "array", "dtype": value.dtype.str, "data": data}
    raise TypeError(f"{cls.__name__} cannot be stored in an explanation")


def _untagged(value: dict[str, Any]) -> Any:
    """Called by the JSON decoder for each object, the innermost first."""
    tag = value.pop(_TAG, None)
    if tag is None:
        return value  # the document itself
    if tag == "datetime":
        return datetime.fromisoformat(value["iso"])
    if tag == "array":
        return np.frombuffer(base64.b64decode(value["data"]), dtype=np.dtype(value["dtype"]))
    if tag == "mapping":
        return dict(value["items"])
    members = {
        name: tuple(member) if isinstance(member, list) else member
        for name, member in value.items()
    }
    return _CLASSES[tag](**members)
