"""The service report: figures by hand, small cells, outcomes, and a page that keeps to itself."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from playwright.sync_api import expect
from sqlalchemy import select

from cds_hooks import tables
from cds_hooks.cli import main
from cds_hooks.errors import LabelsUnusable
from cds_hooks.feedback import FeedbackItem, store_feedback
from cds_hooks.kept_prediction import finding_from
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.parts import parts_of
from cds_hooks.rates import Rate, Tally
from cds_hooks.service_report.accuracy import joined
from cds_hooks.service_report.cells import Cells, is_hidden
from cds_hooks.service_report.elements import count_text
from cds_hooks.service_report.outcomes import read_outcomes
from cds_hooks.service_report.page import page
from cds_hooks.service_report.reading import Period, Unreadable, answered_hooks
from cds_hooks.service_report.report import service_report
from cds_hooks.service_report.uptake import time_to_feedback
from cds_hooks.settings import CoolDown
from cds_hooks.store import Store
from cds_hooks.trust import TrustedIssuer
from tests.browser import chromium, needs_chromium
from tests.cds_hooks import signing, world
from tests.cds_hooks.conftest import Service
from tests.cds_hooks.service_weeks import Weeks
from tests.cds_hooks.stored_things import KEY, a_card, a_prediction

URL = "/cds-services/meam-risk"
ALL = Period()


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    made = Store(database_url, KeyRing([KEY]), clock=lambda: world.NOW)
    yield made
    made.close()


def test_small_cells_are_hidden_with_what_follows_from_them() -> None:
    cells = Cells(5)
    assert [cells.count(one) for one in (0, 4, 5)] == [0, {"fewerThan": 5}, 5]
    assert cells.hide({"a": 3, "b": 9, "c": 7}) == {"a", "c"}, "c, or a would follow from the sum"
    assert cells.hide({"a": 3, "b": 2, "c": 7}) == {"a", "b"}
    assert cells.hide({"a": 0, "b": 6}) == set()
    assert is_hidden(cells.rate(Rate(3, 20)))
    assert is_hidden(cells.rate(Rate(17, 20))), "3 are left"
    assert cells.rate(Rate(0, 20))["share"] == 0
    assert not is_hidden(Cells(1).rate(Rate(1, 2)))


def test_a_large_group_hidden_beside_a_small_one_is_not_called_small() -> None:
    """An operator read that the model could hardly ever speak: "fewer than 5" of 24."""
    cells = Cells(5)
    assert cells.parts({"clear": 24, "uncertain": 2}) == {
        "clear": {"hidden": True},
        "uncertain": {"fewerThan": 5},
    }
    shares = cells.shares({"clear": 24, "uncertain": 2})
    assert [count_text(shares[name]) for name in shares] == ["hidden", "fewer than 5"]
    assert all(map(is_hidden, shares.values()))
    assert cells.rate(Rate(17, 20)) == {"hidden": True}, "17 is not small, its rest is"
    assert cells.rate(Rate(3, 20)) == {"fewerThan": 5}


def test_one_hidden_rate_of_a_table_hides_a_second() -> None:
    tallies = {
        "a": Tally(20, 10, 10),
        "b": Tally(12, 6, 6),
        "c": Tally(12, 1, 9),  # the sum over all groups is shown elsewhere
    }
    groups = Cells(5).groups(tallies)
    assert [is_hidden(groups[name]["accepted"]) for name in "abc"] == [False, True, True]


def test_times_to_feedback_by_hand() -> None:
    delays = [30.0, 60.0, 120.0, 240.0, 480.0, 7200.0, -5.0]
    assert time_to_feedback(delays, Cells(1)) == {
        "answered": 6,
        "medianMinutes": 3.0,
        "quartilesMinutes": [1.25, 7.0],
        "counts": {
            "within 1 minute": 1,
            "1 to 5 minutes": 3,
            "5 to 15 minutes": 1,
            "15 to 60 minutes": 0,
            "1 to 24 hours": 1,
            "more than a day": 0,
        },
        "beforeTheirCard": 1,
    }
    assert time_to_feedback(delays[:3], Cells(5)) is None


def _invoke(client: FlaskClient, name: str, *, calm: bool = False, **changes: Any) -> Any:
    prefetch = {**(world.calm_prefetch() if calm else world.full_prefetch()), **changes}
    text = json.dumps(world.hook_request(prefetch)).replace(world.PATIENT, name)
    answer = client.post(URL, json=json.loads(text))
    assert answer.status_code == 200, answer.get_data()
    return answer.json["cards"]


def _said(client: FlaskClient, card: dict[str, Any], outcome: str, seconds: int) -> None:
    at = (world.NOW + timedelta(seconds=seconds)).isoformat()
    item: dict[str, Any] = {"card": card["uuid"], "outcome": outcome, "outcomeTimestamp": at}
    if outcome == "accepted":
        item["acceptedSuggestions"] = [{"id": card["suggestions"][0]["uuid"]}]
    assert client.post(f"{URL}/feedback", json={"feedback": [item]}).status_code == 200


@pytest.fixture
def told(service: Service) -> FlaskClient:
    """Thirteen hooks: six cards, five calm charts, a child, and a card that was held back."""
    client = service(cool_down=CoolDown(hours=8))
    cards = [_invoke(client, f"ill-{n}")[0] for n in range(6)]
    for n in range(5):
        assert _invoke(client, f"calm-{n}", calm=True) == []
    child = world.patient(birthDate="2020-01-01")
    (info,) = _invoke(client, "child", patient=child)
    assert info["indicator"] == "info"
    assert _invoke(client, "ill-0") == []
    for seconds, card in enumerate(cards[:4]):
        _said(client, card, "accepted", 60 * (seconds + 1))
    _said(client, cards[4], "overridden", 600)
    return client


def _document(client: FlaskClient, least_cell: int = 1, **options: Any) -> dict[str, Any]:
    store = parts_of(client.application).store
    return service_report(store, options.pop("period", ALL), least_cell=least_cell, **options)


def test_the_document_counts_what_the_service_did(told: FlaskClient) -> None:
    document = _document(told)
    assert document["hooks"] == 13
    assert document["services"] == [
        {"service": "meam-risk", "model": "linear-test 1", "mode": "active", "hooks": 13}
    ]
    counts = {name: one["count"] for name, one in document["answers"].items()}
    assert counts == {"card": 6, "no-estimate": 1, "held-back": 1, "nothing": 5}
    states = {name: one["count"] for name, one in document["applicability"].items()}
    assert states == {"clear": 12, "other": 1}
    assert document["cards"]["cards"] == 7
    step = document["byStep"]["repeat-lactate"]
    assert (step["cards"], step["answered"]["count"], step["accepted"]["count"]) == (6, 5, 4)
    assert document["timeToFeedback"]["medianMinutes"] == 3.0
    assert sum(document["latencyMs"]["counts"].values()) == 13
    assert document["unexplained"] == 0


def test_shadow_mode_is_counted_and_nothing_was_shown(service: Service) -> None:
    client = service(mode="shadow")
    assert _invoke(client, "ill-0") == []
    document = _document(client)
    (source,) = document["services"]
    assert (source["mode"], source["hooks"]) == ("shadow", 1)
    assert document["answers"]["card"]["count"] == 1
    assert (document["cards"]["cards"], document["byStep"]) == (0, {})


def test_what_is_kept_is_encrypted_and_comes_back(store: Store) -> None:
    kept = a_prediction(0.37, subgroups={"unit": "medical icu"}, bins={"lactate": 6}, bin_count=8)
    store.record_answer([], [], {}, [kept])
    with store.engine.connect() as connection:
        row = connection.execute(select(tables.predictions)).one()
    assert b"medical" not in row.payload
    assert b"0.37" not in row.payload
    assert row.patient == store.patient_fingerprint("pat-1") != "pat-1"
    place = tables.place(tables.predictions.c.payload, row.prediction_uuid)
    assert finding_from(store.keys.decrypt(row.payload, place)) == kept.finding
    other = zlib.compress(b'{"format": 2}')
    with pytest.raises(ValueError, match="has format 2, we read 1"):
        finding_from(other)


def test_nothing_small_leaves_the_store_by_default(told: FlaskClient) -> None:
    document = _document(told, 5)
    assert {name for name, one in document["answers"].items() if is_hidden(one)} == {
        "no-estimate",
        "held-back",
    }
    assert is_hidden(document["byStep"]["repeat-lactate"]["accepted"]), "4 of 5"
    cells = re.findall(r'"(?:count|cards|hooks|values|n|events)": (\d+)', json.dumps(document))
    assert not [one for one in cells if 0 < int(one) < 5]


def test_a_period_and_a_service(told: FlaskClient) -> None:
    tomorrow = world.NOW + timedelta(days=1)
    assert _document(told, period=Period(since=tomorrow))["hooks"] == 0
    assert _document(told, period=Period(until=tomorrow))["hooks"] == 13
    empty = _document(told, period=Period(service_id="other"))
    assert (empty["hooks"], empty["cards"]["cards"], empty["latencyMs"]) == (0, 0, None)
    assert "none in this period" in page(empty)


def _csv(folder: Path, *lines: str) -> Path:
    path = folder / "outcomes.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_outcomes_by_patient_belong_to_the_stay(store: Store, tmp_path: Path) -> None:
    """Two stays of one patient: each takes its own first prediction."""
    for hours, risk in ((0, 0.3), (5, 0.9), (100, 0.6), (200, 0.2)):
        store.clock = lambda hours=hours: world.NOW + timedelta(hours=hours)  # type: ignore[misc]
        store.record_answer([], [], {}, [a_prediction(risk, patient_id="pat-7")])
    store.record_answer([], [], {}, [a_prediction(None, patient_id="pat-7")])
    left = [(world.NOW + timedelta(hours=h)).isoformat() for h in (50, 150)]
    path = _csv(
        tmp_path,
        "patient_id,time,outcome",
        f"Patient/pat-7,{left[0]},0",
        f"pat-7,{left[1]},1",
        f"pat-8,{left[0]},1",
    )
    found = service_report(store, ALL, outcomes=path, least_cell=1)["accuracy"]
    assert (found["matched"], found["outcomesWithoutPrediction"]) == (2, 1)
    assert found["predictionsWithoutOutcome"] == 1
    (task,) = found["tasks"]
    assert (task["n"], task["events"], task["meanRisk"]) == (2, 1, 0.45)
    assert task["brier"] == pytest.approx((0.3**2 + 0.4**2) / 2, abs=1e-4)


def test_outcomes_by_prediction_name_a_card_or_a_hook(store: Store, tmp_path: Path) -> None:
    for n, risk in enumerate((0.1, 0.2, 0.8)):
        kept = a_prediction(risk, hook_instance=f"hook-{n}", card_uuid=f"card-{n}")
        store.record_answer([], [], {}, [kept])
    path = _csv(tmp_path, "prediction_id,outcome", "hook-0,0", "card-2,1")
    (task,) = service_report(store, ALL, outcomes=path, least_cell=1)["accuracy"]["tasks"]
    assert (task["task"], task["n"], task["events"]) == ("in-hospital death", 2, 1)


A_ISSUER, B_ISSUER = "https://a.example/fhir", "https://b.example/fhir"


@pytest.fixture
def two_hospitals(store: Store) -> Store:
    """Both have a patient pat-1: B's has a low risk and comes first, A's a high one."""
    for hours, issuer, risk in ((0, B_ISSUER, 0.1), (1, A_ISSUER, 0.9)):
        store.clock = lambda hours=hours: world.NOW + timedelta(hours=hours)  # type: ignore[misc]
        store.record_answer([], [a_card(issuer=issuer)], {}, [a_prediction(risk, issuer=issuer)])
    return store


def _died(folder: Path, name: str = "pat-1") -> Path:
    left = (world.NOW + timedelta(days=1)).isoformat()
    return _csv(folder, "patient_id,time,outcome", f"{name},{left},1")


def _risks(store: Store, period: Period, outcomes: Path) -> list[float]:
    """The risks that found an outcome."""
    document = service_report(store, period, outcomes=outcomes, least_cell=1)
    hooks = answered_hooks(store, period, Unreadable())
    pairs = joined(hooks, read_outcomes(outcomes), store).pairs
    assert document["accuracy"]["matched"] == len(pairs)
    return [hook.finding.tasks[0].probability for hook, _ in pairs]


def test_outcomes_of_one_hospital_are_not_those_of_anothers_patient(
    two_hospitals: Store, tmp_path: Path
) -> None:
    for issuer, risk in ((A_ISSUER, 0.9), (B_ISSUER, 0.1)):
        period = Period(issuer=issuer)
        assert _risks(two_hospitals, period, _died(tmp_path)) == [risk]
        document = service_report(two_hospitals, period, least_cell=1)
        assert (document["hooks"], document["cards"]["cards"]) == (1, 1)
        assert f"All services. Issuer {issuer}." in page(document)


def test_outcomes_by_patient_need_an_issuer_where_there_are_several(
    two_hospitals: Store, tmp_path: Path
) -> None:
    """Also where only one of them was answered in the period."""
    message = (
        f"Predictions are stored for more than one issuer, whose patients may have the same ids:"
        f" {A_ISSUER}, {B_ISSUER}. Say with --issuer whose patients the outcomes are about."
    )
    for period in (ALL, Period(until=world.NOW + timedelta(minutes=1))):
        with pytest.raises(LabelsUnusable, match=re.escape(message)):
            service_report(two_hospitals, period, outcomes=_died(tmp_path))
    assert service_report(two_hospitals, ALL, least_cell=1)["hooks"] == 2, "counts need none"
    message = f"No stored prediction is for the issuer x; they are for {A_ISSUER}, {B_ISSUER}."
    with pytest.raises(LabelsUnusable, match=re.escape(message)):
        service_report(two_hospitals, Period(issuer="x"), outcomes=_died(tmp_path))


def test_tenants_of_one_issuer_are_hospitals_of_their_own(store: Store, tmp_path: Path) -> None:
    died = _died(tmp_path)
    for tenant, risk in (("north", 0.1), ("south", 0.9)):
        store.record_answer([], [], {}, [a_prediction(risk, tenant=tenant)])
        assert _risks(store, Period(tenant=tenant), died) == [risk]
        document = service_report(store, Period(tenant=tenant))
        assert f"All services. Tenant {tenant}." in page(document)
    message = "more than one tenant, whose patients may have the same ids: open (tenant north),"
    with pytest.raises(LabelsUnusable, match=re.escape(message)):
        service_report(store, ALL, outcomes=died)
    store.record_answer([], [], {}, [a_prediction(0.5)])
    with pytest.raises(LabelsUnusable, match=r"open \(no tenant\), .* Say with --tenant"):
        service_report(store, Period(issuer="open"), outcomes=died)
    assert _risks(store, Period(tenant=""), died) == [0.5]
    assert "All services. No tenant." in page(service_report(store, Period(tenant="")))


def test_a_hook_instance_that_two_hospitals_used_is_not_guessed(
    two_hospitals: Store, tmp_path: Path
) -> None:
    path = _csv(tmp_path, "prediction_id,outcome", "h,1")
    with pytest.raises(LabelsUnusable, match="line 2: predictions for more than one issuer or"):
        service_report(two_hospitals, ALL, outcomes=path)
    assert _risks(two_hospitals, Period(issuer=A_ISSUER), path) == [0.9]


def test_the_tenant_of_a_jwt_is_kept_with_what_it_brought(service: Service) -> None:
    keys = {"keys": [signing.jwk(signing.ec_key())]}
    issuers = (TrustedIssuer(signing.ISS, jwks=keys),)
    client = service(mode_auth="jwt", public_base_url=signing.BASE, issuers=issuers)

    def sent(tenant: str, address: str, body: Any) -> Any:
        header = signing.bearer(signing.token(tenant=tenant))
        answer = client.post(address, json=body, headers=header)
        assert answer.status_code == 200, answer.get_data()
        return answer.json

    sent("south", URL, world.hook_request(world.calm_prefetch()))
    (card,) = sent("north", URL, world.hook_request())["cards"]
    item = {"card": card["uuid"], "outcome": "overridden"}
    item["outcomeTimestamp"] = world.NOW.isoformat()
    for tenant in ("south", "north"):
        sent(tenant, f"{URL}/feedback", {"feedback": [item]})
    store = parts_of(client.application).store
    for tenant, figures in (("south", (1, 0, 0, 1)), ("north", (1, 1, 1, 0))):
        period = Period(issuer=signing.ISS, tenant=tenant)
        found = service_report(store, period, least_cell=1)
        cards = found["cards"]
        counted = (found["hooks"], cards["cards"], cards["overridden"]["count"])
        assert (*counted, found["unknownItems"]) == figures


def test_figures_by_subgroup(store: Store, tmp_path: Path) -> None:
    """Twenty predictions of 0.25, five events: all of them among the ten women."""
    rows = []
    for n in range(20):
        sex = "female" if n < 10 else "male"
        kept = a_prediction(0.25, patient_id=f"p{n}", subgroups={"sex": sex})
        store.record_answer([], [], {}, [kept])
        rows.append(f"p{n},{(world.NOW + timedelta(days=1)).isoformat()},{int(n < 5)}")
    path = _csv(tmp_path, "patient_id,time,outcome", *rows)
    (task,) = service_report(store, ALL, outcomes=path, least_cell=1)["accuracy"]["tasks"]
    assert task["observedToExpected"]["value"] == 1.0
    assert task["auroc"]["value"] == 0.5
    female, male = (task["subgroups"]["sex"][name] for name in ("female", "male"))
    assert (female["n"], female["events"], female["observedToExpected"]["value"]) == (10, 5, 2.0)
    assert male == {"n": 10, "events": 0}, "no event, no figures"
    (task,) = service_report(store, ALL, outcomes=path)["accuracy"]["tasks"]
    assert task["subgroups"]["sex"] == {"female": {"n": 10}, "male": {"n": 10}}


def test_drift_over_the_period_is_that_of_the_newest_model(store: Store) -> None:
    for n in range(240):
        bins = {"lactate": n % 8, "device/heart_rate": 7, "sodium": 3}
        if n % 4:
            del bins["sodium"]
        kept = a_prediction(bins=bins, bin_count=8, model="m 2")
        store.record_answer([], [], {}, [kept])
    store.record_answer([], [], {}, [a_prediction(bins={"lactate": 0}, bin_count=4, model="m 1")])
    drift = service_report(store, ALL)["drift"]
    assert (drift["model"], drift["hooks"], drift["inputsWithTooFewValues"]) == ("m 2", 240, 1)
    far, near = drift["inputs"]
    assert (far["input"], far["values"], near["input"]) == ("device/heart_rate", 240, "lactate")
    assert far["index"] > 2
    assert near["index"] == 0.0


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["patient_id,outcome", "p,1"], "line 1: the column time is missing; expected patient_id"),
        (["id,outcome", "p,1"], "line 1: columns are missing or too many; expected patient_id"),
        (["prediction_id,outcome,name", "c,1,x"], "line 1: column 3 has an unknown name"),
        (["prediction_id,outcome,outcome", "c,1,1"], "line 1: the column outcome stands there tw"),
        (["prediction_id,outcome", "c,yes"], "line 2, column outcome: expected 0 or 1."),
        (["prediction_id,outcome", "c,1,2"], "line 2: 3 cells, and the first line has 2."),
        (["prediction_id,outcome", "c d,1"], "line 2, column prediction_id: expected a card's"),
        (["prediction_id,outcome", "c,1", "", "c,0"], "line 4: line 2 is about the same stay or"),
        (
            ["patient_id,time,outcome", "p,2026-11-23T07:40:00,1"],
            "line 2, column time: expected a time with its offset",
        ),
        (["prediction_id,outcome_a,outcome_b", "c,,"], "line 2: no outcome is known; leave"),
        (["prediction_id,outcome_a,outcome_b", "c,1,7"], "column outcome_b: expected 0, 1, or not"),
        (["prediction_id,outcome"], "holds no row"),
    ],
)
def test_a_fault_of_the_outcomes_is_named_by_line_and_column(
    tmp_path: Path, lines: list[str], fault: str
) -> None:
    with pytest.raises(LabelsUnusable, match=re.escape(fault)):
        read_outcomes(_csv(tmp_path, *lines))


def test_a_task_that_no_prediction_has_is_said(store: Store, tmp_path: Path) -> None:
    store.record_answer([], [], {}, [a_prediction(hook_instance="h-1")])
    path = _csv(tmp_path, "prediction_id,outcome_sepsis", "h-1,1")
    with pytest.raises(LabelsUnusable, match="task sepsis; they are of in_hospital_death"):
        service_report(store, ALL, outcomes=path)


def test_what_no_key_reads_is_counted(database_url: str) -> None:
    first = Store(database_url, KeyRing([KEY]), clock=lambda: world.NOW)
    first.record_answer([], [a_card()], {}, [a_prediction()])
    first.close()
    ring = KeyRing([new_key(), KEY])
    second = Store(database_url, ring, clock=lambda: world.NOW)
    second.record_answer([], [], {}, [a_prediction()])
    second.keys = KeyRing([KEY])  # the key of the newer row is lost
    document = service_report(second, ALL, least_cell=1)
    assert (document["hooks"], document["unreadable"]) == (1, 1)
    assert "Answered hooks that no key reads, and that are missing: 1." in page(document)
    second.close()


def _page(client: FlaskClient, tmp_path: Path) -> str:
    left = (world.NOW + timedelta(days=2)).isoformat()
    people = [f"ill-{n}" for n in range(6)] + [f"calm-{n}" for n in range(5)]
    rows = [f"{one},{left},{int(n % 2 == 0)}" for n, one in enumerate(people)]
    path = _csv(tmp_path, "patient_id,time,outcome", *rows)
    return page(_document(client, outcomes=path))


def test_the_page_is_whole_and_holds_no_patient(told: FlaskClient, tmp_path: Path) -> None:
    html = _page(told, tmp_path)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src &#39;sha256-{digest}&#39;" in html or f"'sha256-{digest}'" in html
    for word in ("<script", " style=", "http://", "https://", "src=", "url(", "ill-0", "calm-1"):
        assert word not in html, word
    store = parts_of(told.application).store
    assert store.patient_fingerprint("ill-0") not in html
    assert html.count('role="img"') == 1
    plot = html.index('role="img"')
    assert html.index("<caption>Calibration") > plot, "the numbers stand below the picture"
    assert html.count("<svg") == html.count('aria-hidden="true" focusable') + 1


@needs_chromium
def test_the_page_in_a_browser(told: FlaskClient, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(_page(told, tmp_path), encoding="utf-8")
    faults: list[str] = []
    with chromium() as browser:
        for scheme, width in (("light", 1100), ("dark", 390)):
            context = browser.new_context(
                color_scheme=scheme,  # type: ignore[arg-type]
                viewport={"width": width, "height": 800},
            )
            tab = context.new_page()
            tab.on("console", lambda message: faults.append(message.text))
            tab.on("request", lambda one: faults.append(one.url) if one.url[:5] != "file:" else 0)
            tab.goto(file.as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
            assert colour == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 26)")
            tables = tab.get_by_role("table").count()
            assert tables > 8
            expect(tab.get_by_role("row", name="repeat-lactate")).to_have_count(1)
    assert faults == []


@needs_chromium
def test_the_page_on_paper(told: FlaskClient, tmp_path: Path) -> None:
    """A heading stays with its table, and no table runs out of a sheet of A4."""
    file = tmp_path / "report.html"
    file.write_text(_page(told, tmp_path), encoding="utf-8")
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 688, "height": 960})  # A4 within its margins
        tab.emulate_media(media="print")
        tab.goto(file.as_uri())
        edges = tab.locator("table, figure, .key").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect().right)"
        )
        assert len(edges) > 10
        assert max(edges) <= 688
        for part in ("h2", "h2 + p", "caption"):
            style = "one => getComputedStyle(one).breakAfter"
            assert tab.locator(part).first.evaluate(style) == "avoid", part


def test_sample_patients_and_the_shipped_model(tmp_path: Path) -> None:
    """The command, on a service that answered the sample patients with the shipped model."""
    weeks = Weeks(tmp_path)
    weeks.run(1)
    _csv(tmp_path, "patient_id,time,outcome", *weeks.outcomes)
    (tmp_path / "meam.toml").write_text(
        'profile = "development"\nmode_auth = "open"\n'
        f'database_url = "sqlite:///{tmp_path / "meam.sqlite"}"\nkey_file = "{tmp_path / "keys"}"\n'
    )
    arguments = ["report", "--config", str(tmp_path / "meam.toml"), "--from", "2026-10-26"]
    arguments += ["--outcomes", str(tmp_path / "outcomes.csv"), "--least-cell", "1"]
    run = CliRunner().invoke(main, [*arguments, "--json"])
    assert run.exit_code == 0, run.output
    document = json.loads(run.stdout)
    assert document["hooks"] == document["cards"]["cards"] == len(weeks.outcomes) == 8
    assert document["accuracy"]["matched"] == 8
    assert set(document["accuracy"]["models"]) == {document["services"][0]["model"]}
    assert document["drift"]["inputsWithTooFewValues"] > 20
    out = tmp_path / "out.html"
    assert CliRunner().invoke(main, [*arguments, "--output", str(out)]).exit_code == 0
    html = out.read_text(encoding="utf-8")
    assert "sepsis-0" not in html
    assert "early-warning-escalation" in html
    later = CliRunner().invoke(main, [*arguments[:3], "--from", "2027-01-01", "--json"])
    assert json.loads(later.stdout)["hooks"] == 0
    others = CliRunner().invoke(main, [*arguments, "--issuer", "https://ehr.example"])
    message = (
        "Error: No stored prediction is for the issuer https://ehr.example; they are for open."
    )
    assert (others.exit_code, others.stderr) == (1, f"{message}\n")
    for name in ("report", "feedback"):
        chosen = ["--issuer", "open", "--tenant", "north", "--json"]
        counted = json.loads(CliRunner().invoke(main, [name, *arguments[1:3], *chosen]).stdout)
        assert counted.get("cards", counted.get("all"))["cards"] == 0, "no card is for this tenant"


def test_the_same_on_both_databases(store: Store) -> None:
    card = a_card(suggestion_uuids=("s-1",), step_ids={"s-1": "repeat-lactate"})
    kept = a_prediction(0.37, card_uuid=card.card_uuid, duration_ms=123.0)
    store.record_answer([], [card], {}, [kept])
    item = FeedbackItem(card.card_uuid, "accepted", "2026-11-23T12:01:00Z", ("s-1",))
    store_feedback(store, "meam-risk", "open", (item,))
    document = service_report(store, ALL, least_cell=1)
    assert document["latencyMs"]["p50"] == 123.0
    assert document["byStep"]["repeat-lactate"]["accepted"]["count"] == 1
    assert document["timeToFeedback"]["medianMinutes"] == 1.0
