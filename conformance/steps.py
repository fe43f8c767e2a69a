"""The steps of a case: discovery, a hook call, feedback, a look at all answers so far."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from conformance.addresses import is_loopback
from conformance.bodies import NO_ACCESS, feedback_body, hook_body
from conformance.checks import RUN_CHECKS, icon_fault
from conformance.exchange import Answer
from conformance.expectations import Findings, examine
from conformance.json_path import dicts
from conformance.session import NotRunnable, Session

_TIMED_CALLS = 5
# What a service that makes no FHIR requests could not but keep.
_OF_FETCHING = {
    *("nothing-again", "only-what-is-missing", "none", "nothing-foreign", "next-page"),
}
# What shows at our second origin alone.
_OF_FOREIGN = {"token-stays-home", "nothing-foreign", "no-foreign-keys"}
_UNREACHABLE = (
    "The service cannot reach the suite's second address on this machine; give it another by "
    "--foreign-listen or --foreign-url."
)


def run_step(session: Session, step: Mapping[str, Any], found: Findings) -> None:
    """Do one step, once for each of its variants. Raises NotRunnable, NoAnswer."""
    for variant in step.get("each", ({},)):
        whole = {name: value for name, value in step.items() if name != "each"} | variant
        for answer in _STEPS[whole["do"]](session, whole, found):
            examine(session, answer, whole.get("expect", {}), found)


def _discovery(session: Session, step: Mapping[str, Any], _: Findings) -> Iterator[Answer]:
    changed = {"method", "headers", "jwt"} & step.keys()
    if not changed:
        if "status" not in step.get("expect", {}) and session.discovery.status != 200:
            raise NotRunnable("skip", f"Discovery answered {session.discovery.status}.")
        yield session.discovery
        return
    yield session.send(
        step.get("method", "GET"),
        session.target.discovery_url,
        None,
        f"{step.get('method', 'GET')} cds-services",
        step.get("headers", {}),
        step.get("jwt", {}),
    )


def _baseline(session: Session, step: Mapping[str, Any], _: Findings) -> Iterator[Answer]:
    answer = session.baseline
    if "status" not in step.get("expect", {}) and answer.status != 200:
        raise NotRunnable("skip", f"The hook request was answered with status {answer.status}.")
    yield answer


def _call(session: Session, step: Mapping[str, Any], _: Findings) -> Iterator[Answer]:
    _require_baseline(session)
    if asks_for_fetching(step) and not session.fetches:
        why = "The service makes no FHIR requests, even without prefetch."
        raise NotRunnable("omit", why if session.target.fhir_access else NO_ACCESS)
    if step.get("expect", {}).get("fhir") in _OF_FOREIGN and not session.foreign_reachable:
        raise NotRunnable("omit", _UNREACHABLE)
    session.endpoint.start(step["fhir"] if _is_behaviour(step.get("fhir", "")) else "plain")
    url, what = _address(session, step)
    headers = {"Content-Type": "application/json", **_headers(session, step)}
    body = step["raw"].encode() if "raw" in step else _encoded(hook_body(session, step))
    method = step.get("method", "POST")
    what = f"{method} {what}"
    if step.get("twice"):
        yield from _twice(session, method, url, body, what, headers)
        return
    sent = None if method in ("GET", "OPTIONS") else body
    yield session.send(method, url, sent, what, headers, step.get("jwt", {}))


def asks_for_fetching(step: Mapping[str, Any]) -> bool:
    """Say whether a step means something only for a service that makes FHIR requests."""
    expect = step.get("expect", {})
    failing_server = "missing_data" in expect and step.get("fhir", "").startswith("status-")
    compared = "same_cards" in expect and step.get("prefetch") == "none"
    return expect.get("fhir") in _OF_FETCHING or failing_server or compared


def _timing(session: Session, _: Mapping[str, Any], __: Findings) -> Iterator[Answer]:
    """Make the same call some times and yield the answer of median duration."""
    _require_baseline(session)
    session.endpoint.start("plain")
    answers = [
        session.post(session.service_url, session.hook_request(), "POST cds-services/{id}, median")
        for _ in range(_TIMED_CALLS)
    ]
    yield sorted(answers, key=lambda one: one.elapsed_ms)[_TIMED_CALLS // 2]


def _twice(
    session: Session,
    method: str,
    url: str,
    body: bytes,
    what: str,
    headers: Mapping[str, str],
) -> Iterator[Answer]:
    """Send the same JWT two times and return the second answer."""
    keys = session.target.keys
    if keys is None:
        raise NotRunnable("omit", "The run signs no JWT.")
    same = {"raw": f"Bearer {keys.token(url, {})}"}
    first = session.send(method, url, body, what, headers, same)
    if first.status != 200:
        raise NotRunnable("skip", f"The first use of a JWT was answered with {first.status}.")
    yield session.send(method, url, body, f"{what} again", headers, same)


def _every_service(session: Session, _: Mapping[str, Any], __: Findings) -> Iterator[Answer]:
    """Call each entry of discovery on its own hook, save where the address took a request already.

    An id may stand for several hooks, and a service may answer 404 for a hook that is not its.
    """
    for service in session.services:
        if not isinstance(service.get("id"), str) or not service["id"]:
            continue
        if service["id"] == _answered_id(session):
            yield session.baseline
            continue
        url = f"{session.target.discovery_url}/{service['id']}"
        yield session.post(url, _request_of(session, service), f"POST cds-services/{service['id']}")


def _answered_id(session: Session) -> str:
    """Return the id of the service that answered our hook request with 200, "" for none."""
    try:
        return session.service["id"] if session.baseline.status == 200 else ""
    except NotRunnable:
        return ""


def _request_of(session: Session, service: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request without patient and data: it is to be taken, not to be worked on."""
    request = {"hookInstance": str(uuid.uuid4()), "context": {"userId": session.target.user_id}}
    return {"hook": service["hook"], **request} if "hook" in service else request


