"""What an explanation page needs, as bytes: the record, the prediction and the explanation.

JSON with a tag on each dataclass, compressed. Only the classes named here are ever made on the
way back. Device series are thinned for display: the page draws them, nothing computes with them.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import Any

import numpy as np

from cds_hooks.errors import ExplanationUnreadable
from model import prediction as prediction_types
from model import record as record_types
from model.prediction import Explanation, Prediction
from model.record import DeviceSeries, PatientRecord, ReportLine

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


def to_bytes(stored: StoredExplanation) -> bytes:
    """Serialise, with the device series thinned."""
    series = tuple(thinned(one) for one in stored.record.device_series)
    record = dataclasses.replace(stored.record, device_series=series)
    document = {"format": _FORMAT, "value": _encoded(dataclasses.replace(stored, record=record))}
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode("ascii"), level=1)


def from_bytes(data: bytes) -> StoredExplanation:
    """Read what to_bytes wrote. Raises ExplanationUnreadable."""
    try:
        document = json.loads(zlib.decompress(data))
        if document["format"] != _FORMAT:
            raise ExplanationUnreadable(
                f"the stored explanation has format {document['format']}, we read {_FORMAT}"
            )
        stored = _decoded(document["value"])
    except (zlib.error, ValueError, KeyError, TypeError) as exc:
        raise ExplanationUnreadable(f"the stored explanation cannot be read: {exc}") from exc
    if not isinstance(stored, StoredExplanation):
        raise ExplanationUnreadable("the stored data are not an explanation")
    return stored


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


def _encoded(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, datetime):
        return {_TAG: "datetime", "iso": value.isoformat()}
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {_TAG: "array", "dtype": value.dtype.str, "data": data}
    if isinstance(value, tuple | list):
        return [_encoded(item) for item in value]
    if isinstance(value, Mapping):
        return {_TAG: "mapping", "items": {str(key): _encoded(item) for key, item in value.items()}}
    if dataclasses.is_dataclass(value):
        fields = {f.name: _encoded(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {_TAG: type(value).__name__, **fields}
    raise TypeError(f"{type(value).__name__} cannot be stored in an explanation")


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decoded(item) for item in value)
    if not isinstance(value, dict):
        return value
    tag = value[_TAG]
    if tag == "datetime":
        return datetime.fromisoformat(value["iso"])
    if tag == "array":
        return np.frombuffer(base64.b64decode(value["data"]), dtype=np.dtype(value["dtype"]))
    if tag == "mapping":
        return {key: _decoded(item) for key, item in value["items"].items()}
    fields = {key: _decoded(item) for key, item in value.items() if key != _TAG}
    return _CLASSES[tag](**fields)
