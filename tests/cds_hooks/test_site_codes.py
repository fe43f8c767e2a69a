"""A site's ConceptMap reaches every way by which charts are read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cds_hooks import bulk_training
from cds_hooks.app import create_app
from cds_hooks.cli import main
from cds_hooks.errors import ResultsUnusable, SettingsError
from cds_hooks.explain_command import chart_of_bundle
from cds_hooks.labelled_records import LeftOut, labelled_records
from cds_hooks.labels import Label
from cds_hooks.model_audit_command import AuditPlaces, audited_records
from cds_hooks.score_command import score_with
from cds_hooks.services import published_services
from cds_hooks.settings import Settings, load_settings
from cds_hooks.site_codes import site_codes
from cds_hooks.train_command import CHECKPOINT
from fhir_adapters.bulk import write_bulk
from fhir_adapters.chart import Chart
from fhir_adapters.record_builder import build_record
from model.checkpoint import load_checkpoint
from model.predictor import Predictor
from tests.cds_hooks import world
from tests.cds_hooks.conftest import Service
from tests.cds_hooks.site_export import NOW as EXPORT_TIME
from tests.cds_hooks.site_export import site_chart
from tests.model import worlds

SITE = "urn:oid:1.2.3.4"
URL = "/cds-services/meam-risk"


def concept_map(codes: dict[str, str]) -> dict[str, Any]:
    elements = [
        {"code": local, "target": [{"code": loinc, "equivalence": "equivalent"}]}
        for local, loinc in codes.items()
    ]
    group = {"source": SITE, "target": "http://loinc.org", "element": elements}
    return {"resourceType": "ConceptMap", "status": "active", "group": [group]}


@pytest.fixture
def map_file(tmp_path: Path) -> Path:
    path = tmp_path / "codes.json"
    path.write_text(json.dumps(concept_map({"LAC": "2524-7", "UO-1": "9187-6", "a b": "9187-6"})))
    return path


def in_local_codes(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The site's laboratory calls lactate LAC and knows no LOINC."""
    text = json.dumps(resources).replace(
        '"system": "http://loinc.org", "code": "2524-7"', f'"system": "{SITE}", "code": "LAC"'
    )
    local: list[dict[str, Any]] = json.loads(text)
    assert local != resources
    return local


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_service_reads_the_sites_own_codes(service: Service, map_file: Path) -> None:
    local = world.bundle(in_local_codes(world.laboratory()))
    request = world.hook_request({**world.full_prefetch(), "laboratory": local})
    known = service().post(URL, json=world.hook_request()).json["cards"][0]["detail"]
    unread = service().post(URL, json=request).json["cards"][0]["detail"]
    read = service(concept_map=map_file).post(URL, json=request).json["cards"][0]["detail"]
    assert read == known
    assert unread != known
    assert "code" in unread


def test_what_is_asked_by_code_is_asked_by_the_sites_codes_too(map_file: Path) -> None:
    settings = Settings()
    asked = {
        one.key: one.query for one in published_services(settings, site_codes(map_file))[0].prefetch
    }
    plain = {one.key: one.query for one in published_services(settings)[0].prefetch}
    assert ",UO-1," in asked.pop("bedside")
    assert ",UO-1," not in plain.pop("bedside")
    assert asked == plain


def test_a_faulty_map_stops_the_start_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "codes.json"
    path.write_text(json.dumps(concept_map({"LAC": "1-1"})))
    message = r"concept_map .*codes.json: codes.json: group\[0\].element\[0\]: .* is no code of"
    with pytest.raises(SettingsError, match=message):
        create_app(world.settings(tmp_path, concept_map=path), predictor=world.LinearPredictor())
    with pytest.raises(SettingsError, match="cannot be read as JSON"):
        site_codes(tmp_path / "nowhere.json")


def test_the_settings_file_names_the_map_and_serve_says_what_is_wrong(tmp_path: Path) -> None:
    config = tmp_path / "meam.toml"
    path = tmp_path / "codes.json"
    path.write_text("[]")
    config.write_text(
        f'profile = "development"\nmode_auth = "open"\nconcept_map = "{path}"\n', encoding="utf-8"
    )
    assert load_settings({"MEAM_CONFIG": str(config)}).concept_map == path
    result = run("serve", "--config", config)
    assert result.exit_code == 1
    assert result.stderr == f"Error: concept_map {path}: codes.json is no ConceptMap\n"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = worlds.population()
    folder = tmp_path_factory.mktemp("checkpoint") / "small"
    return worlds.write_checkpoint(folder, worlds.random_network(records), worlds.rules(records))


