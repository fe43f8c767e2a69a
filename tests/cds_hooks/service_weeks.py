"""Weeks of a service, made by really invoking it: sample patients, cards, feedback, outcomes.

``python -m tests.cds_hooks.service_weeks FOLDER`` leaves meam.toml, a database and outcomes.csv in
FOLDER, for ``meam report --config FOLDER/meam.toml --outcomes FOLDER/outcomes.csv``.
Outcomes are drawn from the predicted risks, so they are calibrated but for chance.
"""

from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from flask.testing import FlaskClient

from cds_hooks.app import create_app
from cds_hooks.override_reasons import OVERRIDE_REASONS
from cds_hooks.parts import parts_of
from cds_hooks.settings import development_settings
from fhir_adapters.chart import Chart
from fhir_adapters.datasets.sample_patients import DEFAULT_SEED, sample_charts
from tests.cds_hooks.test_shipped_model import prefetch_of

URL = "/cds-services/meam-risk"
START = datetime(2026, 10, 26, 8, tzinfo=UTC)


@dataclass
class Weeks:
    """A service, its clock, and what happened."""

    folder: Path
    seed: int = 7
    now: datetime = START
    outcomes: list[str] = field(default_factory=list)

    def run(self, rounds: int) -> None:
        """Open every sample chart of so many seeds, one round a day and a half."""
        chance = random.Random(self.seed)
        settings = development_settings(
            self.folder, show_low_risk=True, deadline_ms=20_000, hard_limit_ms=60_000
        )
        app = create_app(settings, clock=lambda: self.now)
        client = app.test_client()
        for number in range(rounds):
            self.now = START + timedelta(days=1.5 * number)
            charts = sample_charts(self.now, DEFAULT_SEED + number)
            for name, chart in charts.items():
                self.now += timedelta(minutes=7)
                self._open(client, f"{name}-{number}", chart, chance)
        parts_of(app).store.close()

    def _open(self, client: FlaskClient, patient: str, chart: Chart, chance: random.Random) -> None:
        request = request_of(chart, patient)
        answer = client.post(URL, json=request)
        assert answer.status_code == 200, answer.get_data()
        for card in answer.json["cards"]:
            feedback = list(feedback_about(card, self.now, chance))
            if feedback:
                sent = client.post(f"{URL}/feedback", json={"feedback": feedback})
                assert sent.status_code == 200
        risk = 0.3 if not answer.json["cards"] else risk_of(answer.json["cards"][0]["summary"])
        left = (self.now + timedelta(days=3)).isoformat()
        self.outcomes.append(f"{patient},{left},{int(chance.random() < risk)}")


def request_of(chart: Chart, patient: str) -> dict[str, Any]:
    """A hook request about a sample chart, under another patient's id."""
    prefetch = json.loads(json.dumps(prefetch_of(chart)).replace(chart.patient_id, patient))
    return {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "context": {
            "userId": "Practitioner/doc-1",
            "patientId": patient,
            "encounterId": chart.encounter_id,
        },
        "prefetch": prefetch,
    }


def risk_of(summary: str) -> float:
    """The risk that a summary states; a middling one where it states none."""
    found = re.search(r": (?:below |above )?(\d+) %", summary)
    return int(found.group(1)) / 100 if found else 0.1


def feedback_about(
    card: dict[str, Any], now: datetime, chance: random.Random
) -> Iterator[dict[str, Any]]:
    """What a user does: most cards with suggestions are answered, some are overridden."""
    if chance.random() < 0.25:
        return
    seconds = chance.lognormvariate(5.0, 1.4)
    item: dict[str, Any] = {
        "card": card["uuid"],
        "outcomeTimestamp": (now + timedelta(seconds=seconds)).isoformat(),
    }
    suggestions = card.get("suggestions", [])
    if suggestions and chance.random() < 0.6:
        chosen = chance.sample(suggestions, chance.randint(1, len(suggestions)))
        accepted = [{"id": one["uuid"]} for one in chosen]
        yield {**item, "outcome": "accepted", "acceptedSuggestions": accepted}
    elif chance.random() < 0.8:
        reason = chance.choice(OVERRIDE_REASONS[:3])
        coded = {"code": reason.code, "system": reason.system}
        yield {**item, "outcome": "overridden", "overrideReason": {"reason": coded}}


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--rounds", default=20, show_default=True)
def main(folder: Path, rounds: int) -> None:
    """Fill FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    weeks = Weeks(folder)
    weeks.run(rounds)
    rows = ["patient_id,time,outcome", *weeks.outcomes]
    (folder / "outcomes.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "meam.toml").write_text(
        'profile = "development"\nmode_auth = "open"\n'
        f'database_url = "sqlite:///{folder / "meam.sqlite"}"\nkey_file = "{folder / "keys"}"\n',
        encoding="utf-8",
    )
    click.echo(f"{len(weeks.outcomes)} hooks.")


if __name__ == "__main__":
    main()
