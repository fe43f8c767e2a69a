"""``meam explain``: one patient from a FHIR server or a file, without the service."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cds_hooks.prefetch import gather
from cds_hooks.request import HookContext, HookRequest
from cds_hooks.services import published_services
from cds_hooks.settings import Settings
from cds_hooks.wording import Written, write_card
from fhir_adapters.backend_auth import BackendServices
from fhir_adapters.bundle import open_bundle
from fhir_adapters.chart import Chart
from fhir_adapters.client import FhirClient
from fhir_adapters.codes import CodeTable
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import FhirBadAnswer, NoPatient
from fhir_adapters.record_builder import build_record
from model.prediction import Explanation, Prediction
from model.predictor import load_predictor
from model.record import PatientRecord

_PATIENCE_S = 120.0  # nobody waits at a chart: all of it is worth waiting for
_ASKING = "Practitioner/meam-explain"
_NO_PAGE = "http://localhost/"  # a card needs a link; no service stored a page for this one


@dataclass(frozen=True, slots=True)
class Explained:
    """One patient's prediction with its reasons, and the card that would be shown."""

    record: PatientRecord
    prediction: Prediction
    explanation: Explanation | None
    written: Written | None

    def card(self) -> dict[str, Any] | None:
        """Return the card without its link: there is no page behind it."""
        card = self.written.card.to_json() if self.written else None
        return card and {name: value for name, value in card.items() if name != "links"}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; the record is left out, it is the chart again."""
        return {
            "patient": self.record.demographics.source,
            "prediction": _plain(self.prediction),
            "explanation": _plain(self.explanation),
            "report": _plain(self.record.report),
            "card": self.card(),
        }


def chart_of_server(
    fhir_url: str,
    patient_id: str,
    token: str,
    moment: datetime,
    codes: CodeTable | None = None,
    backend: BackendServices | None = None,
) -> Chart:
    """Fetch what the service would ask for. Raises FhirError and DataMissing.

    ``backend`` gets the token where none was given.
    """
    settings = Settings()
    request = HookRequest(
        hook="patient-view",
        hook_instance=str(uuid.uuid4()),
        context=HookContext(_ASKING, patient_id),
        arrived_at=moment,
        fhir_server=fhir_url,
    )
    deadline = Deadline.after(_PATIENCE_S)
    held = backend.token() if backend else None
    with FhirClient(
        fhir_url,
        access_token=held.value if held else token or None,
        token_expires_at=held.expires_at if held else None,
        refresh=backend.new_token if backend else None,
        deadline=deadline,
    ) as fhir:
        return gather(request, published_services(settings, codes)[0].prefetch, fhir)


def chart_of_bundle(path: Path, patient_id: str | None) -> Chart:
    """Read a Bundle file. Raises FhirBadAnswer, and NoPatient if it is not clear who is meant."""
    try:
        contents = open_bundle(json.loads(path.read_text(encoding="utf-8")), path.name)
    except (OSError, ValueError) as exc:
        raise FhirBadAnswer(f"{path}: not a JSON file: {exc}") from exc
    patients = [r["id"] for r in contents.resources if r.get("resourceType") == "Patient"]
    if patient_id is None and len(patients) != 1:
        raise NoPatient(f"{path} holds {len(patients)} patients; name one of them")
    return Chart(
        patient_id=patient_id or patients[0],
        resources=tuple(contents.resources),
        incomplete=tuple(contents.incomplete),
        aliases=contents.aliases,
    )


def explained(
    chart: Chart,
    moment: datetime,
    checkpoint: Path | None,
    codes: CodeTable | None = None,
    *,
    live: bool,
) -> Explained:
    """Predict and explain; ``live``: the moment is now. Raises ChartError and ModelError."""
    settings = Settings(show_low_risk=True)
    record = build_record(chart, moment, codes=codes, live=live)
    prediction, explanation = load_predictor(checkpoint or settings.checkpoint)(record)
    written = write_card(prediction, explanation, record.report, settings, lambda _: _NO_PAGE)
    return Explained(record, prediction, explanation, written)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
