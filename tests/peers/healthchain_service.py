"""The service that HealthChain's own scaffold makes, with discovery where CDS Hooks has it.

Only the line of ``discovery_path`` differs; runs in the peer's environment.
"""

from __future__ import annotations

from healthchain.gateway import HealthChainAPI
from healthchain.gateway.cds import CDSHooksConfig, CDSHooksService
from healthchain.models.requests.cdsrequest import CDSRequest
from healthchain.models.responses.cdsresponse import CDSResponse

app = HealthChainAPI(title="My CDS Service", description="A CDS Hooks service")
cds = CDSHooksService(config=CDSHooksConfig(discovery_path="/cds-services"))


@cds.hook("patient-view", id="my-service", title="My CDS Service")
def patient_view(request: CDSRequest) -> CDSResponse:
    card = {
        "summary": "HealthChain CDS",
        "detail": "Add your clinical logic here.",
        "indicator": "info",
        "source": {"label": "My CDS Service"},
    }
    return CDSResponse(cards=[card])


app.register_service(cds)
