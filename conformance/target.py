"""What a run is pointed at, and how it presents itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.client_keys import ClientKeys
from conformance.sample import ENCOUNTER_ID, PATIENT_ID

DISCOVERY = "/cds-services"


@dataclass(frozen=True, slots=True)
class Target:
    """A CDS service and the patient that it is asked about."""

    service_base: str  # discovery is at {service_base}/cds-services
    version: str = "2.0.1"
    keys: ClientKeys | None = field(default=None, repr=False)  # None: calls carry no JWT
    service_id: str = ""  # "": the first one whose hook the suite can fire
    patient_id: str = PATIENT_ID
    encounter_id: str = ENCOUNTER_ID
    user_id: str = "Practitioner/conformance"
    prefetch: bool = True  # False: the client honours no template, the service fetches all
    fhir_access: bool = True  # False: requests name no FHIR server, as where none may be called
    feedback: bool = False  # feedback is stored by the service, so it is asked for
    cors_origin: str = ""  # an origin that the service is configured to allow
    time_budget_ms: float = 500.0

    @property
    def discovery_url(self) -> str:
        """Where discovery is."""
        return f"{self.service_base.rstrip('/')}{DISCOVERY}"
