"""Fixtures for all tests."""

from __future__ import annotations

from tests.fhir_server import fhir_server
from tests.medplum_server import medplum_server
from tests.postgresql import postgres

__all__ = ["fhir_server", "medplum_server", "postgres"]
