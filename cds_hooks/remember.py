"""What one answered hook leaves behind: card, explanation and audit line, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cds_hooks.audit import AuditHead
from cds_hooks.cards import Card
from cds_hooks.kept_prediction import Answer, KeptPrediction, finding_of
from cds_hooks.parts import Parts
from cds_hooks.pipeline import Advice
from cds_hooks.request import HookRequest
from cds_hooks.services import ServiceDefinition
from cds_hooks.store import StoredCard
from cds_hooks.trust import Caller


def remember(
    parts: Parts,
    request: HookRequest,
    service: ServiceDefinition,
    caller: Caller,
    advice: Advice,
    kept: KeptPrediction,
) -> AuditHead:
    """Keep what has to be kept before anything is shown. Raises StoreUnavailable."""
    facts = _facts(parts, request, service, caller, advice)
    if advice.written is None:
        return parts.store.record_answer([], [], facts, [kept])
    life = timedelta(hours=parts.settings.explanation_life_h)
    card = advice.written.card
    stored = StoredCard(
        card_uuid=card.uuid,
        service_id=service.id,
        hook_instance=request.hook_instance,
        issuer=caller.iss,
        tenant=caller.tenant,
        patient_id=request.context.patient_id,
        indicator=card.indicator,
        model=_model(advice),
        drivers=tuple(token.token_id for token in advice.written.drivers),
        suggestion_uuids=tuple(one.uuid for one in card.suggestions),
        shown=parts.settings.mode == "active",
        step_ids=advice.written.step_ids,
    )
    explanation = advice.to_store(request, service.id, life)
    return parts.store.record_answer([explanation], [stored], facts, [kept])


def kept_prediction(
    parts: Parts,
    request: HookRequest,
    service: ServiceDefinition,
    caller: Caller,
    whole: Advice,
    shown: Advice,
    bins: Mapping[str, int],
    arrived_s: float,
) -> KeptPrediction:
    """What a service report needs. ``whole``: before the cool-down; ``shown``: after it."""
    bin_count = parts.figures.bin_count
    answer: Answer = "card"
    if shown.written is None:
        answer = "nothing" if whole.written is None else "held-back"
    elif shown is not whole:
        answer = "short"
    return KeptPrediction(
        service_id=service.id,
        hook_instance=request.hook_instance,
        issuer=caller.iss,
        tenant=caller.tenant,
        patient_id=request.context.patient_id,
        model=_model(whole),
        duration_ms=1000 * (time.monotonic() - arrived_s),
        finding=finding_of(
            answer, whole.record, whole.prediction, whole.explanation, bins, bin_count
        ),
        card_uuid=shown.written.card.uuid if shown.written else None,
        shown=parts.settings.mode == "active",
    )


def _facts(
    parts: Parts,
    request: HookRequest,
    service: ServiceDefinition,
    caller: Caller,
    advice: Advice,
) -> dict[str, Any]:
    """The audit line: who asked about whom, from what data, and what was answered."""
    card: Card | None = advice.written.card if advice.written else None
    report = advice.record.report
    return {
        "service": service.id,
        "hook": service.hook,
        "hookInstance": request.hook_instance,
        "issuer": caller.iss,
        "tenant": caller.tenant,
        "user": _named(parts, request.context.user_id),
        "patient": _named(parts, request.context.patient_id),
        "resourcesRead": dict(report.resources_read),
        "limits": sorted(
            {
                f"{one.source} {one.reason}"
                for one in report.incomplete
                if one.source in service.keys
            }
        ),
        "model": _model(advice),
        "mode": parts.settings.mode,
        "card": card.uuid if card else None,
        "indicator": card.indicator if card else None,
    }


def _named(parts: Parts, identity: str) -> str:
    if parts.settings.audit_patient_ids == "plain":
        return identity
    return parts.store.patient_fingerprint(identity)


def _model(advice: Advice) -> str:
    return f"{advice.prediction.model_name} {advice.prediction.model_version}"
