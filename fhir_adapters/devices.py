"""Which Observations devices recorded, and which device: monitors, wearables, health devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fhir_adapters.chart import Resource
from fhir_adapters.elements import dict_of, dicts_of, text_of

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


class Recorder(NamedTuple):
    """The device of an Observation."""

    identity: str  # what tells it from other devices, "" where nothing does
    label: str  # its reference ("Device/5") or display name, "" if unnamed


NO_RECORDER = Recorder("", "")


def recorder_of(observation: Resource, device_of_metric: Mapping[str, str]) -> Recorder:
    """Return the device by its reference, else by its identifier or its display name."""
    device = observation.get("device")
    if not isinstance(device, dict):
        return NO_RECORDER
    label, reference = text_of(device.get("display")), text_of(device.get("reference"))
    if reference:
        relative = relative_reference(reference)
        relative = device_of_metric.get(relative, relative)
        return Recorder(relative, relative if relative.startswith("Device/") else label)
    identifier = dict_of(device.get("identifier"))
    value = text_of(identifier.get("value"))
    return Recorder(f"{text_of(identifier.get('system'))}|{value}" if value else label, label)


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
