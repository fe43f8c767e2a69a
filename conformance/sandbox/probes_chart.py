"""Probes of the rest of a chart: notes, devices, encounters, orders, and drafts that we write."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.exchange import Answer, NotJson
from conformance.json_path import dicts
from conformance.sandbox.checks import Found, NotTried, Omitted
from conformance.sandbox.server import FHIR_JSON, Page, media_type, quoted, told
from conformance.sandbox.session import Session, reference_of

_ATTACHMENTS = 5
_OPEN_ORDERS = {
    "ServiceRequest": "draft,active,on-hold",
    "Task": "draft,requested,received,accepted,ready,in-progress,on-hold",
}
_TEXT = {"text/plain", "text/html", "text/rtf", "application/rtf", "application/xhtml+xml"}


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment and what reading it gave. ``answer`` None: the data came with the document."""

    declared: str
    answer: Answer | None
    content: bytes
    fault: str = ""


def documents(session: Session, found: Found) -> None:
    """Documents of any category."""
    _searched(session, found, f"DocumentReference?patient={_patient(session)}&_count=50")


def clinical_notes(session: Session, found: Found) -> None:
    """Documents are often there, and not filed as clinical notes."""
    page = session.page(
        f"DocumentReference?patient={_patient(session)}&category=clinical-note&_count=50"
    )
    session.facts["clinical_notes"] = len(page.resources)
    if page.fault:
        found.faults.append(page.fault)
        return
    there = _documents(session).resources
    found.notes.append(f"{len(page.resources)} of {len(there)} documents.")
    if there and not page.resources:
        found.faults.append("There are documents, and none is filed as a clinical note.")


def documents_by_date(session: Session, found: Found) -> None:
    """From the beginning of this century: nothing is left out by it."""
    page = session.page(
        f"DocumentReference?patient={_patient(session)}&date=ge2000-01-01&_sort=-date&_count=50"
    )
    if page.fault:
        found.faults.append(page.fault)
        return
    dates = [str(one["date"]) for one in page.resources if "date" in one]
    if len({text[-6:] for text in dates}) == 1 and dates != sorted(dates, reverse=True):
        found.faults.append("The newest does not come first.")


def attachments(session: Session, found: Found) -> None:
    """One that cannot be read costs that note only, and each is named by its number."""
    read = list(_read_attachments(session))
    for number, one in enumerate(read, 1):
        if one.fault:
            found.faults.append(f"Attachment {number}: {one.fault}")
    inline = sum(one.answer is None and not one.fault for one in read)
    found.notes.append(f"{len(read)} tried, {inline} of them inside the document.")


def attachment_types(session: Session, found: Found) -> None:
    """Look at the first bytes, as a reader has to."""
    read = [one for one in _read_attachments(session) if not one.fault]
    if not read:
        raise NotTried("No attachment could be read.")
    for number, one in enumerate(read, 1):
        actual = _sniffed(one.content)
        declared = one.declared.partition(";")[0].strip().lower()
        if not _is_kind(declared, actual):
            found.faults.append(f"Attachment {number}: '{declared}' is declared, it is {actual}.")
    kinds = sorted({one.declared.partition(";")[0] for one in read})
    found.notes.append(f"{', '.join(kinds)}.")


def binary_as_fhir(session: Session, found: Found) -> None:
    """Ask for one Binary in both forms."""
    for url in _urls(session):
        if "Binary/" not in url or session.server.resolve(url) is None:
            continue
        as_fhir = session.server.ask(url, accept=FHIR_JSON)
        plain = session.server.ask(url, accept="*/*")
        found.notes.append(f"Accept {FHIR_JSON}: {told(as_fhir)}. Accept */*: {told(plain)}.")
        if _binary(as_fhir) is None:
            found.faults.append("It does not come as a Binary resource.")
        return
    raise Omitted("No document has a Binary on this server.")


def reports(session: Session, found: Found) -> None:
    """Reports of all kinds."""
    _searched(session, found, f"DiagnosticReport?patient={_patient(session)}&_sort=-date&_count=20")


def compositions(session: Session, found: Found) -> None:
    """Few servers have them."""
    _if_listed(session, "Composition")
    _searched(session, found, f"Composition?patient={_patient(session)}&_count=20")


