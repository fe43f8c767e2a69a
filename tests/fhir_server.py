"""The real FHIR server as a fixture; tests that need it skip where it is not installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance.fhir_server import FhirServer, FhirServerMissing, find_executable, start


@pytest.fixture(scope="session")
def fhir_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FhirServer]:
    """A server without authorisation for the whole test run. Load patients under ids of your own.

    It does not check what is stored against the FHIR models: that takes 0.5 ms a resource, and
    is not what is tested.
    """
    try:
        executable = find_executable()
    except FhirServerMissing as exc:
        pytest.skip(str(exc))
    directory = tmp_path_factory.mktemp("fhir-server")
    with start(
        None, directory, executable=executable, settings={"validation": {"inbound": "off"}}
    ) as server:
        yield server
