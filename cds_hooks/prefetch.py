"""The chart of one request: what the client sent along, and from its FHIR server what it did not.

By key: absent is fetched; null means that there are no data; an OperationOutcome means that the
client failed, so that asking again is pointless; a Bundle may be empty or go on at a next page.
What could not be had becomes a line on the card; without what is required there is no answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from cds_hooks.errors import BadRequest, DataMissing
from cds_hooks.live_extras import devices_of, extra_documents
from cds_hooks.note_texts import NoteTexts
from cds_hooks.request import HookRequest
from cds_hooks.services import PrefetchTemplate
from cds_hooks.telemetry import Stage, unmeasured
from fhir_adapters.bundle import BundleContents, open_bundle
from fhir_adapters.chart import Chart, Portion, Resource
from fhir_adapters.client import FhirClient, Pending
from fhir_adapters.errors import FhirBadAnswer, FhirError
from fhir_adapters.outcome import reason_of
from fhir_adapters.page_order import NewestFirst
from fhir_adapters.paging import SearchResult, link_of, next_link
from model.record import ReportLine


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known for one key. ``obtained`` False: nothing could be had; the lines say why."""

    resources: tuple[Resource, ...] = ()
    lines: tuple[ReportLine, ...] = ()  # their source is the key
    aliases: Mapping[str, str] = field(default_factory=dict)
    obtained: bool = True
    unfinished: Resource | None = None  # a Bundle whose following pages are still to be read


def gather(
    request: HookRequest,
    templates: Sequence[PrefetchTemplate],
    fhir: FhirClient | None,
    stage: Stage = unmeasured,
) -> Chart:
    """Return all that can be had for the templates within the client's deadline.

    ``fhir`` None: only what the request holds. Raises DataMissing, and BadRequest for a value that
    is no FHIR at all. ``stage`` is entered around "prefetch", "fhir" and "attachments".
    """
    with stage("prefetch"):
        given = {
            template.key: _given(template, request, may_call=fhir is not None)
            for template in templates
            if template.key in request.prefetch
        }
    absent = [template for template in templates if template.key not in given]
    texts = NoteTexts(fhir, stage)
    with stage("fhir"):
        fetching = _start_fetching(absent, request, fhir)  # first: pages may have no end
        following = _start_following(templates, given, request, fhir)
        answers = {**given, **_fetched(absent, fetching)}
    if following is not None:
        texts.read(_resources(answers.values()))
        with stage("fhir"):
            answers.update(_followed(templates, given, following))
    _require(templates, answers)
    texts.read(_resources(answers.values()))
    with stage("fhir"):
        extras = _extras(request, absent, answers, fhir)
    texts.read(extras.resources)
    parts = [*(answers[template.key] for template in templates), extras, Answer(*texts.found())]
    return Chart(
        patient_id=request.context.patient_id,
        resources=tuple(resource for part in parts for resource in part.resources),
        incomplete=tuple(line for part in parts for line in part.lines),
        encounter_id=request.context.encounter_id,
        aliases={name: target for part in parts for name, target in part.aliases.items()},
        portions=tuple(_portions(templates, answers)),
    )


def _portions(
    templates: Iterable[PrefetchTemplate], answers: Mapping[str, Answer]
) -> Iterator[Portion]:
    """Yield what came for the keys that a prediction rests on."""
    for one in templates:
        if one.clinical and one.key in answers:
            found = answers[one.key].resources
            own = tuple(each for each in found if each.get("resourceType") == one.resource_type)
            yield Portion(one.key, one.display, own)


def _resources(answers: Iterable[Answer]) -> list[Resource]:
    return [resource for answer in answers for resource in answer.resources]


