"""Services that break one rule each, by the case that finds them.

BEHAVIOURS are places of the correct service that do not keep their rule; ANSWERS change what
discovery or a hook answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.conformance.correct_service import TEMPLATES

Change = Callable[[Any], Any]

# The case that finds it -> the name of the rule in correct_service.py.
BEHAVIOURS = {
    "answers-are-json-by-content-type": "media-type",
    "answers-are-strict-json": "strict-json",
    "malformed-json-is-refused": "malformed-json",
    "body-array-is-refused": "body-array",
    "other-media-type-is-refused": "other-media-type",
    "discovery-refuses-post": "discovery-refuses-post",
    "unknown-service-is-404": "unknown-service",
    "get-of-a-service-is-refused": "get-of-a-service",
    "missing-hook-is-refused": "missing-hook",
    "other-hook-is-refused": "other-hook",
    "missing-hook-instance-is-refused": "missing-hook-instance",
    "hook-instance-is-a-uuid": "hook-instance",
    "missing-context-is-refused": "missing-context",
    "context-array-is-refused": "context-array",
    "missing-user-is-refused": "missing-user",
    "user-without-type-is-refused": "user-without-type",
    "user-of-other-type-is-refused": "user-of-other-type",
    "missing-patient-is-refused": "missing-patient",
    "patient-that-is-no-id-is-refused": "patient-that-is-no-id",
    "patient-as-user-is-accepted": "patient-as-user",
    "unknown-context-member-is-ignored": "unknown-context-member",
    "unknown-member-is-ignored": "unknown-member",
    "extension-is-tolerated": "extension-is-tolerated",
    "authorization-needs-a-server": "authorization-needs-a-server",
    "authorization-without-access-token-is-refused": "without-access_token",
    "authorization-without-token-type-is-refused": "without-token_type",
    "authorization-without-expires-in-is-refused": "without-expires_in",
    "authorization-without-scope-is-refused": "without-scope",
    "authorization-without-subject-is-refused": "without-subject",
    "token-type-is-bearer": "token-type-is-bearer",
    "expires-in-is-a-number": "expires-in-is-a-number",
    "authorization-for-another-patient-is-refused": "authorization-for-another-patient",
    "authorization-without-patient-is-accepted": "authorization-without-patient",
    "request-without-fhir-server-is-answered": "request-without-fhir-server",
    "server-without-authorization-is-answered": "server-without-authorization",
    "encounter-is-optional-on-patient-view": "encounter-is-optional",
    "missing-data-is-not-silence": "missing-data-is-not-silence",
    "smart-1-scopes-are-accepted": "smart-scopes",
    "fhir-calls-carry-the-token": "fhir-calls-carry",
    "fhir-calls-only-read": "fhir-calls-only-read",
    "no-answer-repeats-a-secret": "no-answer-repeats",
    "no-answer-shows-a-stack-trace": "no-answer-shows",
    "no-error-carries-cards": "no-error-carries",
    "token-does-not-follow-redirects": "redirects",
    "token-does-not-follow-next-links": "next-links",
    "expired-token-is-not-used": "expired-token",
    "unknown-fhir-server-is-not-called": "unknown-fhir-server",
    "missing-prefetch-is-fetched": "missing-prefetch",
    "only-what-is-missing-is-fetched": "only-what-is-missing",
    "null-prefetch-is-not-fetched-again": "null-prefetch",
    "failed-prefetch-is-not-fetched-again": "failed-prefetch",
    "empty-bundle-is-not-fetched-again": "empty-bundle",
    "null-prefetch-is-no-fault": "null-prefetch-is-no-fault",
    "no-data-is-412": "no-data",
    "failing-fhir-server-is-412": "failing-fhir-server",
    "next-page-of-prefetch-is-read": "next-page",
    "prefetched-and-fetched-cards-are-the-same": "prefetched-and-fetched",
    "prefetch-of-another-patient-is-refused": "prefetch-of-another-patient",
    "detail-has-no-raw-html": "detail-has-no-raw-html",
    "icon-is-a-100-by-100-png": "icon-is-a-100-by-100-png",
    "feedback-accepted-is-taken": "feedback-accepted-is-taken",
    "feedback-reason-without-display-is-taken": "feedback-reason-without-display",
    "feedback-comment-alone-is-taken": "feedback-comment-alone",
    "feedback-batch-is-taken": "feedback-batch",
    "feedback-repeat-is-taken": "feedback-repeat",
    "feedback-empty-array-is-taken": "feedback-empty-array",
    "feedback-bare-array-is-refused": "feedback-bare-array",
    "feedback-without-card-is-refused": "feedback-without-card",
    "feedback-without-outcome-is-refused": "feedback-without-outcome",
    "feedback-without-timestamp-is-refused": "feedback-without-outcomeTimestamp",
    "feedback-ignored-is-refused": "feedback-ignored",
    "feedback-date-only-is-refused": "feedback-date-only",
    "feedback-accepted-needs-suggestions": "feedback-accepted-needs",
    "feedback-empty-reason-is-refused": "feedback-empty-reason",
    "feedback-of-an-unknown-card-is-taken": "feedback-of-an-unknown-card",
    "feedback-needs-a-jwt": "feedback-needs-a-jwt",
    "missing-jwt-is-refused": "missing-jwt",
    "malformed-jwt-is-refused": "malformed-jwt",
    "other-scheme-is-refused": "other-scheme",
    "algorithm-none-is-refused": "algorithm-none",
    "symmetric-algorithm-is-refused": "symmetric-algorithm",
    "unknown-kid-is-refused": "unknown-kid",
    "missing-kid-is-refused": "missing-kid",
    "missing-typ-is-refused": "missing-typ",
    "missing-iss-is-refused": "missing-iss",
    "missing-aud-is-refused": "missing-aud",
    "missing-exp-is-refused": "missing-exp",
    "missing-iat-is-refused": "missing-iat",
    "missing-jti-is-refused": "missing-jti",
    "foreign-issuer-is-refused": "foreign-issuer",
    "foreign-jku-is-not-fetched": "foreign-jku-is-not-fetched",
    "foreign-jku-is-refused": "foreign-jku",
    "other-audience-is-refused": "other-audience",
    "audience-array-is-accepted": "audience-array",
    "expired-jwt-is-refused": "expired-jwt",
    "jwt-from-the-future-is-refused": "jwt-from-the-future",
    "not-before-is-honoured": "not-before",
    "year-long-jwt-is-refused": "year-long",
    "more-claims-are-tolerated": "more-claims",
    "second-use-of-a-jwt-is-refused": "second-use",
    "refusal-of-a-jwt-is-401": "refusal-status",
    "refusal-of-a-jwt-has-no-detail": "refusal-of-a-jwt",
    "preflight-is-answered": "preflight-is-answered",
    "preflight-allows-authorization": "preflight-allows-authorization",
    "answer-allows-the-origin": "answer-allows-the-origin",
    "foreign-origin-gets-no-header": "foreign-origin",
    "answers-vary-by-origin": "answers-vary",
    "answer-comes-in-time": "answer-comes-in-time",
}
# On a service of encounter-start.
BEHAVIOURS_OF_ENCOUNTERS = {"encounter-hook-without-encounter-is-refused": "missing-encounter"}
# Of 3.0 only.
BEHAVIOURS_3 = {
    "smart-2-scopes-are-accepted": "smart-scopes",
    "refusal-is-an-operation-outcome": "refusal-is-an-operation-outcome",
    "missing-data-is-an-operation-outcome": "missing-data-is-an-operation-outcome",
}


def in_service(**members: Any) -> Change:
    """Change the first service of discovery; None removes a member."""

    def change(answer: Any) -> Any:
        if "services" in answer:
            _put(answer["services"][0], members)
        return answer

    return change


def in_card(path: str = "", **members: Any) -> Change:
    """Change the part of the first card to which the path leads."""

    def change(answer: Any) -> Any:
        if "cards" in answer:
            part = answer["cards"][0]
            for name in path.split():
                part = part[int(name) if name.isdigit() else name]
            _put(part, members)
        return answer

    return change


def in_answer(**members: Any) -> Change:
    def change(answer: Any) -> Any:
        if "cards" in answer:
            _put(answer, members)
        return answer

    return change


def _put(part: Any, members: dict[str, Any]) -> None:
    for name, value in members.items():
        if value is None:
            part.pop(name, None)
        else:
            part[name] = value


def _service_twice(answer: Any) -> Any:
    if "services" in answer:
        answer["services"] *= 2
    return answer


def _dead_service(answer: Any) -> Any:
    if "services" in answer:
        dead = {"hook": "order-sign", "id": "dead", "title": "Dead", "description": "Nothing."}
        answer["services"].append({**dead, "version": "3.0.0"})
    return answer


def _same_uuid(answer: Any) -> Any:
    if "cards" in answer:
        answer["cards"][1]["uuid"] = answer["cards"][0]["uuid"]
    return answer


def _services_by_name(answer: Any) -> Any:
    return {"services": {"a": answer["services"][0]}} if "services" in answer else answer


def _template(**more: Any) -> Change:
    return in_service(prefetch={**more, **TEMPLATES})


ACTIONS = "suggestions 0 actions"
ANSWERS: dict[str, Change] = {
    "answer-has-no-empty-values": in_answer(extension={"org.example.nothing": ""}),
    "discovery-has-no-empty-values": in_service(extension={"org.example.nothing": []}),
    "discovery-has-services-array": _services_by_name,
    "services-have-hook": in_service(hook=None),
    "services-have-description": in_service(description=None),
    "services-have-id": in_service(id=None),
    "services-have-title": in_service(title=None),
    "prefetch-maps-keys-to-strings": _template(more={"query": "Patient"}),
    "usage-requirements-are-a-string": in_service(usageRequirements=7),
    "ids-are-unique-for-a-hook": _service_twice,
    "every-service-takes-posts": _dead_service,
    "template-tokens-are-root-level": _template(more="Patient/{{context.draft.subject}}"),
    "template-queries-stay-in-the-subset": _template(more="Observation?_include=x"),
    "templates-are-relative": _template(more="https://example.org/Patient/1"),
    "hook-answers-200-with-cards": in_answer(cards=None),
    "summary-is-shorter-than-140": in_card(summary="A raised lactate" + "." * 124),
    "detail-is-a-string": in_card(detail=["text"]),
    "indicator-is-one-of-three": in_card(indicator="hard-stop"),
    "source-has-a-label": in_card("source", label=None),
    "source-addresses-are-absolute": in_card("source", url="/lactate"),
    "source-topic-is-a-coding": in_card("source topic", system=None),
    "uuids-are-unique": _same_uuid,
    "card-uuid-is-a-string": in_card(uuid=7),
    "suggestions-are-an-array": in_card(suggestions={"first": {"label": "Order a lactate"}}),
    "links-are-an-array": in_card(links={"label": "About"}),
    "override-reasons-are-an-array": in_card(overrideReasons={"code": "known"}),
    "actions-are-an-array": in_card("suggestions 0", actions={"type": "create"}),
    "system-actions-are-an-array": in_answer(systemActions={"type": "create"}),
    "suggestions-need-selection-behavior": in_card(selectionBehavior=None),
    "one-suggestion-is-recommended-at-most": in_card("suggestions 1", isRecommended=True),
    "suggestions-have-a-label": in_card("suggestions 0", label=None),
    "is-recommended-is-a-boolean": in_card("suggestions 0", isRecommended="true"),
    "suggestion-uuid-is-a-string": in_card("suggestions 1", uuid=7),
    "action-type-is-one-of-three": in_card(f"{ACTIONS} 0", type="order"),
    "actions-have-a-description": in_card(f"{ACTIONS} 0", description=None),
    "create-and-update-carry-a-resource": in_card(f"{ACTIONS} 0", resource=None),
    "delete-names-a-relative-reference": in_card(f"{ACTIONS} 1", resourceId="old"),
    "delete-carries-no-resource": in_card(f"{ACTIONS} 1", resource={"resourceType": "Basic"}),
    "override-reasons-are-codings": in_card("overrideReasons 0", display=None),
    "links-have-a-label": in_card("links 0", label=None),
    "link-url-is-absolute": in_card("links 0", url="about.html"),
    "link-type-is-absolute-or-smart": in_card("links 0", type="relative"),
    "app-context-only-on-smart-links": in_card("links 0", appContext="lactate"),
    "app-context-is-a-string": in_card("links 1", appContext={"lactate": 4}),
    "autolaunchable-is-spelled-so": in_card("links 1", autoLaunchable=False),
    "autolaunchable-is-a-boolean": in_card("links 1", autolaunchable="false"),
    "system-actions-have-type-and-description": in_answer(systemActions=[{"type": "create"}]),
    "extension-names-are-global": in_card(extension={"confidence": 0.8}),
    "extensions-are-objects": in_answer(extension=[{"url": "https://example.org"}]),
}
ANSWERS_3: dict[str, Change] = {
    "discovery-version-is-semver": in_service(version="STU3"),
    "card-uuid-is-a-uuid": in_card(uuid="card-1"),
    "suggestion-uuid-is-a-uuid": in_card("suggestions 1", uuid="suggestion-1"),
    "template-queries-stay-in-the-subset-of-3": _template(more="Observation?date=ne{{today()}}"),
    "hook-version-is-the-published-one": in_service(hookVersion="2.5"),
    "dependent-template-comes-later": _template(
        late="Observation?subject={{%early.id}}", early="Encounter/{{context.encounterId}}"
    ),
    "no-action-selection-behavior": in_card("suggestions 0", actionSelectionBehavior="all"),
    "system-actions-have-a-type": in_answer(systemActions=[{"description": "Nothing."}]),
}