def device_data(session: Session, found: Found) -> None:
    """Look through all categories in which devices are filed."""
    held: dict[str, int] = {}
    for category in ("vital-signs", "laboratory", "activity", "procedure", "survey"):
        count = sum(_is_of_device(one) for one in session.chart(category).resources)
        if count:
            held[category] = count
    session.facts["device_categories"] = sorted(held)
    if not held:
        raise Omitted("The patient has no Observation of a device.")
    told_of = ", ".join(f"{count} in {category}" for category, count in held.items())
    found.notes.append(f"{told_of}.")


def devices(session: Session, found: Found) -> None:
    """Ask for all of them in one search."""
    ids = list(dict.fromkeys(_device_ids(session)))[:20]
    if not ids:
        raise Omitted("No Observation names a Device.")
    page = session.page(f"Device?_id={quoted(','.join(ids))}")
    if page.fault:
        found.faults.append(page.fault)
    elif len(set(page.ids())) < len(ids):
        found.faults.append(f"{len(page.resources)} of {len(ids)} were found.")


def device_metrics(session: Session, found: Found) -> None:
    """Asked for as such: most patients have none."""
    _if_listed(session, "DeviceMetric")
    _searched(session, found, "DeviceMetric?_count=1")


def device_use(session: Session, found: Found) -> None:
    """Likewise, by patient."""
    _if_listed(session, "DeviceUseStatement")
    _searched(session, found, f"DeviceUseStatement?patient={_patient(session)}&_count=20")


def encounters(session: Session, found: Found) -> None:
    """The one that is running, or else any."""
    patient = _patient(session)
    running = session.page(f"Encounter?patient={patient}&status=in-progress")
    if running.fault:
        found.faults.append(running.fault)
        return
    found.notes.append(f"{len(running.resources)} in progress.")
    others = session.page(f"Encounter?patient={patient}&_count=5")
    for one in (*running.resources, *others.resources)[:1]:
        answer = session.server.ask(f"Encounter/{quoted(str(one.get('id')))}")
        if answer.status != 200:
            found.faults.append(f"{answer.what}: {told(answer)}.")


def orders(session: Session, found: Found) -> None:
    """Statuses are a list; none of them may be left out."""
    _open_orders(session, found, "ServiceRequest")


def tasks(session: Session, found: Found) -> None:
    """Likewise."""
    _open_orders(session, found, "Task")


def conditions(session: Session, found: Found) -> None:
    """Problems and diagnoses."""
    _searched(session, found, f"Condition?patient={_patient(session)}&_count=50")


def medications(session: Session, found: Found) -> None:
    """What is ordered, not what was given."""
    _searched(session, found, f"MedicationRequest?patient={_patient(session)}&_count=50")


def write_order(session: Session, found: Found) -> None:
    """A draft says itself that it is one of a test."""
    _written(session, found, "ServiceRequest", "subject", {"intent": "proposal"})


def write_task(session: Session, found: Found) -> None:
    """Likewise."""
    _written(session, found, "Task", "for", {"intent": "proposal"})


def _patient(session: Session) -> str:
    return quoted(session.patient)


def _documents(session: Session) -> Page:
    return session.page(f"DocumentReference?patient={_patient(session)}&_count=50")


def _searched(session: Session, found: Found, query: str) -> None:
    page = session.page(query)
    if page.fault:
        found.faults.append(page.fault)
        return
    more = " and more" if "next" in page.links else ""
    found.notes.append(f"{len(page.resources)}{more}.")


def _if_listed(session: Session, kind: str) -> None:
    if session.declared and kind not in session.declared:
        raise Omitted(f"The CapabilityStatement does not list {kind}.")


def _open_orders(session: Session, found: Found, kind: str) -> None:
    statuses = _OPEN_ORDERS[kind]
    page = session.page(f"{kind}?patient={_patient(session)}&status={statuses}&_count=200")
    if page.fault:
        found.faults.append(page.fault)
        return
    found.notes.append(f"{len(page.resources)}.")
    if any(one.get("status") not in statuses.split(",") for one in page.resources):
        found.faults.append("Some of another status came along.")


def _attachments(session: Session) -> list[dict[str, Any]]:
    return [
        content["attachment"]
        for one in session.whole(
            f"DocumentReference?patient={_patient(session)}&_count=50"
        ).resources
        for content in dicts(one.get("content"))
        if isinstance(content.get("attachment"), dict)
    ]


def _urls(session: Session) -> list[str]:
    held = (attachment.get("url") for attachment in _attachments(session))
    return [url for url in held if isinstance(url, str) and url]


