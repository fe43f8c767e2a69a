"""Requirements 6 to 19: discovery and the prefetch templates."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from cds_hooks.errors import SettingsError
from cds_hooks.parts import install, parts_of
from cds_hooks.services import published_services
from tests.cds_hooks import world
from tests.cds_hooks.conftest import Service

TOKENS = re.compile(r"\{\{([^{}]*)\}\}")
ALLOWED_2_0 = {
    *(f"context.{name}" for name in ("patientId", "userId", "encounterId")),
    *("userPractitionerId", "userPractitionerRoleId", "userPatientId", "userRelatedPersonId"),
}
SEARCH_PARAMETERS = {"patient", "category", "code", "date", "status", "_count", "_sort"}


def _services(client: FlaskClient) -> list[dict[str, object]]:
    services = client.get("/cds-services").json["services"]
    assert isinstance(services, list)
    return services


def test_r6_discovery_is_always_there(client: FlaskClient) -> None:
    assert client.get("/cds-services").status_code == 200
    assert client.get("/cds-services/").status_code == 200
    assert client.head("/cds-services").status_code == 200
    assert "GET" in client.options("/cds-services").headers["Allow"]


def test_r6_post_on_discovery_is_405_with_an_outcome(client: FlaskClient) -> None:
    response = client.post("/cds-services", json={})
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]
    assert response.json["resourceType"] == "OperationOutcome"


def test_r6_discovery_below_a_path_prefix(service: Service) -> None:
    client = service(url_prefix="/apps/meam")
    assert client.get("/apps/meam/cds-services").status_code == 200
    assert client.get("/cds-services").status_code == 404


def test_r7_no_hooks_is_an_empty_array(service: Service) -> None:
    """Settings without a hook do not start; the answer would have its shape all the same."""
    client = service()
    install(client.application, replace(parts_of(client.application), services=()))
    assert client.get("/cds-services").json == {"services": []}


def test_r8_r9_r11_members_are_strings_with_content(client: FlaskClient) -> None:
    (service,) = _services(client)
    for member in ("hook", "id", "description", "title", "usageRequirements"):
        assert isinstance(service[member], str)
        assert service[member]


def test_r10_prefetch_maps_strings_to_strings(client: FlaskClient) -> None:
    prefetch = _services(client)[0]["prefetch"]
    assert isinstance(prefetch, dict)
    assert list(prefetch) == [
        "patient",
        "encounter",
        "vitalSigns",
        "laboratory",
        "notes",
        "reports",
        "bedside",
        "deviceData",
        "deviceData-procedure",
        "orders",
        "tasks",
    ]
    assert all(isinstance(template, str) and template for template in prefetch.values())


def test_r12_one_id_on_several_hooks(service: Service) -> None:
    client = service(hooks=("patient-view", "encounter-start"))
    pairs = [(one["id"], one["hook"]) for one in _services(client)]
    assert pairs == [("meam-risk", "patient-view"), ("meam-risk", "encounter-start")]
    for _, hook in pairs:
        request = world.hook_request(hook=hook)
        assert client.post("/cds-services/meam-risk", json=request).status_code == 200


@pytest.mark.parametrize("hook", ["encounter-start", "encounter-discharge"])
def test_r23_hooks_of_an_encounter_need_one(service: Service, hook: str) -> None:
    request = world.hook_request(hook=hook)
    del request["context"]["encounterId"]
    response = service(hooks=(hook,)).post("/cds-services/meam-risk", json=request)
    assert response.status_code == 400
    assert "$.context.encounterId" in response.json["issue"][0]["diagnostics"]


@pytest.mark.parametrize(("dialect", "version"), [("2.0", "2.0.1"), ("3.0", "3.0.0")])
def test_r13_version_is_semver_of_the_specification(
    service: Service, dialect: str, version: str
) -> None:
    assert _services(service(prefetch_dialect=dialect))[0]["version"] == version


def test_r12_no_hook_is_published_twice(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="a hook stands twice"):
        world.settings(tmp_path, hooks=("patient-view", "patient-view"))


def test_r14_all_three_hooks_have_the_published_version(service: Service) -> None:
    hooks = ("patient-view", "encounter-start", "encounter-discharge")
    client = service(hooks=hooks)
    assert [(one["hook"], one["hookVersion"]) for one in _services(client)] == [
        (hook, "1.0") for hook in hooks
    ]
    for hook in hooks:
        answer = client.post("/cds-services/meam-risk", json=world.hook_request(hook=hook))
        assert len(answer.json["cards"]) == 1


def test_r14_hook_version_is_the_published_one(client: FlaskClient) -> None:
    assert _services(client)[0]["hookVersion"] == "1.0"


def test_r16_tokens_are_those_of_release_2(tmp_path: Path) -> None:
    (service,) = published_services(world.settings(tmp_path))
    for template in service.prefetch:
        found = TOKENS.findall(template.published("2.0"))
        assert found
        assert set(found) <= ALLOWED_2_0


@pytest.mark.parametrize("dialect", ["2.0", "3.0"])
def test_r17_queries_keep_to_the_recommended_subset(tmp_path: Path, dialect: str) -> None:
    (service,) = published_services(world.settings(tmp_path))
    for template in service.prefetch:
        path, _, query = TOKENS.sub("x", template.published(dialect)).partition("?")
        if not query:
            assert re.fullmatch(r"[A-Z][A-Za-z]+/x", path)
            continue
        names = [pair.partition("=")[0] for pair in query.split("&")]
        assert set(names) <= SEARCH_PARAMETERS
        assert len(names) == len(set(names)), "the sandbox merges repeated parameters"
        categories = query.partition("category=")[2].partition("&")[0]
        assert "," not in categories, "some EHRs take one category at a time"


def test_r17_observation_searches_name_patient_and_category_or_code(tmp_path: Path) -> None:
    (service,) = published_services(world.settings(tmp_path))
    searches = [one.query for one in service.prefetch if one.query.startswith("Observation?")]
    assert len(searches) == 5
    for query in searches:
        assert "patient={{context.patientId}}" in query
        assert re.search(r"&(category=[a-z-]+|code=[0-9a-z_,-]+)&", query)


def test_r18_release_3_adds_one_date_bound_and_keeps_the_order(service: Service) -> None:
    response = service(prefetch_dialect="3.0").get("/cds-services")
    prefetch = json.loads(response.get_data())["services"][0]["prefetch"]
    assert prefetch["vitalSigns"].endswith("&date=ge{{today() - 3 days}}")
    assert prefetch["notes"].endswith("&date=ge{{today() - 8 days}}")
    assert next(iter(prefetch)) == "patient"


def test_r19_templates_are_relative(client: FlaskClient) -> None:
    prefetch = _services(client)[0]["prefetch"]
    assert isinstance(prefetch, dict)
    assert not [one for one in prefetch.values() if "://" in one or one.startswith("/")]


def test_device_categories_are_the_sites_choice(service: Service) -> None:
    prefetch = _services(service(device_categories=("phd",)))[0]["prefetch"]
    assert isinstance(prefetch, dict)
    assert "category=phd" in prefetch["deviceData-phd"]
    assert "deviceData" not in prefetch


def test_what_is_charted_under_any_category_is_asked_by_code(client: FlaskClient) -> None:
    prefetch = _services(client)[0]["prefetch"]
    assert isinstance(prefetch, dict)
    codes = prefetch["bedside"].partition("code=")[2].partition("&")[0].split(",")
    assert {"9269-2", "9187-6", "3150-6", "mechanical_ventilation"} <= set(codes)