def local_chart(number: int) -> Chart:
    chart = site_chart(number)
    text = json.dumps(chart.resources, default=dict).replace("http://loinc.org", SITE)
    return replace(chart, resources=tuple(json.loads(text)))


def loinc_map(path: Path) -> Path:
    """Map every code that the site's charts have to itself."""
    standard = site_codes(None)
    codes = {
        coding["code"]: coding["code"]
        for resource in site_chart(0).resources
        if resource["resourceType"] == "Observation"
        for element in (resource, *resource.get("component", []))
        for coding in element["code"]["coding"]
        if standard.lookup("http://loinc.org", coding["code"]) is not None
    }
    path.write_text(json.dumps(concept_map(codes)))
    return path


def test_score_reads_the_sites_own_codes_and_a_run_goes_on_only_with_the_same_map(
    checkpoint: Path, tmp_path: Path
) -> None:
    export, path = tmp_path / "export", loinc_map(tmp_path / "codes.json")
    write_bulk([local_chart(0)], export)
    predictor = Predictor(load_checkpoint(checkpoint), worlds.HashEncoder(), threads=1)
    without = score_with(
        predictor, export, tmp_path / "a.ndjson", tmp_path / "al.ndjson", EXPORT_TIME
    )
    with_map = score_with(
        predictor, export, tmp_path / "b.ndjson", tmp_path / "bl.ndjson", EXPORT_TIME, path
    )
    assert (without.scored, with_map.scored) == (0, 1)
    with pytest.raises(ResultsUnusable):
        score_with(
            predictor, export, tmp_path / "a.ndjson", tmp_path / "al.ndjson", EXPORT_TIME, path
        )


def test_training_reads_the_sites_own_codes(tmp_path: Path) -> None:
    export, path = tmp_path / "export", loinc_map(tmp_path / "codes.json")
    chart = local_chart(0)
    write_bulk([chart], export)
    labels = tmp_path / "labels.csv"
    labels.write_text(
        f"patient_id,prediction_time,outcome\n{chart.patient_id},2026-03-04T08:00Z,0\n"
    )
    label = Label(2, chart.patient_id, None, EXPORT_TIME, 0, chart.patient_id, "s")

    def measurements(codes: Any) -> int:
        rows = labelled_records(
            export, {chart.patient_id: [label]}, LeftOut(), lambda _: None, tmp_path, codes
        )
        return sum(len(record.measurements) for row in rows for _, record in row)

    assert measurements(None) == 0
    direct = build_record(site_chart(0), EXPORT_TIME)
    assert measurements(site_codes(path)) == len(direct.measurements) > 0
    missing = bulk_training.SitePlaces(
        export, labels, tmp_path / "out", concept_map=tmp_path / "none.json"
    )
    with pytest.raises(SettingsError, match=r"none\.json"):
        bulk_training.train_from_bulk(missing)


def test_an_audit_reads_the_sites_own_codes(tmp_path: Path) -> None:
    export, path = tmp_path / "export", loinc_map(tmp_path / "codes.json")
    write_bulk([local_chart(0)], export)
    places = AuditPlaces(CHECKPOINT, tmp_path, bulk=export, concept_map=path)
    (record,) = audited_records(places)[0]
    assert record.measurements
    without = audited_records(replace(places, concept_map=None))[0]
    assert not without or not without[0].measurements


def test_an_audit_says_what_is_wrong_with_a_map(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    path = tmp_path / "codes.json"
    path.write_text("[]")
    result = run("audit", "--concept-map", path)
    assert "--concept-map belongs to --bulk." in result.stderr
    result = run("audit", "--bulk", tmp_path, "--concept-map", path, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr == f"Error: concept_map {path}: codes.json is no ConceptMap\n"


def test_explain_reads_the_sites_own_codes(tmp_path: Path, map_file: Path) -> None:
    bundle = tmp_path / "chart.json"
    bundle.write_text(
        json.dumps(world.bundle([world.patient(), *in_local_codes(world.laboratory())]))
    )
    record = build_record(chart_of_bundle(bundle, None), world.NOW, codes=site_codes(map_file))
    assert {m.variable for m in record.measurements} == {"lactate", "creatinine"}
    at = world.NOW.isoformat().replace("+00:00", "+0000")
    told = [
        run("explain", "--bundle", bundle, "--at", at, "--json"),
        run("explain", "--bundle", bundle, "--at", at, "--json", "--concept-map", map_file),
    ]
    used = [json.loads(one.stdout)["report"]["values_used"]["structured"] for one in told]
    assert used == [1, 3]
