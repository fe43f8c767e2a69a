"""What one answered hook leaves behind: card, explanation and audit line, in one transaction."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cds_hooks.audit import AuditHead
from cds_hooks.cards import Card
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
) -> AuditHead:
    """Keep what has to be kept before anything is shown. Raises StoreUnavailable."""
    facts = _facts(parts, request, service, caller, advice)
    if advice.written is None:
        return parts.store.record_answer([], [], facts)
    life = timedelta(hours=parts.settings.explanation_life_h)
    card = advice.written.card
    stored = StoredCard(
        card_uuid=card.uuid,
        service_id=service.id,
        hook_instance=request.hook_instance,
        issuer=caller.iss,
        patient_id=request.context.patient_id,
        indicator=card.indicator,
        model=_model(advice),
        drivers=tuple(token.token_id for token in advice.written.drivers),
        suggestion_uuids=tuple(one.uuid for one in card.suggestions),
        shown=parts.settings.mode == "active",
    )
    explanation = advice.to_store(request, service.id, life)
    return parts.store.record_answer([explanation], [stored], facts)


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
