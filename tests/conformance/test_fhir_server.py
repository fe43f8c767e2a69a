"""The starter of the FHIR server: it comes up, goes down, and says what is wrong in a sentence."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest
import requests

from conformance.fhir_server import (
    FhirServer,
    FhirServerFailed,
    FhirServerMissing,
    PortInUse,
    find_executable,
    start,
)


def program(directory: Path, text: str) -> Path:
    path = directory / "sekmet"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_loaded_resource_can_be_read(fhir_server: FhirServer) -> None:
    patient = {"resourceType": "Patient", "id": "starter-1", "gender": "female"}
    assert fhir_server.load([patient]) == 1
    read = requests.get(f"{fhir_server.base_url}/Patient/starter-1", timeout=10).json()
    assert read["gender"] == "female"


def test_a_resource_that_the_server_refuses_is_an_error(fhir_server: FhirServer) -> None:
    with pytest.raises(FhirServerFailed, match="refused data with status 4"):
        fhir_server.load([{"resourceType": "NoSuchType", "id": "1"}])


def test_a_stopped_server_no_longer_answers_and_frees_its_port(tmp_path: Path) -> None:
    try:
        find_executable()
    except FhirServerMissing as exc:
        pytest.skip(str(exc))
    with start(None, tmp_path) as server:
        port = int(server.base_url.split(":")[2].partition("/")[0])
        assert requests.get(f"{server.base_url}/metadata", timeout=10).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.base_url}/metadata", timeout=10)
    with socket.create_server(("127.0.0.1", port)):
        server.stop()  # a second time


def test_a_missing_executable_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FhirServerMissing, match=r"not installed: there is no .*, as MEAM_SEKMET"):
        find_executable({"MEAM_SEKMET": str(tmp_path / "none")})


def test_an_executable_is_found_where_the_variable_says(tmp_path: Path) -> None:
    path = program(tmp_path, "exit 0")
    assert find_executable({"MEAM_SEKMET": str(path)}) == path


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"Port {port} cannot be used for the FHIR server"):
            start(port, tmp_path, executable=program(tmp_path, "exit 0"))


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    executable = program(tmp_path, "echo no settings >&2; exit 3")
    with pytest.raises(FhirServerFailed, match="ended with status 3 while starting: no settings"):
        start(None, tmp_path, executable=executable)


def test_a_server_that_never_answers_is_stopped_and_reported(tmp_path: Path) -> None:
    executable = program(tmp_path, "exec sleep 60")
    with pytest.raises(FhirServerFailed, match=r"did not answer at .* within 0 s"):
        start(None, tmp_path, executable=executable, timeout_s=0.3)


def test_a_file_that_cannot_be_run_is_reported(tmp_path: Path) -> None:
    broken = tmp_path / "sekmet"
    broken.write_text("")
    with pytest.raises(FhirServerMissing, match="cannot be run"):
        start(None, tmp_path, executable=broken)
