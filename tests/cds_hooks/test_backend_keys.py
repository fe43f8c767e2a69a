"""Backend Services as a client: keys by command, their public halves as a file and by HTTP."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_hooks.backend_keys import backend_services
from cds_hooks.cli import main
from cds_hooks.errors import SettingsError
from conformance.fhir_server import FhirServerMissing, find_executable, start
from fhir_adapters.signing_keys import KeyFolder
from tests.cds_hooks.conftest import Service

ADDRESS = "/.well-known/jwks.json"
PRIVATE = {"d", "p", "q", "dp", "dq", "qi"}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["backend-keys", *(str(one) for one in arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "signing"
    assert run("make", "--folder", path).exit_code == 0
    return path


def test_a_key_is_made_once_and_for_its_owner_alone(folder: Path) -> None:
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    again = run("make", "--folder", folder)
    assert again.exit_code == 1
    assert again.stderr == f"Error: {folder} holds an ES384 key already; rotate it instead\n"
    assert run("make", "--folder", folder, "--algorithm", "RS384").exit_code == 0
    assert len(list(folder.iterdir())) == 2


def test_rotation_needs_a_key_and_publishes_the_new_one_beside_the_old(folder: Path) -> None:
    refused = run("rotate", "--folder", folder, "--algorithm", "RS384")
    assert "holds no RS384 key to rotate; make one first" in refused.stderr
    before = KeyFolder(folder).signing_key("ES384").key_id
    (file,) = folder.iterdir()
    file.rename(folder / "20200101T000000Z-ES384.pem")  # nobody rotates within a second
    assert run("rotate", "--folder", folder).exit_code == 0
    published = json.loads(run("publish", "--folder", folder).stdout)
    assert before in {key["kid"] for key in published["keys"]}
    assert len(published["keys"]) == 2
    assert KeyFolder(folder).signing_key("ES384").key_id == before  # the new one signs later


def test_the_public_set_is_a_file(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "jwks.json"
    assert run("publish", "--folder", folder, "--out", out).exit_code == 0
    (key,) = json.loads(out.read_text())["keys"]
    assert (key["kty"], key["alg"], key["use"]) == ("EC", "ES384", "sig")
    assert not PRIVATE & key.keys()
    nothing = run("publish", "--folder", tmp_path / "none")
    assert "holds no key; make one first" in nothing.stderr


def test_a_file_that_is_no_key_is_one_sentence(folder: Path) -> None:
    (folder / "20300101T000000Z-ES384.pem").write_text("no key")
    result = run("publish", "--folder", folder)
    assert result.exit_code == 1
    assert "20300101T000000Z-ES384.pem is not an unencrypted private key" in result.stderr


def test_the_service_publishes_the_set_without_a_restart(service: Service, folder: Path) -> None:
    client = service(signing_keys=folder)
    answer = client.get(ADDRESS)
    assert answer.status_code == 200
    assert answer.json == KeyFolder(folder).jwk_set()
    assert not any(PRIVATE & key.keys() for key in answer.json["keys"])
    assert answer.headers["Cache-Control"] == "public, max-age=600"
    assert run("make", "--folder", folder, "--algorithm", "RS384").exit_code == 0
    assert {key["alg"] for key in client.get(ADDRESS).json["keys"]} == {"ES384", "RS384"}


def test_without_keys_there_is_no_set_and_a_broken_key_is_503(
    service: Service, tmp_path: Path
) -> None:
    assert service().get(ADDRESS).status_code == 404
    assert service(signing_keys=tmp_path / "empty").get(ADDRESS).status_code == 404
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "20260101T000000Z-ES384.pem").write_text("no key")
    answer = service(signing_keys=broken).get(ADDRESS)
    assert answer.status_code == 503
    assert answer.json["resourceType"] == "OperationOutcome"


def test_explain_enters_a_real_server_by_our_signature(folder: Path, tmp_path: Path) -> None:
    clients = [{"client_id": "meam", "jwks": KeyFolder(folder).jwk_set(), "scopes": "system/*.rs"}]
    settings = {"server_auth": {"types": ["smart"], "smart_clients": clients}}
    try:
        executable = find_executable()
    except FhirServerMissing as exc:
        pytest.skip(str(exc))
    with start(None, tmp_path / "server", executable=executable, settings=settings) as server:
        backend = backend_services(server.base_url, "meam", folder, "ES384")
        arguments = ["explain", "nobody", "--fhir", server.base_url, "--client-id", "meam"]
        result = CliRunner().invoke(main, [*arguments, "--signing-keys", str(folder)])
        assert result.exit_code == 1
        assert "prefetch" not in result.stderr
        assert "the patient's demographics" in result.stderr
        assert backend.token().value
    with pytest.raises(SettingsError, match="'meam backend-keys make' makes one"):
        backend_services(server.base_url, "meam", tmp_path / "none", "ES384")
    lonely = CliRunner().invoke(main, [*arguments])
    assert "--client-id and --signing-keys belong together" in lonely.stderr
