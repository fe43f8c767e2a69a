"""What the views work with: made once by the application factory, never global."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from flask import Flask

from cds_hooks.admission import Admission
from cds_hooks.auth import Authenticator
from cds_hooks.cool_down import CoolDowns
from cds_hooks.errors import UnknownService
from cds_hooks.modes import ModeSwitch
from cds_hooks.pipeline import Adviser
from cds_hooks.services import ServiceDefinition
from cds_hooks.settings import Settings
from cds_hooks.store import Clock, Store
from cds_hooks.telemetry import Figures

_EXTENSION = "meam"


@dataclass(frozen=True, slots=True)
class Parts:
    """The service, taken apart."""

    settings: Settings
    services: tuple[ServiceDefinition, ...]
    switch: ModeSwitch
    adviser: Adviser
    cool_downs: CoolDowns
    authenticator: Authenticator
    admission: Admission
    store: Store
    figures: Figures
    clock: Clock

    def in_mode(self, mode: Literal["active", "shadow"]) -> Parts:
        """The parts for one request, in the mode that the operator's switch says."""
        if mode == self.settings.mode:
            return self
        settings = replace(self.settings, mode=mode)
        return replace(
            self, settings=settings, cool_downs=replace(self.cool_downs, settings=settings)
        )

    def services_of(self, service_id: str) -> dict[str, ServiceDefinition]:
        """The entries of one id, by hook. Raises UnknownService."""
        found = {service.hook: service for service in self.services if service.id == service_id}
        if not found:
            raise UnknownService("no service has this id; see /cds-services")
        return found


def install(app: Flask, parts: Parts) -> None:
    """Give an application its parts."""
    app.extensions[_EXTENSION] = parts


def parts_of(app: Flask) -> Parts:
    """The parts of an application."""
    parts = app.extensions[_EXTENSION]
    if not isinstance(parts, Parts):
        raise TypeError("the application was not made by create_app")
    return parts