def _given(template: PrefetchTemplate, request: HookRequest, *, may_call: bool) -> Answer:
    """Read the value that the client sent for a key."""
    key = template.key
    value = request.prefetch[key]
    if value is None:
        return Answer()
    try:
        contents = open_bundle(value, key)
    except FhirBadAnswer as exc:
        raise BadRequest(f"$.prefetch.{key}", "expected a FHIR resource or null") from exc
    kind = value["resourceType"]
    if kind == "OperationOutcome":
        return _unavailable(template, "outcome", "the client could not obtain it")
    if kind not in ("Bundle", template.resource_type):
        return _unavailable(template, "wrong-type", f"the client sent {_article(kind)} instead")
    answer = _of_bundle(template, contents)
    since = template.looks_back_to(request.arrived_at)
    if kind != "Bundle" or not _goes_on(value, since):
        return answer
    return _unfinished(template, value, answer, may_call=may_call)


def _of_bundle(template: PrefetchTemplate, contents: BundleContents) -> Answer:
    lines = tuple(_line(template, line.reason, line.sentence) for line in contents.incomplete)
    return Answer(tuple(contents.resources), lines, contents.aliases)


def _goes_on(bundle: Resource, since: datetime | None) -> bool:
    """Whether pages follow that may hold what is looked back on."""
    return link_of(bundle, "next") is not None and not NewestFirst(since).is_over(bundle)


def _unfinished(
    template: PrefetchTemplate, bundle: Resource, first: Answer, *, may_call: bool
) -> Answer:
    """Return the first page's answer, with a line where the following ones cannot be read."""
    try:
        next_link(bundle, template.key)
    except FhirBadAnswer:
        return _partial(template, first, "paging", "its next link cannot be read")
    if not may_call:
        return _partial(
            template, first, "paging", "more pages follow, and we may not call a FHIR server"
        )
    return replace(first, unfinished=bundle)


def _start_following(
    templates: Sequence[PrefetchTemplate],
    given: Mapping[str, Answer],
    request: HookRequest,
    fhir: FhirClient | None,
) -> Pending | None:
    """Begin to read the following pages of prefetched Bundles; None where there are none."""
    bundles = {key: one.unfinished for key, one in given.items() if one.unfinished is not None}
    if fhir is None or not bundles:
        return None
    since = {one.key: one.looks_back_to(request.arrived_at) for one in templates}
    return fhir.start_following(bundles, since)


def _followed(
    templates: Sequence[PrefetchTemplate], given: Mapping[str, Answer], following: Pending
) -> dict[str, Answer]:
    """Return the answers with their following pages."""
    results = following.results()
    return {
        one.key: _whole(one, given[one.key], results[one.key])
        for one in templates
        if one.key in results
    }


def _whole(template: PrefetchTemplate, first: Answer, result: SearchResult | FhirError) -> Answer:
    if isinstance(result, FhirError):
        why = "its following pages could not be read"
        return _partial(template, first, reason_of(result), why)
    lines = _lines(template, result.incomplete)
    return Answer(result.resources, lines, {**first.aliases, **result.aliases})


def _start_fetching(
    templates: Sequence[PrefetchTemplate], request: HookRequest, fhir: FhirClient | None
) -> Pending | None:
    """Begin to fetch what the client did not send."""
    if fhir is None:
        return None
    tokens = request.context.tokens()
    queries = {one.key: one.to_fetch(tokens, request.arrived_at) for one in templates}
    return fhir.start_searches({key: query for key, query in queries.items() if query})


def _fetched(templates: Sequence[PrefetchTemplate], fetching: Pending | None) -> dict[str, Answer]:
    """Return what the client did not send, as far as it could be fetched."""
    if fetching is None:
        why = "the client did not send it, and we may not call a FHIR server for it"
        return {one.key: _unavailable(one, "not-prefetched", why) for one in templates}
    results = fetching.results()
    return {one.key: _found(one, results[one.key]) for one in templates if one.key in results}


def _found(template: PrefetchTemplate, result: SearchResult | FhirError) -> Answer:
    if isinstance(result, FhirError):
        return _unavailable(template, reason_of(result), _told(result))
    return Answer(result.resources, _lines(template, result.incomplete), result.aliases)


