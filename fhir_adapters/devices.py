"""Device Observations become one series a channel: monitors, wearables, personal health devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fhir_adapters.artefacts import is_artefact
from fhir_adapters.chart import Resource
from fhir_adapters.codes import Variable
from fhir_adapters.elements import dicts_of, text_of
from fhir_adapters.measurement_quality import OXIMETER_CHANNELS
from fhir_adapters.reading_log import ReadingLog
from model.record import DeviceSeries

LONGEST_NAME = 80  # characters of a device's name
_PERSONAL_HEALTH_DEVICE = "http://hl7.org/fhir/uv/phd/StructureDefinition/Phd"
_DEVICE_EXTENSIONS = frozenset(
    {
        "http://hl7.org/fhir/StructureDefinition/observation-gatewayDevice",
        "http://hl7.org/fhir/StructureDefinition/observation-deviceCode",
    }
)


def is_device_observation(observation: Resource) -> bool:
    """Whether a device, not a person, recorded it: by its device, profile, gateway or samples."""
    if "device" in observation and isinstance(observation["device"], dict):
        return True
    if "valueSampledData" in observation:
        return True
    meta = observation.get("meta")
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    for profile in profiles if isinstance(profiles, list) else []:
        if isinstance(profile, str) and profile.startswith(_PERSONAL_HEALTH_DEVICE):
            return True
    extensions = observation.get("extension")
    return isinstance(extensions, list) and any(
        isinstance(extension, dict)
        and isinstance(extension.get("url"), str)
        and extension["url"] in _DEVICE_EXTENSIONS
        for extension in extensions
    )


def device_of(observation: Resource, device_of_metric: Mapping[str, str]) -> str:
    """Return the device's reference, else its display name, else ""."""
    device = observation.get("device")
    if not isinstance(device, dict):
        return ""
    reference, display = device.get("reference"), device.get("display")
    if isinstance(reference, str):
        relative = relative_reference(reference)
        relative = device_of_metric.get(relative, relative)
        if relative.startswith("Device/"):
            return relative
    return display if isinstance(display, str) else ""


def device_of_metrics(resources: Mapping[str, Resource]) -> dict[str, str]:
    """Return which Device each DeviceMetric belongs to (R4 ``source``, R5 ``device``)."""
    devices: dict[str, str] = {}
    for source, resource in resources.items():
        for element in ("device", "source"):
            holder = resource.get(element)
            reference = holder.get("reference") if isinstance(holder, dict) else None
            if isinstance(reference, str):
                devices[source] = relative_reference(reference)
    return devices


def name_of_device(device: Resource) -> str:
    """Return what people call a Device: its name (R4, R5), else its type or model, else ""."""
    names = [*dicts_of(device.get("deviceName")), *dicts_of(device.get("name"))]
    candidates = [
        *(text_of(one.get("name")) or text_of(one.get("value")) for one in names),
        text_of(device.get("displayName")),
        *(text_of(one.get("text")) for one in dicts_of(device.get("type"))),
        text_of(device.get("modelNumber")),
        text_of(device.get("manufacturer")),
    ]
    return next((one for one in candidates if one), "")[:LONGEST_NAME]


def relative_reference(reference: str) -> str:
    """Return type and id of a reference: ``https://host/fhir/Device/5`` is ``Device/5``."""
    parts = reference.rstrip("/").split("/")
    if len(parts) >= 4 and parts[-2] == "_history":
        parts = parts[:-2]
    return "/".join(parts[-2:])


@dataclass(slots=True)
class _Channel:
    """The points of one channel as they come: single ones in lists, samples in arrays."""

    variable: Variable
    times_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    point_devices: list[str] = field(default_factory=list)
    blocks: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], str]] = field(
        default_factory=list
    )
    devices: set[str] = field(default_factory=set)
    periods_s: set[float] = field(default_factory=set)


