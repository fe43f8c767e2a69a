"""What a reader of a report asks about the run: versions, who called, about whom, how long."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from statistics import median

from conformance import VERSION
from conformance.bounded import NoAnswer
from conformance.endpoint import JWKS_PATH
from conformance.session import NotRunnable, Session

NO_CARDS = "none seen"


def facts_of(session: Session) -> Mapping[str, str]:
    """Return names and values, in the order in which they are shown; no secrets among them."""
    target, keys = session.target, session.target.keys
    signed = (
        f"JWTs signed {keys.algorithm}, iss {keys.issuer}, "
        + (f"jku {keys.jku}" if keys.jku else "without jku")
        + (f", tenant {keys.tenant}" if keys.tenant else "")
        if keys
        else "no JWTs"
    )
    patient = "made up by the suite" if session.made_up_patient else "from a FHIR server"
    return {
        "Suite": f"{VERSION}, Python {platform.python_version()}",
        "CDS Hooks": target.version,
        "Service software": _software(session),
        "Calls": signed,
        **_key_set(session),
        "Patient": patient,
        "Data": _data(session),
        **_not_prefetched(session),
        **_cards(session),
        "Feedback": "sent" if target.feedback else "not sent",
        "Browser origin": target.cors_origin or "none",
        "Time of an answer": _times(session),
    }


def _key_set(session: Session) -> Mapping[str, str]:
    """Tell a service that cannot reach our JWK Set from one that does not trust it."""
    keys = session.target.keys
    if keys is None or keys.jku != session.endpoint.url + JWKS_PATH:
        return {}
    fetched = session.endpoint.key_set_fetches
    return {"JWK Set": "asked for by the service" if fetched else "never asked for"}


def _data(session: Session) -> str:
    prefetched = "prefetched as asked for" if session.target.prefetch else "nothing prefetched"
    access = "with" if session.target.fhir_access else "without"
    return f"{prefetched}, {access} access to the suite's FHIR endpoint"


def _not_prefetched(session: Session) -> Mapping[str, str]:
    failed = [f"{key} (status {status})" for key, status in session.not_prefetched.items()]
    return {"Not prefetched": ", ".join(failed)} if failed else {}


def _cards(session: Session) -> Mapping[str, str]:
    """Say how many cards the rules about cards could look at, where a hook was answered at all."""
    if not session.hook_was_answered:
        return {}
    try:
        seen = len(session.cards)
    except NotRunnable:
        return {}
    return {"Cards": f"{seen} in the first answer" if seen else NO_CARDS}


def _software(session: Session) -> str:
    try:
        named = session.discovery.header("Server")
    except NoAnswer:
        return "no answer"
    return named or "not named (no Server header)"


def _times(session: Session) -> str:
    taken_ms = [answer.elapsed_ms for answer in session.wire.answers]
    if not taken_ms:
        return "no answer"
    return f"median {median(taken_ms):.0f} ms, longest {max(taken_ms):.0f} ms"
