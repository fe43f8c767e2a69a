"""What the running EHR holds: its key, its address, its connections and the charts opened."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from flask import abort, current_app

from conformance.ehr.accepting import Seals
from conformance.ehr.cds_client import CdsClient, Connection
from conformance.ehr.signing import SigningKey
from conformance.ehr.visits import Visits


@dataclass
class Desk:
    """One for each application."""

    key: SigningKey
    issuer: str
    connections: list[Connection]
    seals: Seals = field(default_factory=lambda: Seals(secrets.token_bytes(32)))
    visits: Visits = field(default_factory=Visits)

    def client(self, number: int) -> CdsClient:
        """Return the client of one connection; 404 if there is none."""
        if not 1 <= number <= len(self.connections):
            abort(404)
        return CdsClient(self.connections[number - 1], self.key, self.issuer)


def desk() -> Desk:
    """Return the desk of the current application."""
    found: Desk = current_app.extensions["desk"]
    return found