def _feedback(session: Session, step: Mapping[str, Any], _: Findings) -> Iterator[Answer]:
    if not session.target.feedback:
        raise NotRunnable("omit", "The run sends no feedback: it would be stored.")
    _require_baseline(session)
    _require_feedback(session)
    body = feedback_body(session, step)
    for again in range(step.get("times", 1)):
        what = "POST cds-services/{id}/feedback" + (" again" if again else "")
        yield session.post(_feedback_url(session), body, what, step.get("jwt", {}))


def _require_feedback(session: Session) -> None:
    """Raise NotRunnable where the service takes no feedback, which is its right."""
    if "feedback" not in session.known:
        body = feedback_body(session, {})
        answer = session.post(_feedback_url(session), body, "POST cds-services/{id}/feedback")
        session.known["feedback"] = answer.status
    if session.known["feedback"] in (404, 405, 501):
        raise NotRunnable("omit", f"The service takes no feedback ({session.known['feedback']}).")


def _icons(session: Session, _: Mapping[str, Any], found: Findings) -> Iterator[Answer]:
    """Fetch the icons of the cards that the service itself serves."""
    sources = [card.get("source") for card in session.cards]
    named = {one["icon"] for one in dicts(sources) if isinstance(one.get("icon"), str)}
    for url in sorted(named):
        if _host(url) != _host(session.target.discovery_url):
            continue
        answer = session.send("GET", url, None, "GET source.icon", {}, {"absent": 1})
        found.judged = True
        if fault := icon_fault(answer.body):
            found.answers.append(answer)
            found.sentences.append(f"$.cards[*].source.icon {fault}.")
        yield answer


def _all_answers(session: Session, step: Mapping[str, Any], found: Findings) -> Iterator[Answer]:
    """Look at everything that came back in this run; these cases are run last."""
    for name in step["run_check"]:
        found.judged |= bool(session.wire.answers)
        faults = list(RUN_CHECKS[name](session))
        found.answers += [answer for answer, _ in faults]
        found.sentences += sorted({sentence for _, sentence in faults})
    yield from ()


def _https(session: Session, _: Mapping[str, Any], found: Findings) -> Iterator[Answer]:
    parts = urlsplit(session.target.service_base)
    if parts.scheme != "https" and is_loopback(parts.hostname or ""):
        raise NotRunnable("skip", "The service is on this machine.")
    found.judged = True
    if parts.scheme != "https":
        found.sentences.append(f"The service is called by {parts.scheme}.")
    yield from ()


_STEPS: Mapping[str, Callable[[Session, Mapping[str, Any], Findings], Iterator[Answer]]] = {
    "discovery": _discovery,
    "baseline": _baseline,
    "call": _call,
    "timing": _timing,
    "every-service": _every_service,
    "feedback": _feedback,
    "icons": _icons,
    "all-answers": _all_answers,
    "https": _https,
}


def _require_baseline(session: Session) -> None:
    if session.baseline.status != 200:
        raise NotRunnable(
            "skip", f"The hook request was answered with status {session.baseline.status}."
        )


def _is_behaviour(fhir: str) -> bool:
    return fhir in ("redirect", "foreign-next") or fhir.startswith("status-")


def _address(session: Session, step: Mapping[str, Any]) -> tuple[str, str]:
    if step.get("service") == "unknown":
        return f"{session.target.discovery_url}/no-such-service", "cds-services/no-such-service"
    return session.service_url, "cds-services/{id}"


def _headers(session: Session, step: Mapping[str, Any]) -> dict[str, str]:
    given = step.get("headers", {})
    if "{{origin}}" in given.values() and not session.target.cors_origin:
        raise NotRunnable("omit", "The run names no origin of a browser client.")
    origin = session.target.cors_origin
    return {name: origin if text == "{{origin}}" else text for name, text in given.items()}


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _feedback_url(session: Session) -> str:
    return f"{session.service_url}/feedback"


def _encoded(body: Any) -> bytes:
    return json.dumps(body).encode()