class ChannelCollector:
    """Collects points in any order and merges them to one sorted series a channel."""

    def __init__(self) -> None:
        self._channels: dict[str, _Channel] = {}
        self._faults: set[tuple[str, float]] = set()

    def add_point(
        self, variable: Variable, time_s: float, value: float, source: str, device: str
    ) -> None:
        """Add a single point in the canonical unit."""
        channel = self._channel(variable, device)
        channel.times_s.append(time_s)
        channel.values.append(value)
        channel.sources.append(source)
        channel.point_devices.append(device)

    def add_fault(self, device: str, time_s: float) -> None:
        """Remember that an oximeter said of its readings at a time that they are none."""
        self._faults.add((device, time_s))

    def add_points(
        self,
        variable: Variable,
        times_s: npt.NDArray[np.float64],
        values: npt.NDArray[np.float64],
        source: str,
        device: str,
        period_s: float | None,
    ) -> None:
        """Add the samples of one Observation in the canonical unit."""
        channel = self._channel(variable, device)
        channel.blocks.append((times_s, values, source))
        if period_s is not None:
            channel.periods_s.add(period_s)

    def series(
        self, log: ReadingLog, names: Mapping[str, str] | None = None
    ) -> tuple[DeviceSeries, ...]:
        """Return one series a channel, by channel name, without duplicates and artefacts.

        ``names``: what the devices are called, by reference.
        """
        for name in OXIMETER_CHANNELS & self._channels.keys() if self._faults else ():
            self._remove_faulty(self._channels[name], log)
        merged = (_merge(self._channels[name], log, names or {}) for name in sorted(self._channels))
        return tuple(series for series in merged if series is not None)

    def _remove_faulty(self, channel: _Channel, log: ReadingLog) -> None:
        points = zip(
            channel.times_s, channel.values, channel.sources, channel.point_devices, strict=True
        )
        kept = []
        for time_s, value, source, device in points:
            if (device, time_s) in self._faults:
                sentence = f"{channel.variable.name} is no measurement, says the oximeter's status"
                log.leave_out(source, "quality", sentence)
            else:
                kept.append((time_s, value, source, device))
        channel.times_s = [point[0] for point in kept]
        channel.values = [point[1] for point in kept]
        channel.sources = [point[2] for point in kept]
        channel.point_devices = [point[3] for point in kept]

    def _channel(self, variable: Variable, device: str) -> _Channel:
        channel = self._channels.get(variable.name)
        if channel is None:
            channel = self._channels[variable.name] = _Channel(variable)
        if device:
            channel.devices.add(device)
        return channel


def _merge(channel: _Channel, log: ReadingLog, names: Mapping[str, str]) -> DeviceSeries | None:
    variable = channel.variable
    sources = sorted({*channel.sources, *(source for _, _, source in channel.blocks)})
    index_of = {source: index for index, source in enumerate(sources)}
    blocks = channel.blocks
    times_s = np.concatenate([np.array(channel.times_s), *(times for times, _, _ in blocks)])
    values = np.concatenate([np.array(channel.values), *(numbers for _, numbers, _ in blocks)])
    singles = np.array([index_of[source] for source in channel.sources], dtype=np.int32)
    whole = [np.full(len(times), index_of[source], np.int32) for times, _, source in blocks]
    source_index = np.concatenate([singles, *whole])

    if not (np.diff(times_s) > 0).all():
        times_s, values, source_index = _sorted_once(times_s, values, source_index)

    artefact = is_artefact(times_s, values, variable)
    if artefact.any():
        _report_artefacts(artefact, source_index, sources, variable, log)
        kept = ~artefact
        times_s, values, source_index = times_s[kept], values[kept], source_index[kept]
    if not len(times_s):
        return None
    is_used = np.bincount(source_index, minlength=len(sources)) > 0
    used, place = np.flatnonzero(is_used), np.cumsum(is_used) - 1
    return DeviceSeries(
        channel=variable.name,
        unit=variable.unit,
        times_s=times_s,
        values=values.astype(np.float32),
        sources=tuple(sources[index] for index in used),
        source_index=place[source_index].astype(np.int32),
        device=", ".join(sorted(channel.devices)),
        period_s=min(channel.periods_s) if len(channel.periods_s) == 1 else None,
        device_name=", ".join(sorted({names[one] for one in channel.devices if one in names})),
    )


def _sorted_once(
    times_s: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    source_index: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    """Sort the points by time, and keep each reading once; all (n,).

    The same reading often comes twice, alone and inside a SampledData.
    """
    order = np.lexsort((source_index, values, times_s))
    times_s, values, source_index = times_s[order], values[order], source_index[order]
    fresh = np.ones(len(times_s), dtype=bool)
    fresh[1:] = (np.diff(times_s) != 0) | (np.diff(values) != 0)
    return times_s[fresh], values[fresh], source_index[fresh]


def _report_artefacts(
    artefact: npt.NDArray[np.bool_],
    source_index: npt.NDArray[np.int32],
    sources: list[str],
    variable: Variable,
    log: ReadingLog,
) -> None:
    counts = np.bincount(source_index[artefact], minlength=len(sources))
    for index in np.flatnonzero(counts):
        sentence = f"{counts[index]} points of {variable.name} are artefacts (flat line or spike)"
        log.leave_out(sources[index], "artefact", sentence)
