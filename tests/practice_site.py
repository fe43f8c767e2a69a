"""FHIR server, service and practice EHR as they work together: real JWTs, prefetch, feedback.

The FHIR server is a process; service and EHR are served by threads of the test, with the hand-made
predictor, so that a test of pages does not pay for the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cds_hooks.app import create_app as create_service
from cds_hooks.settings import development_settings
from cds_hooks.trust import TrustedIssuer
from conformance.ehr.app import create_app as create_ehr
from conformance.ehr.cds_client import Connection
from conformance.ehr.signing import JWKS_PATH
from tests.browser import served
from tests.cds_hooks.running import free_port
from tests.cds_hooks.world import LinearPredictor

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


@dataclass(frozen=True, slots=True)
class PracticeSite:
    """Addresses of a running site."""

    fhir: str
    service: str
    ehr: str


@contextmanager
def practice_site(folder: Path, fhir: str, **settings: Any) -> Iterator[PracticeSite]:
    """Serve a site whose service trusts its EHR and calls its FHIR server."""
    service_port, ehr_port = free_port(), free_port()
    site = PracticeSite(fhir, f"http://127.0.0.1:{service_port}", f"http://127.0.0.1:{ehr_port}")
    trusted = TrustedIssuer(iss=site.ehr, jku=(site.ehr + JWKS_PATH,), fhir_servers=(fhir,))
    usual = {"deadline_ms": 9_000, "show_low_risk": True}
    service = create_service(
        development_settings(
            folder,
            mode_auth="jwt",
            issuers=(trusted,),
            public_base_url=site.service,
            **{**usual, **settings},
        ),
        predictor=LinearPredictor(),
    )
    ehr = create_ehr(Connection(fhir, site.service), site.ehr)
    with served(ehr, ehr_port), served(service, service_port):
        yield site


def ago(hours: float) -> str:
    """Return a time before now, as FHIR writes it."""
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="seconds")


def patient(identity: str, **changes: Any) -> dict[str, Any]:
    """Return an adult."""
    return {
        "resourceType": "Patient",
        "id": identity,
        "name": [{"text": "Ada Example"}],
        "birthDate": "1956-03-04",
        "gender": "female",
        **changes,
    }


def encounter(patient_id: str, **changes: Any) -> dict[str, Any]:
    """Return the stay that is going on."""
    return {
        "resourceType": "Encounter",
        "id": f"{patient_id}-enc",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": f"Patient/{patient_id}"},
        "period": {"start": ago(40)},
        **changes,
    }


def observation(
    patient_id: str,
    name: str,
    loinc: str,
    value: float,
    unit: str,
    hours: float,
    category: str,
    **more: Any,
) -> dict[str, Any]:
    """Return one Observation, some hours old."""
    return {
        "resourceType": "Observation",
        "id": f"{patient_id}-{name}",
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY, "code": category}]}],
        "code": {"coding": [{"system": LOINC, "code": loinc}]},
        "subject": {"reference": f"Patient/{patient_id}"},
        "effectiveDateTime": ago(hours),
        "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit},
        **more,
    }


def sick_patient(identity: str) -> list[dict[str, Any]]:
    """Return a chart that makes the service speak and offer next steps."""
    vital = [("8867-4", 118, "/min"), ("8480-6", 82, "mm[Hg]"), ("8310-5", 38.9, "Cel")]
    laboratory = [("2524-7", 4.1, "mmol/L"), ("2160-0", 2.1, "mg/dL"), ("6690-2", 17, "10*3/uL")]
    resources = [patient(identity), encounter(identity)]
    for category, rows in (("vital-signs", vital), ("laboratory", laboratory)):
        for loinc, value, unit in rows:
            resources += [
                observation(identity, f"{loinc}-{n}", loinc, value, unit, 9 - 4 * n, category)
                for n in range(3)
            ]
    return resources