def _extras(
    request: HookRequest,
    absent: Sequence[PrefetchTemplate],
    answers: Mapping[str, Answer],
    fhir: FhirClient | None,
) -> Answer:
    """Look up what belongs to the keys that we fetched ourselves, and has no key of its own."""
    fetched = {one.key: answers[one.key] for one in absent if one.key in answers}
    if fhir is None or not fetched:
        return Answer()
    notes = fetched.get("notes", Answer())
    asked = {key for key, answer in fetched.items() if answer.obtained}
    documents, lines = extra_documents(request, asked, notes.resources, fhir)
    seen = [resource for answer in fetched.values() for resource in answer.resources]
    devices, device_lines = devices_of(seen, fhir)
    return Answer((*documents, *devices), (*lines, *device_lines))


def _require(templates: Sequence[PrefetchTemplate], answers: Mapping[str, Answer]) -> None:
    """Raise DataMissing without the patient, or if none of the clinical keys could be had."""
    for one in templates:
        answer = answers.get(one.key)
        if one.required and not _holds(answer, one.resource_type):
            _refuse([one], answers)
    clinical = [one for one in templates if one.clinical]
    if not any(answers[one.key].obtained for one in clinical if one.key in answers):
        _refuse(clinical, answers)


def _holds(answer: Answer | None, resource_type: str) -> bool:
    found = answer.resources if answer else ()
    return any(resource.get("resourceType") == resource_type for resource in found)


def _refuse(missing: Sequence[PrefetchTemplate], answers: Mapping[str, Answer]) -> None:
    reasons = [
        line.sentence for one in missing for line in answers.get(one.key, Answer()).lines
    ] or ["there are no data for it"]
    keys = tuple(one.key for one in missing)
    raise DataMissing(
        "Data that this service cannot do without are missing:"
        f" {', '.join(one.display for one in missing)}.",
        keys=keys,
        diagnostics=f"prefetch {', '.join(keys)}: {'; '.join(dict.fromkeys(reasons))}",
    )


def _unavailable(template: PrefetchTemplate, reason: str, why: str) -> Answer:
    return Answer(lines=(_line(template, reason, f"not available, {why}"),), obtained=False)


def _partial(template: PrefetchTemplate, first: Answer, reason: str, why: str) -> Answer:
    line = _line(template, reason, f"incomplete, {why}")
    return Answer(first.resources, (*first.lines, line), first.aliases)


def _lines(template: PrefetchTemplate, lines: Iterable[ReportLine]) -> tuple[ReportLine, ...]:
    return tuple(_line(template, line.reason, line.sentence) for line in lines)


def _line(template: PrefetchTemplate, reason: str, sentence: str) -> ReportLine:
    said = sentence.removeprefix(f"{template.key}: ")
    return ReportLine(template.key, reason, f"{template.display}: {said}")


_TOLD = {
    "timeout": "the FHIR server did not answer in time",
    "unavailable": "the FHIR server could not be reached or failed",
    "truncated": "the FHIR server's answer broke off",
    "unauthorized": "the FHIR server did not accept the access token",
    "forbidden": "the FHIR server did not allow it",
    "not-found": "the FHIR server does not have it",
    "rejected": "the FHIR server refused the search",
    "too-large": "the FHIR server's answer was too large",
    "foreign-origin": "the FHIR server pointed to another server, which we do not follow",
    "bad-answer": "the FHIR server's answer was not usable FHIR",
}


def _told(error: FhirError) -> str:
    return _TOLD.get(reason_of(error), "the FHIR server did not give it")


def _article(kind: str) -> str:
    safe = kind if kind.isascii() and kind.isalpha() and len(kind) < 40 else "another resource"
    return f"{'an' if safe[0] in 'AEIO' else 'a'} {safe}" if safe == kind else safe
