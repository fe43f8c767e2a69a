"""What a server says that it can do: the facts of its CapabilityStatement that searches need."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_adapters.errors import FhirBadAnswer, UnsupportedFhirVersion

_UNSUPPORTED_VERSIONS = ("0.", "1.", "3.")  # DSTU1, DSTU2, STU3
_VALID_S = 24 * 3600.0  # a server's abilities change with its releases


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Resource types a server offers, each with its search parameters."""

    fhir_version: str
    search_parameters: Mapping[str, frozenset[str]]  # by type; empty: the type lists none

    def offers(self, resource_type: str) -> bool:
        """Say whether the type is offered. A statement that lists no type at all rules out none."""
        return not self.search_parameters or resource_type in self.search_parameters

    def lacks(self, resource_type: str, parameter: str) -> bool:
        """Say whether the server lists parameters for this type, and not this one."""
        listed = self.search_parameters.get(resource_type)
        return bool(listed) and parameter not in (listed or ())


def read_capabilities(statement: Any, what: str) -> Capabilities:
    """Read a CapabilityStatement. Raises FhirBadAnswer, UnsupportedFhirVersion."""
    kind = statement.get("resourceType") if isinstance(statement, dict) else None
    if kind == "Conformance":
        raise UnsupportedFhirVersion(f"{what}: the server speaks FHIR DSTU2; R4 or later is needed")
    if kind != "CapabilityStatement":
        raise FhirBadAnswer(f"{what}: the answer is not a CapabilityStatement")
    version = str(statement.get("fhirVersion", ""))
    if version.startswith(_UNSUPPORTED_VERSIONS):
        raise UnsupportedFhirVersion(
            f"{what}: the server speaks FHIR {version[:12]}; R4 or later is needed"
        )
    return Capabilities(version, dict(_search_parameters(statement)))


def _search_parameters(statement: Mapping[str, Any]) -> Iterator[tuple[str, frozenset[str]]]:
    for rest in _dicts(statement.get("rest")):
        if rest.get("mode", "server") != "server":
            continue
        common = _names(rest)
        for resource in _dicts(rest.get("resource")):
            resource_type = resource.get("type")
            if isinstance(resource_type, str):
                own = _names(resource)
                yield resource_type, own | common if own else own


def _names(element: Mapping[str, Any]) -> frozenset[str]:
    names = (parameter.get("name") for parameter in _dicts(element.get("searchParam")))
    return frozenset(name for name in names if isinstance(name, str))


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (
        (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
    )


class CapabilityCache:
    """Capabilities by base URL, to be shared by all clients of a process."""

    def __init__(
        self, valid_s: float = _VALID_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._valid_s = valid_s
        self._clock = clock
        self._entries: dict[str, tuple[float, Capabilities]] = {}
        self._lock = threading.Lock()

    def get(self, base_url: str) -> Capabilities | None:
        with self._lock:
            read_at_s, capabilities = self._entries.get(base_url, (0.0, None))
        if capabilities is None or self._clock() - read_at_s >= self._valid_s:
            return None
        return capabilities

    def last(self, base_url: str) -> Capabilities | None:
        """Return what was read last, however long ago."""
        with self._lock:
            return self._entries.get(base_url, (0.0, None))[1]

    def put(self, base_url: str, capabilities: Capabilities) -> None:
        with self._lock:
            self._entries[base_url] = (self._clock(), capabilities)