def _read_attachments(session: Session) -> Iterator[Attachment]:
    chosen = _attachments(session)
    if not chosen:
        raise Omitted("The patient has no document with an attachment.")
    by_kind = sorted(chosen, key=lambda one: "url" not in one)  # those to be fetched come first
    for one in by_kind[:_ATTACHMENTS]:
        yield _read_attachment(session, one)


def _read_attachment(session: Session, attachment: Mapping[str, Any]) -> Attachment:
    declared = str(attachment.get("contentType", ""))[:80]
    if isinstance(attachment.get("data"), str):
        return Attachment(declared, None, _decoded(attachment["data"]))
    url = attachment.get("url")
    if not isinstance(url, str) or not url:
        return Attachment(declared, None, b"", "it has neither data nor url.")
    if session.server.resolve(url) is None:
        return Attachment(declared, None, b"", "its url leads to another server.")
    answer = session.fetched(url)
    if answer.status != 200:
        return Attachment(declared, answer, b"", f"{told(answer)}.")
    binary = _binary(answer)
    content = answer.body if binary is None else _decoded(str(binary.get("data", "")))
    return Attachment(declared, answer, content, "" if content else "it is empty.")


def _binary(answer: Answer) -> Mapping[str, Any] | None:
    if answer.status != 200 or "json" not in media_type(answer):
        return None
    try:
        body = answer.json()
    except NotJson:
        return None
    return body if isinstance(body, dict) and body.get("resourceType") == "Binary" else None


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=False)
    except (binascii.Error, ValueError):
        return b""


_STARTS = ((b"%PDF", "PDF"), (b"{\\rtf", "RTF"), (b"\x89PNG", "PNG"), (b"\xff\xd8", "JPEG"))


def _sniffed(content: bytes) -> str:
    head = content.lstrip()[:400]
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if b"ClinicalDocument" in content[:4000]:
        return "C-CDA"
    if head[:1] == b"<":
        return "HTML" if b"<html" in head.lower() or b"<!doctype html" in head.lower() else "markup"
    return "binary" if b"\x00" in content[:4000] else "text"


def _is_kind(declared: str, actual: str) -> bool:
    fits = {
        "PDF": "pdf" in declared,
        "RTF": "rtf" in declared,
        "PNG": declared == "image/png",
        "JPEG": declared in ("image/jpeg", "image/jpg"),
        "C-CDA": "xml" in declared,
        "HTML": "html" in declared,
        "markup": "html" in declared or "xml" in declared,
        "text": declared.startswith("text/") or "json" in declared,
    }
    return fits.get(actual, declared not in _TEXT)


def _is_of_device(resource: Mapping[str, Any]) -> bool:
    parts = (resource, *dicts(resource.get("component")))
    return bool(reference_of(resource, "device")) or any("valueSampledData" in one for one in parts)


def _device_ids(session: Session) -> Iterator[str]:
    for category in session.facts.get("device_categories", ()):
        for one in session.chart(category).resources:
            kind, _, identity = reference_of(one, "device").rpartition("/")
            if kind.endswith("Device") and identity:
                yield identity


def _written(
    session: Session, found: Found, kind: str, subject: str, members: Mapping[str, Any]
) -> None:
    draft = {
        "resourceType": kind,
        "status": "draft",
        **members,
        "code": {"text": "Draft of a connection test; may be deleted"},
        subject: {"reference": f"Patient/{session.patient}"},
    }
    headers = {"Content-Type": FHIR_JSON}
    made = session.server.ask(kind, method="POST", headers=headers, body=json.dumps(draft).encode())
    if made.status not in (200, 201):
        found.faults.append(f"{made.what}: {told(made)}.")
        return
    path = _made_path(made, kind)
    if not path:
        found.faults.append("It was created, and neither body nor Location says under which id.")
        return
    answer = session.server.ask(path)
    if answer.status != 200:
        found.faults.append(f"It was created, and cannot be read: {told(answer)}.")
    gone = session.server.ask(path, method="DELETE")
    if gone.status not in (200, 202, 204):
        found.notes.append(f"It was not deleted ({told(gone)}): {path} remains.")


def _made_path(made: Answer, kind: str) -> str:
    try:
        body = made.json()
    except NotJson:
        body = None
    identity = body.get("id") if isinstance(body, dict) and body.get("resourceType") == kind else ""
    if not identity:
        _, _, rest = made.header("Location").partition(f"{kind}/")
        identity = rest.partition("/")[0]
    return f"{kind}/{identity}" if identity else ""
