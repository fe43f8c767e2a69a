"""A CDS service written from the specification alone: it shares nothing with ours.

Small and correct, so that whatever the suite finds on it is a fault of the suite. A mutant of it
breaks one rule: each place where a rule is kept asks ``keeps(rule)`` first.
"""

from __future__ import annotations

import html
import json
import re
import struct
import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jwt
import urllib3
from flask import Flask, Response, request

ID = "lactate"
TEMPLATES = {
    "patient": "Patient/{{context.patientId}}",
    "laboratory": "Observation?patient={{context.patientId}}&category=laboratory&_count=50",
    "vitals": "Observation?patient={{context.patientId}}&category=vital-signs",
}
FHIR_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
USER = re.compile(r"(Practitioner|PractitionerRole|Patient|RelatedPerson)/[A-Za-z0-9.-]{1,64}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
AUTHORIZATION = ("access_token", "token_type", "expires_in", "scope", "subject")


class Refused(Exception):
    def __init__(self, status: int, why: str = "") -> None:
        super().__init__(why)
        self.status = status


@dataclass
class Agreement:
    """What client and service agreed upon beforehand. Filled in when the suite is running."""

    issuer: str = ""
    jku: str = ""
    key: Any = None
    kid: str = ""
    algorithm: str = "ES384"
    fhir_server: str = ""
    origin: str = ""
    used: set[str] = field(default_factory=set)


class CorrectService:
    """``broken``: the rule that is not kept, "" for none. ``version``: of CDS Hooks."""

    def __init__(
        self,
        agreed: Agreement,
        broken: str = "",
        version: str = "2.0.1",
        change: Callable[[Any], Any] = lambda answer: answer,
        hook: str = "patient-view",
    ) -> None:
        """``change``: what a mutant does to what discovery and hooks answer."""
        self.hook = hook
        self.change = change
        self.agreed = agreed
        self.broken = broken
        self.version = version
        self.calls = 0
        self.known_cards: set[str] = set()
        self.http = urllib3.PoolManager(retries=False, timeout=5)

    def keeps(self, rule: str) -> bool:
        return self.broken != rule

    def app(self) -> Flask:
        app = Flask("correct")
        app.add_url_rule("/cds-services", view_func=self.discovery, methods=["GET"])
        if not self.keeps("discovery-refuses-post"):
            app.add_url_rule("/cds-services", "post", view_func=self.discovery, methods=["POST"])
        app.add_url_rule(
            "/cds-services/<name>",
            view_func=self.service,
            methods=["GET", "POST", "OPTIONS"],
            provide_automatic_options=False,
        )
        app.add_url_rule("/cds-services/<name>/feedback", view_func=self.feedback, methods=["POST"])
        app.add_url_rule("/icon.png", view_func=self.icon)
        app.register_error_handler(Refused, self.refusal)
        return app

    # -- discovery ---------------------------------------------------------------------------

    def discovery(self) -> Response:
        service: dict[str, Any] = {
            "hook": self.hook,
            "title": "Lactate",
            "description": "Tells of a raised lactate.",
            "id": ID,
            "prefetch": dict(TEMPLATES),
            "usageRequirements": "None.",
            "extension": {"org.example.lactate": {"from": 2}},
        }
        if self.version == "3.0":
            service |= {"version": "3.0.0", "hookVersion": "1.0"}
        return self.answer(self.change({"services": [service]}))

    # -- a hook ------------------------------------------------------------------------------

    def service(self, name: str) -> Response:
        if request.method == "OPTIONS":
            return self.preflight()
        if request.method == "GET":
            if self.keeps("get-of-a-service"):
                raise Refused(405)
            return self.answer({"cards": []})
        self.authenticate()
        if name != ID:
            if not self.keeps("unknown-service"):
                return self.answer({"cards": []})
            raise Refused(404, "no such service")
        body = self.body("json")
        self.check_request(body)
        data = self.gather(body)
        return self.hook_answer(data)

    def preflight(self) -> Response:
        if not self.keeps("preflight-is-answered"):
            return Response(status=401)
        answer = self.allowed(Response(status=204))
        if self.keeps("preflight-allows-authorization"):
            answer.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        return answer

    def body(self, rule: str) -> Any:
        media_type = request.headers.get("Content-Type", "").partition(";")[0]
        if media_type != "application/json" and self.keeps("other-media-type"):
            raise Refused(415, "JSON is expected")
        try:
            return json.loads(request.get_data())
        except ValueError as exc:
            if self.broken == "malformed-json":
                raise Refused(500, "cannot be read") from exc
            raise Refused(400, "not JSON") from exc

    def check_request(self, body: Any) -> None:
        if not isinstance(body, dict):
            self.refuse("body-array")
            raise Refused(412, "no data")
        if "hook" not in body:
            self.refuse("missing-hook")
        elif body["hook"] != self.hook:
            self.refuse("other-hook")
        if "hookInstance" not in body:
            self.refuse("missing-hook-instance")
        elif not UUID.fullmatch(str(body["hookInstance"])):
            self.refuse("hook-instance")
        if not self.keeps("unknown-member") and "conformanceExtra" in body:
            raise Refused(400, "unknown member")
        if not self.keeps("extension-is-tolerated") and "extension" in body:
            raise Refused(422, "unknown member")
        self.check_context(body)
        self.check_authorization(body)

    def check_context(self, body: dict[str, Any]) -> None:
        if "context" not in body:
            self.refuse("missing-context")
            return
        context = body["context"]
        if not isinstance(context, dict):
            self.refuse("context-array")
            return
        if "userId" not in context:
            self.refuse("missing-user")
        elif "/" not in context["userId"]:
            self.refuse("user-without-type")
        elif not USER.fullmatch(context["userId"]):
            self.refuse("user-of-other-type")
        elif not self.keeps("patient-as-user") and "Practitioner/" not in context["userId"]:
            raise Refused(400, "who is this")
        if "encounterId" not in context:
            if self.hook != "patient-view":
                self.refuse("missing-encounter")
            elif not self.keeps("encounter-is-optional"):
                raise Refused(400, "no encounter")
        if "patientId" not in context:
            self.refuse("missing-patient")
        elif not FHIR_ID.fullmatch(context["patientId"]):
            self.refuse("patient-that-is-no-id")
        if not self.keeps("unknown-context-member") and "conformanceExtra" in context:
            raise Refused(400, "unknown member")

    def check_authorization(self, body: dict[str, Any]) -> None:
        given = body.get("fhirAuthorization")
        if given is None:
            if "fhirServer" not in body and "prefetch" in body:
                self.break_optional("request-without-fhir-server")
            elif "fhirServer" in body:
                self.break_optional("server-without-authorization")
            return
        if "fhirServer" not in body:
            self.refuse("authorization-needs-a-server")
        for name in AUTHORIZATION:
            if name not in given:
                self.refuse(f"without-{name}")
        if given.get("token_type", "Bearer") != "Bearer":
            self.refuse("token-type-is-bearer")
        if isinstance(given.get("expires_in"), str):
            self.refuse("expires-in-is-a-number")
        known = FHIR_ID.fullmatch(_patient(body)) and "patientId" in _context(body)
        if "patient" not in given:
            self.break_optional("authorization-without-patient")
        elif known and given["patient"] != _patient(body):
            self.refuse("authorization-for-another-patient")
        if not self.keeps("smart-scopes") and (
            "*.*" in given.get("scope", "") or "?" in given.get("scope", "")
        ):
            raise Refused(400, "scope")

    def break_optional(self, rule: str) -> None:
        """The way in which a mutant is too strict: what may be absent has to be there."""
        if not self.keeps(rule):
            raise Refused(400, rule)

    def refuse(self, rule: str) -> None:
        if self.keeps(rule):
            raise Refused(400, rule)

    # -- data --------------------------------------------------------------------------------

    def gather(self, body: dict[str, Any]) -> dict[str, Any]:
        prefetch = body.get("prefetch") or {}
        self.check_owner(body, prefetch)
        data: dict[str, Any] = {}
        for key, template in TEMPLATES.items():
            given = prefetch.get(key)
            if key in prefetch and not self.refetched(given) and not self.refetches_all(prefetch):
                data[key] = given
                self.next_page(body, given)
            else:
                query = template.replace("{{context.patientId}}", _patient(body))
                fetched = self.fetch(body, query)
                data[key] = given if fetched is None and key in prefetch else fetched
        if data["patient"] is None or data["patient"].get("resourceType") != "Patient":
            if not self.keeps("missing-data-is-not-silence"):
                return {"silent": True}
            if not self.keeps("no-data") and not body.get("fhirServer"):
                raise Refused(424, "patient is missing")
            if not self.keeps("failing-fhir-server") and body.get("fhirServer"):
                raise Refused(502, "patient is missing")
            raise Refused(412, "patient is missing")
        if not self.keeps("null-prefetch-is-no-fault") and None in prefetch.values():
            raise Refused(400, "null")
        data["fetched"] = not prefetch
        return data

    def refetched(self, given: Any) -> bool:
        """Whether a mutant asks again for what was answered already."""
        kind = (given or {}).get("resourceType")
        empty = kind == "Bundle" and not given.get("entry")
        return (
            (given is None and not self.keeps("null-prefetch"))
            or (kind == "OperationOutcome" and not self.keeps("failed-prefetch"))
            or (empty and not self.keeps("empty-bundle"))
        )

    def refetches_all(self, prefetch: dict[str, Any]) -> bool:
        return len(prefetch) < len(TEMPLATES) and not self.keeps("only-what-is-missing")

    def check_owner(self, body: dict[str, Any], prefetch: dict[str, Any]) -> None:
        for one in (one for bundle in prefetch.values() for one in _entries(bundle)):
            subject = one.get("subject", {}).get("reference")
            if subject and "patientId" in _context(body):
                known = FHIR_ID.fullmatch(_patient(body))
                if known and subject != f"Patient/{_patient(body)}":
                    self.refuse("prefetch-of-another-patient")

    def next_page(self, body: dict[str, Any], bundle: Any) -> None:
        for link in (bundle or {}).get("link", ()):
            if link["relation"] == "next" and self.keeps("next-page"):
                self.get(body, link["url"])

    def fetch(self, body: dict[str, Any], query: str) -> Any:
        server = body.get("fhirServer")
        if server is None or not self.keeps("missing-prefetch"):
            return None
        if server != self.agreed.fhir_server and self.keeps("unknown-fhir-server"):
            raise Refused(403, "this FHIR server was not agreed upon")
        if body.get("fhirAuthorization", {}).get("expires_in") == 0 and self.keeps("expired-token"):
            return None
        found = self.get(body, f"{server}/{self.written(query)}")
        for link in (found or {}).get("link", ()):
            if link["relation"] == "next":
                self.get(body, link["url"])
        return found

    @staticmethod
    def written(query: str) -> str:
        """Add words as client libraries do, so that no query is as its template has it."""
        return f"{query}{'&' if '?' in query else '?'}_format=json&_pretty=false"

    def get(self, body: dict[str, Any], url: str) -> Any:
        origin = urlsplit(url)[:2] == urlsplit(body["fhirServer"])[:2]
        if not origin and self.keeps("next-links"):
            return None
        headers = {"Accept": "application/fhir+json"}
        if self.keeps("fhir-calls-carry") and "fhirAuthorization" in body:
            headers["Authorization"] = f"Bearer {body['fhirAuthorization']['access_token']}"
        if not self.keeps("fhir-calls-only-read"):
            self.http.request("POST", f"{body['fhirServer']}/Basic", headers=headers, body=b"{}")
        raw = self.http.request("GET", url, headers=headers, redirect=False)
        if raw.status == 302 and not self.keeps("redirects"):
            self.http.request("GET", raw.headers["Location"], headers=headers, redirect=False)
        return raw.json() if raw.status == 200 else None

    # -- the answer --------------------------------------------------------------------------

    def hook_answer(self, data: dict[str, Any]) -> Response:
        self.calls += 1
        if not self.keeps("answer-comes-in-time"):
            time.sleep(0.06)
        if data.get("silent"):
            return self.answer({"cards": []})
        answer = {"cards": [self.card(data), self.card(data, "any")]}
        if self.version == "2.0.1":
            answer["systemActions"] = [self.create()]
        answer = self.change(answer)
        if not self.keeps("same-request"):
            answer["cards"][0]["summary"] = f"Call {self.calls}"
        if not self.keeps("prefetched-and-fetched") and data["fetched"]:
            answer["cards"][0]["summary"] = "Fetched"
        return self.answer(answer)

    def create(self) -> dict[str, Any]:
        return {
            "type": "create",
            "description": "Order a lactate.",
            "resource": {"resourceType": "ServiceRequest", "status": "draft", "intent": "order"},
        }

    def card(self, data: dict[str, Any], selection: str = "at-most-one") -> dict[str, Any]:
        family = str((data.get("patient") or {}).get("name", [{}])[0].get("family", ""))
        shown = family if self.broken == "detail-has-no-raw-html" else html.escape(family)
        values = [
            one["valueQuantity"]["value"]
            for one in _entries(data.get("laboratory"))
            if "2524-7" in json.dumps(one.get("code", {}))
        ]
        return {
            "uuid": str(uuid.uuid4()),
            "summary": "A raised lactate" if values and values[0] > 2 else "A lactate is missing",
            "indicator": "warning",
            "detail": f"**{shown}**: lactate `<4 mmol/L` {values}",
            "source": {
                "label": "Lactate",
                "url": "https://example.org/lactate",
                "icon": f"{request.host_url}icon.png",
                "topic": {"code": "lactate", "system": "https://example.org/topics"},
            },
            "selectionBehavior": selection,
            "suggestions": [self.suggestion(True), self.suggestion(selection == "any")],
            "overrideReasons": [
                {"code": "known", "system": "https://example.org/reasons", "display": "Known"}
            ],
            "links": [
                {"label": "About", "url": "https://example.org/about", "type": "absolute"},
                {
                    "label": "App",
                    "url": "https://example.org/launch",
                    "type": "smart",
                    "appContext": "lactate",
                    "autolaunchable": False,
                },
            ],
        }

    def suggestion(self, recommended: bool) -> dict[str, Any]:
        delete = {
            "type": "delete",
            "description": "Cancel the old order.",
            "resourceId": "ServiceRequest/old",
        }
        return {
            "uuid": str(uuid.uuid4()),
            "label": "Order a lactate",
            "isRecommended": recommended,
            "actions": [self.create(), delete],
        }

    def icon(self) -> Response:
        side = 100 if self.keeps("icon-is-a-100-by-100-png") else 99
        rows = (b"\0" + b"\xff\xff\xff" * side) * side
        parts = (
            (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(rows)),
            (b"IEND", b""),
        )
        chunks = b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in parts
        )
        return Response(b"\x89PNG\r\n\x1a\n" + chunks, content_type="image/png")

    # -- feedback ----------------------------------------------------------------------------

    def feedback(self, name: str) -> Response:
        self.authenticate("feedback-needs-a-jwt")
        body = self.body("feedback")
        if not isinstance(body, dict):
            self.refuse("feedback-bare-array")
            return Response(status=200)
        items = body["feedback"]
        if not items and not self.keeps("feedback-empty-array"):
            raise Refused(400, "no items")
        if len(items) > 1 and not self.keeps("feedback-batch"):
            raise Refused(400, "one at a time")
        for item in items:
            self.check_item(item)
        return Response(status=200)

    def check_item(self, item: dict[str, Any]) -> None:
        for member in ("card", "outcome", "outcomeTimestamp"):
            if member not in item:
                self.refuse(f"feedback-without-{member}")
        outcome = item.get("outcome", "overridden")
        if outcome not in ("accepted", "overridden"):
            self.refuse("feedback-ignored")
        if not RFC_3339.fullmatch(item.get("outcomeTimestamp", "2026-01-01T00:00:00Z")):
            self.refuse("feedback-date-only")
        if outcome == "accepted" and not item.get("acceptedSuggestions"):
            self.refuse("feedback-accepted-needs")
        reason = item.get("overrideReason")
        if reason == {}:
            self.refuse("feedback-empty-reason")
        self.break_item(item, reason)

    def break_item(self, item: dict[str, Any], reason: Any) -> None:
        """The ways in which a mutant is too strict."""
        plain = item.get("outcome") == "overridden" and reason is None
        usual = item.get("outcomeTimestamp", "")[:10] != "2026-01-02"
        seen = json.dumps(item, sort_keys=True) in self.agreed.used
        self.agreed.used.add(json.dumps(item, sort_keys=True))
        known = str(item.get("card")) in self.known_cards
        too_strict = {
            "feedback-overridden": plain,
            "feedback-accepted-is-taken": bool(item.get("acceptedSuggestions")),
            "feedback-reason-without-display": "display"
            not in (reason or {}).get("reason", "display"),
            "feedback-comment-alone": list(reason or ()) == ["userComment"],
            "feedback-repeat": seen and not usual,
            "feedback-of-an-unknown-card": plain and "card" in item and not known,
        }
        if too_strict.get(self.broken):
            raise Refused(400, "too strict")

    # -- who calls ---------------------------------------------------------------------------

    @property
    def unknown_caller(self) -> int:
        return 401 if self.keeps("refusal-status") else 403

    def authenticate(self, rule: str = "missing-jwt") -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            if self.keeps(rule):
                raise Refused(self.unknown_caller)
            return
        if scheme != "Bearer":
            if self.keeps("other-scheme"):
                raise Refused(self.unknown_caller)
            return
        try:
            self.verify(token)
        except (jwt.PyJWTError, KeyError) as exc:
            raise Refused(
                self.unknown_caller, "why" if self.broken == "refusal-of-a-jwt" else ""
            ) from exc

    def verify(self, token: str) -> None:
        if self.broken == "malformed-jwt" and token == "not.a.jwt":
            return
        header = jwt.get_unverified_header(token)
        if not self.keeps("foreign-jku") and header.get("jku") != self.agreed.jku:
            return
        self.check_header(header)
        if header["alg"] == "none" and not self.keeps("algorithm-none"):
            return
        if header["alg"] == "HS256" and not self.keeps("symmetric-algorithm"):
            return
        if header["alg"] != self.agreed.algorithm:
            raise jwt.InvalidAlgorithmError
        signed = jwt.decode(
            token,
            self.agreed.key,
            algorithms=[self.agreed.algorithm],
            options={"verify_signature": self.keeps("foreign-signature")}
            | dict.fromkeys(("verify_aud", "verify_exp", "verify_iat", "verify_nbf"), False),
        )
        self.check_claims(signed)

    def check_header(self, header: dict[str, Any]) -> None:
        if header.get("jku", self.agreed.jku) != self.agreed.jku:
            if not self.keeps("foreign-jku-is-not-fetched"):
                self.http.request("GET", header["jku"])
            raise jwt.InvalidTokenError
        if "kid" not in header:
            if self.keeps("missing-kid"):
                raise jwt.InvalidTokenError
        elif header["kid"] != self.agreed.kid and self.keeps("unknown-kid"):
            raise jwt.InvalidTokenError
        if "typ" not in header and self.keeps("missing-typ"):
            raise jwt.InvalidTokenError

    def check_claims(self, claims: dict[str, Any]) -> None:
        now = time.time()
        for name in ("iss", "aud", "exp", "iat", "jti"):
            if name not in claims and self.keeps(f"missing-{name}"):
                raise jwt.MissingRequiredClaimError(name)
        audience = claims.get("aud", request.base_url)
        accepted = [audience] if isinstance(audience, str) else audience
        if isinstance(audience, list) and not self.keeps("audience-array"):
            raise jwt.InvalidAudienceError
        faults = {
            "foreign-issuer": claims.get("iss", self.agreed.issuer) != self.agreed.issuer,
            "other-audience": request.base_url not in accepted,
            "expired-jwt": claims.get("exp", now + 60) < now - 60,
            "jwt-from-the-future": claims.get("iat", now) > now + 60,
            "not-before": claims.get("nbf", now) > now + 60,
            "year-long": claims.get("exp", now) > now + 3600,
            "second-use": claims.get("jti") in self.agreed.used,
        }
        if any(found and self.keeps(rule) for rule, found in faults.items()):
            raise jwt.InvalidTokenError
        if "sub" in claims and not self.keeps("more-claims"):
            raise jwt.InvalidTokenError
        self.agreed.used.add(claims.get("jti", ""))

    # -- the wire ----------------------------------------------------------------------------

    def answer(self, value: Any, status: int = 200, kind: str = "application/json") -> Response:
        content = json.dumps(value)
        if not self.keeps("strict-json") and "cards" in value:
            content = content[:-1] + ",}"
        if not self.keeps("media-type") and "cards" in value:
            kind = "text/plain"
        if "cards" in value:
            self.known_cards.update(str(card.get("uuid")) for card in _cards(value))
        return self.allowed(Response(content, status, content_type=kind))

    def allowed(self, answer: Response) -> Response:
        origin = request.headers.get("Origin")
        broken = not self.keeps("answer-allows-the-origin") and request.method != "OPTIONS"
        if origin == self.agreed.origin and not broken:
            answer.headers["Access-Control-Allow-Origin"] = self.agreed.origin
        elif origin and not self.keeps("foreign-origin"):
            answer.headers["Access-Control-Allow-Origin"] = "*"
        if self.keeps("answers-vary"):
            answer.headers["Vary"] = "Origin"
        return answer

    def refusal(self, refused: Refused) -> Response:
        if refused.status == self.unknown_caller:
            return Response(str(refused), refused.status)
        details = str(refused)
        if not self.keeps("no-answer-repeats"):
            details = str(request.get_json(silent=True, force=True))
        if not self.keeps("no-answer-shows"):
            details = 'Traceback (most recent call last): File "x.py"'
        outcome: dict[str, Any] = {
            "resourceType": "OperationOutcome",
            "issue": [{"severity": "error", "code": "processing", "diagnostics": details}],
        }
        if not self.keeps("no-error-carries"):
            outcome["cards"] = []
        if not self.keeps("refusal-is-an-operation-outcome") and refused.status == 400:
            outcome["resourceType"] = "Basic"
        if not self.keeps("missing-data-is-an-operation-outcome") and refused.status == 412:
            outcome["resourceType"] = "Basic"
        return self.answer(outcome, refused.status, "application/fhir+json")


class CarefulService(CorrectService):
    """Asks any caller's FHIR server first what it is, without the token, and searches by POST."""

    def get(self, body: dict[str, Any], url: str) -> Any:
        server = body["fhirServer"]
        said = self.http.request("GET", f"{server}/metadata", redirect=False).json()
        if said["resourceType"] != "CapabilityStatement":
            raise Refused(412, "no FHIR server")
        path, _, words = url.removeprefix(f"{server}/").partition("?")
        if path != "Observation":
            return super().get(body, url)
        headers = {
            "Authorization": f"Bearer {body.get('fhirAuthorization', {}).get('access_token')}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        raw = self.http.request(
            "POST", f"{server}/{path}/_search", headers=headers, body=words, redirect=False
        )
        return raw.json() if raw.status == 200 else None


def _context(body: dict[str, Any]) -> dict[str, Any]:
    context = body.get("context")
    return context if isinstance(context, dict) else {}


def _patient(body: dict[str, Any]) -> str:
    return str(_context(body).get("patientId", "nobody"))


def _cards(value: Any) -> list[dict[str, Any]]:
    cards = value.get("cards")
    return cards if isinstance(cards, list) else []


def _entries(bundle: Any) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in (bundle or {}).get("entry", ())]
