"""A CDS service on dhti-elixir-base, as its template wires one; runs in the peer's environment.

The chain is the package's own, with a language model that always says the same. Discovery names
patient-view, which the suite can fire, where the template names order-select.
"""

from __future__ import annotations

from dhti_elixir_base import BaseChain
from dhti_elixir_base.cds_hook.routes import add_invokes, add_services
from fastapi import FastAPI
from kink import di
from langchain_community.llms.fake import FakeListLLM
from langchain_core.prompts import PromptTemplate
from langserve import add_routes

PATH = "/langserve/peer"
TEMPLATE = "Summarize for the patient {patientId}."

di["main_prompt"] = PromptTemplate.from_template(TEMPLATE)
di["base_main_llm"] = FakeListLLM(responses=["Nothing to add."])
di["base_clinical_llm"] = di["base_grounding_llm"] = di["base_main_llm"]
di["peer_cds_hook_discovery"] = {
    "services": [
        {
            "id": "dhti-service",
            "hook": "patient-view",
            "title": "Summary",
            "description": "A summary of the patient.",
            "prefetch": {"patient": "Patient/{{context.patientId}}"},
        }
    ]
}


app = FastAPI()
add_routes(app, BaseChain().chain, path=PATH)
add_invokes(app, path=PATH)
add_services(app, path=PATH)
