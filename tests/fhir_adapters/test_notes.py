"""Documents to notes: times, status, replacement, attachments, copies."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_adapters.notes import attachment_urls, read_notes
from tests.fhir_adapters.note_world import (
    MORNING,
    NOON,
    attachment,
    binary,
    document,
    doubts,
    encoded,
    read,
    reasons,
    replacing,
    texts,
)

PLAIN = {"contentType": "text/plain", "url": "Binary/t"}
HTML = {"contentType": "text/html", "url": "Binary/h"}
XML = {"contentType": "application/xml", "url": "Binary/x"}
UNNAMED = {"contentType": "application/octet-stream", "url": "Binary/o"}
PDF = {"contentType": "application/pdf", "url": "Binary/p"}
IMAGE = {"contentType": "image/png", "url": "Binary/i"}


def test_a_note_carries_its_type_time_source_and_sentences() -> None:
    (note,) = read(document()).notes
    assert note.note_type == "Progress note"
    assert note.time == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert note.source == "DocumentReference/7"
    assert [sentence.text for sentence in note.sentences] == ["Cough is better."]


def test_notes_are_sorted_by_time_whatever_their_order() -> None:
    late = document("b", attachment("Late."), date="2026-03-02T09:00:00+00:00")
    early = document("a", attachment("Early."), date="2026-03-02T10:00:00+02:00")
    assert texts(read(late, early)) == texts(read(early, late)) == ["Early.", "Late."]


@pytest.mark.parametrize(
    ("concept", "name"),
    [
        ({"text": "Ward round"}, "Ward round"),
        ({"coding": [{"code": "x"}, {"display": "ICU note"}]}, "ICU note"),
        ({"coding": [{"system": "http://loinc.org", "code": "18842-5"}]}, "Discharge summary"),
        ({"coding": [{"code": "local"}]}, "Document"),
        ("not an object", "Document"),
        ({"text": "tab\tand\u202ebidi\x00"}, "tab andbidi"),
        ({"text": "x" * 500}, "x" * 80),
    ],
)
def test_note_type_is_the_best_display_text(concept: object, name: str) -> None:
    assert read(document(type=concept)).notes[0].note_type == name


# Times ---------------------------------------------------------------------------------------


def test_what_was_written_after_the_prediction_time_is_not_read() -> None:
    reading = read(document(date="2026-03-02T12:00:00.001Z"))
    assert reading.notes == ()
    assert reasons(reading) == ["future"]
    assert "DocumentReference/7" in reading.left_out[0].sentence


def test_a_note_of_the_very_prediction_time_is_read() -> None:
    assert texts(read(document(date="2026-03-02T07:00:00-05:00"))) == ["Cough is better."]


def test_the_later_of_date_and_creation_counts() -> None:
    created_later = {**attachment("Rendered later."), "creation": "2026-03-02T13:00:00Z"}
    assert reasons(read(document("7", created_later))) == ["future"]


def test_the_period_of_care_is_not_when_the_note_was_written() -> None:
    stay = {"period": {"start": "2026-02-01T00:00:00Z", "end": "2026-03-02T10:00:00Z"}}
    (note,) = read(document(context=stay)).notes
    assert note.time == datetime(2026, 3, 2, 8, tzinfo=UTC)


def test_without_date_the_end_of_the_period_counts_never_its_start() -> None:
    ended = {"period": {"start": "2026-02-01T00:00:00Z", "end": "2026-03-02T10:00:00Z"}}
    (note,) = read(document(date=None, context=ended)).notes
    assert note.time == datetime(2026, 3, 2, 10, tzinfo=UTC)
    running = {"period": {"start": "2026-02-01T00:00:00Z"}}
    assert reasons(read(document(date=None, context=running))) == ["time"]


def test_r5_period_and_relations_are_read() -> None:
    concept = {"coding": [{"code": "replaces"}]}
    newer = document(
        "new",
        attachment("New."),
        date=None,
        period={"end": "2026-03-02T10:00:00Z"},
        relatesTo=[{"code": concept, "target": {"reference": "DocumentReference/7"}}],
    )
    assert texts(read(document(), newer)) == ["New."]


def test_last_updated_proves_that_an_undated_note_existed() -> None:
    (note,) = read(document(date=None, meta={"lastUpdated": MORNING})).notes
    assert note.time == datetime(2026, 3, 2, 8, tzinfo=UTC)


def test_a_date_counts_from_the_end_of_its_day() -> None:
    assert reasons(read(document(date="2026-03-02"))) == ["future"]
    assert texts(read(document(date="2026-03-01"))) == ["Cough is better."]


def test_a_date_of_today_is_past_if_last_updated_proves_it() -> None:
    (note,) = read(document(date="2026-03-02", meta={"lastUpdated": MORNING})).notes
    assert note.time == datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize("date", ["yesterday", 20260302, "2026-02-30", {}, ""])
def test_a_note_without_readable_time_is_left_out_and_reported(date: object) -> None:
    assert reasons(read(document(date=date))) == ["time"]


def test_a_report_counts_from_its_issue_not_from_its_examination() -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "status": "final",
        "code": {"text": "Chest film"},
        "effectiveDateTime": "2026-03-02T09:00:00Z",
        "issued": "2026-03-02T13:00:00Z",
        "presentedForm": [attachment("Clear lungs.")],
    }
    assert reasons(read(report)) == ["future"]
    issued = {**report, "issued": "2026-03-02T11:00:00Z"}
    (note,) = read(issued).notes
    assert (note.note_type, note.time.hour) == ("Chest film", 11)
    unissued = {name: value for name, value in report.items() if name != "issued"}
    assert read(unissued).notes[0].time.hour == 9


def test_the_prediction_time_must_state_its_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        read_notes([document()], {}, datetime(2026, 3, 2))  # noqa: DTZ001


# Status --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "elements",
    [
        {"status": "entered-in-error"},
        {"docStatus": "entered-in-error"},
        {"docStatus": "cancelled"},
        {"status": "bogus"},
    ],
)
def test_withdrawn_documents_never_reach_the_model(elements: Mapping[str, Any]) -> None:
    reading = read(document(**elements))
    assert reading.notes == ()
    assert reasons(reading) == ["status"]


@pytest.mark.parametrize("doc_status", ["preliminary", "final", "amended", "unknown"])
def test_other_document_status_is_read(doc_status: str) -> None:
    assert read(document(docStatus=doc_status)).notes


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error", "current"])
def test_a_report_must_have_a_usable_status(status: str) -> None:
    report = {"resourceType": "DiagnosticReport", "id": "r", "status": status, "issued": MORNING}
    assert reasons(read({**report, "conclusion": "Pneumonia."})) == ["status"]
    assert texts(read({**report, "status": "final", "conclusion": "Pneumonia."})) == ["Pneumonia."]


@pytest.mark.parametrize("holder", ["root", "content", "type"])
def test_an_unknown_modifier_extension_leaves_the_document_out(holder: str) -> None:
    extension = [{"url": "http://example.org/negated", "valueBoolean": True}]
    broken = document()
    place = {"root": broken, "content": broken["content"][0], "type": broken["type"]}[holder]
    place["modifierExtension"] = extension
    reading = read(broken)
    assert reading.notes == ()
    assert reasons(reading) == ["modifier"]


def test_implicit_rules_leave_the_document_out() -> None:
    assert reasons(read(document(implicitRules="http://example.org/rules"))) == ["modifier"]


# Replacement ---------------------------------------------------------------------------------


def test_a_superseded_note_gives_way_to_its_successor() -> None:
    reading = read(document("old", status="superseded"), replacing("new", "old"))
    assert texts(reading) == ["Text of new."]
    assert [line.sentence for line in reading.left_out] == [
        "DocumentReference/old: gave way to DocumentReference/new"
    ]


def test_a_replaced_note_gives_way_even_if_it_is_called_current() -> None:
    assert texts(read(document("old"), replacing("new", "old"))) == ["Text of new."]


def test_a_superseded_note_without_successor_is_used_and_reported() -> None:
    reading = read(document(status="superseded"))
    assert texts(reading) == ["Cough is better."]
    assert doubts(reading) == ["superseded"]


def test_a_superseded_note_stays_if_its_successor_came_after_the_prediction_time() -> None:
    later = replacing("new", "old", date="2026-03-02T15:00:00Z")
    reading = read(document("old", status="superseded"), later)
    assert texts(reading) == ["Cough is better."]
    assert reading.incomplete == ()


def test_a_superseded_note_stays_if_its_successor_cannot_be_read() -> None:
    unreadable = document("new", {"contentType": "text/plain", "url": "Binary/gone"})
    relations = [{"code": "replaces", "target": {"reference": "DocumentReference/old"}}]
    reading = read(document("old", status="superseded"), {**unreadable, "relatesTo": relations})
    assert texts(reading) == ["Cough is better."]
    assert reasons(reading) == ["missing"]
    assert doubts(reading) == ["superseded"]


def test_a_superseded_note_stays_if_its_successor_was_withdrawn() -> None:
    withdrawn = replacing("new", "old", status="entered-in-error")
    reading = read(document("old", status="superseded"), withdrawn)
    assert texts(reading) == ["Cough is better."]


def test_a_chain_of_replacements_leaves_the_last_readable_text() -> None:
    chain = (document("a"), replacing("b", "a"), replacing("c", "b"))
    assert texts(read(*chain)) == ["Text of c."]
    future_end = (*chain[:2], replacing("c", "b", date="2026-03-03T00:00:00Z"))
    assert texts(read(*future_end)) == ["Text of b."]


def test_documents_that_replace_each_other_in_a_circle_are_kept_and_reported() -> None:
    reading = read(replacing("a", "b"), replacing("b", "a"))
    assert sorted(texts(reading)) == ["Text of a.", "Text of b."]
    assert doubts(reading) == ["superseded", "superseded"]


@pytest.mark.parametrize("code", ["appends", "signs", "transforms"])
def test_other_relations_replace_nothing(code: str) -> None:
    relation = [{"code": code, "target": {"reference": "DocumentReference/7"}}]
    addendum = document("8", attachment("Addendum."), relatesTo=relation)
    assert len(read(document(), addendum).notes) == 2


@pytest.mark.parametrize(
    "target",
    [
        {"reference": "https://ehr.example/fhir/DocumentReference/old/_history/3"},
        {"identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2"}},
    ],
)
def test_the_replaced_document_is_found_by_any_name(target: dict[str, Any]) -> None:
    old = document("old", masterIdentifier={"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2"})
    new = document("new", attachment("New."), relatesTo=[{"code": "replaces", "target": target}])
    assert texts(read(old, new)) == ["New."]


def test_bundle_references_are_resolved_by_alias_or_by_id() -> None:
    old = document("old", {"contentType": "text/plain", "url": "urn:uuid:5-6"})
    relation = [{"code": "replaces", "target": {"reference": "urn:uuid:1-2"}}]
    new = document("new", {"contentType": "text/plain", "url": "urn:uuid:b"}, relatesTo=relation)
    aliases = {"urn:uuid:1-2": "DocumentReference/old", "urn:uuid:5-6": "Binary/a"}
    binaries = {"Binary/a": binary("Old."), "Binary/b": binary("New.")}
    assert texts(read_notes([old], binaries, NOON, aliases=aliases)) == ["Old."]
    assert texts(read_notes([old, new], binaries, NOON, aliases=aliases)) == ["New."]


# Which attachment ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "wanted"),
    [
        ([PDF, XML, HTML, PLAIN], "Binary/t"),
        ([PDF, XML, HTML], "Binary/h"),
        ([PDF, XML], "Binary/x"),
        ([PDF, UNNAMED], "Binary/o"),
        ([PDF, IMAGE], "Binary/p"),
        ([{"contentType": "TEXT/PLAIN; charset=utf-8", "url": "Binary/t"}, HTML], "Binary/t"),
        ([{"contentType": "aapplication/xml", "url": "Binary/x"}, PDF], "Binary/x"),
    ],
)
def test_one_url_a_document_is_fetched_the_best(offered: list[dict[str, Any]], wanted: str) -> None:
    assert attachment_urls([document("7", *offered)]) == (wanted,)


@pytest.mark.parametrize(
    "offered",
    [
        [IMAGE],
        [attachment("Inline."), PLAIN],
        [attachment("<p>Inline.</p>", "text/html"), PLAIN],
        [{"contentType": "text/plain", "url": "#inside"}],
        [{"contentType": "text/plain"}],
        [{"contentType": "text/plain", "url": 5}],
    ],
)
def test_nothing_is_fetched_that_need_not_or_cannot_be(offered: list[dict[str, Any]]) -> None:
    assert attachment_urls([document("7", *offered)]) == ()


def test_text_is_fetched_although_a_pdf_is_inline() -> None:
    offered = document("7", attachment(b"%PDF-1.4", "application/pdf"), PLAIN)
    assert attachment_urls([offered]) == ("Binary/t",)


def test_pdfs_are_not_fetched_for_a_request() -> None:
    assert attachment_urls([document("7", PDF)], allow_pdf=False) == ()
    assert attachment_urls([document("7", PDF, XML)], allow_pdf=False) == ("Binary/x",)


def test_withdrawn_documents_are_not_fetched_and_urls_are_listed_once() -> None:
    gone = document("8", HTML, status="entered-in-error")
    assert attachment_urls([document("7", PLAIN), document("9", PLAIN), gone]) == ("Binary/t",)


def test_a_document_that_offers_several_formats_is_read_once() -> None:
    both = document("7", attachment("<p>Same text.</p>", "text/html"), attachment("Same text."))
    assert texts(read(both)) == ["Same text."]


def test_the_next_format_is_read_if_the_best_is_broken() -> None:
    broken = {"contentType": "text/plain", "data": "!!!"}
    reading = read(document("7", broken, attachment("<p>From HTML.</p>", "text/html")))
    assert texts(reading) == ["From HTML."]
    assert reading.left_out == ()


@pytest.mark.parametrize(
    "url",
    [
        "Binary/t",
        "/Binary/t",
        "https://ehr.example/fhir/Binary/t",
        "https://ehr.example/fhir/Binary/t/_history/2",
        " Binary/t ",
    ],
)
def test_a_binary_is_found_by_relative_and_absolute_url(url: str) -> None:
    reading = read(document("7", {"contentType": "text/plain", "url": url}), t=binary("Fetched."))
    assert texts(reading) == ["Fetched."]


def test_a_raw_url_is_found_as_it_is_written() -> None:
    url = "https://files.example/doc?id=5"
    raw = document("7", {"contentType": "text/plain", "url": url})
    reading = read_notes([raw], {url: binary("Raw text.")}, NOON)
    assert texts(reading) == ["Raw text."]


def test_a_contained_binary_and_a_data_url_are_inline() -> None:
    inside = document(
        "7",
        {"contentType": "text/plain", "url": "#b"},
        contained=[{**binary("Contained."), "id": "b"}],
    )
    data_url = document("8", {"url": f"data:text/plain;base64,{encoded('In the url.')}"})
    assert texts(read(inside, data_url)) == ["Contained.", "In the url."]


# What is wrong with attachments --------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"contentType": "text/plain"}, "missing"),
        ({"contentType": "text/plain", "url": "Binary/absent"}, "missing"),
        ({"contentType": "text/plain", "url": "#absent"}, "missing"),
        ({"contentType": "text/plain", "data": "Not base64!"}, "base64"),
        ({"url": "data:text/plain,plain"}, "base64"),
        ({"contentType": "text/plain", "data": encoded("  \n ")}, "empty"),
        ({"contentType": "text/plain", "data": "===="}, "empty"),
        (attachment(b"\x89PNG\r\n\x1a\n", "text/plain"), "type"),
        (attachment(b"%PDF-1.4 broken", "text/plain"), "pdf"),
        (attachment(b"\x1f\x8b\x08damaged", "text/plain"), "gzip"),
        (attachment('{"resourceType": "Bundle"}', "application/fhir+json"), "type"),
    ],
)
def test_a_bad_attachment_is_reported_and_the_others_are_read(
    broken: dict[str, Any], reason: str
) -> None:
    reading = read(document("bad", broken), document())
    assert texts(reading) == ["Cough is better."]
    assert reasons(reading) == [reason]
    assert reading.left_out[0].source == "DocumentReference/bad"


def test_text_without_words_is_reported() -> None:
    assert reasons(read(document("7", attachment("*** --- ...")))) == ["empty"]


def test_a_document_without_attachment_is_reported() -> None:
    assert reasons(read(document(content=None))) == ["empty"]
    assert reasons(read(document(content="text"))) == ["empty"]


def test_another_resource_in_the_place_of_a_binary_is_reported() -> None:
    outcome = {"resourceType": "OperationOutcome"}
    assert reasons(read(document("7", PLAIN), t=outcome)) == ["missing"]


def test_messages_show_no_raw_url() -> None:
    url = "https://files.example/Maria-Muster?token=abc"
    reading = read(document("7", {"contentType": "text/plain", "url": url}))
    assert reading.left_out[0].sentence == "DocumentReference/7: its url was not fetched"


def test_size_and_hash_that_do_not_fit_are_reported_and_the_text_is_used() -> None:
    digest = base64.b64encode(hashlib.sha1(b"Fine.").digest()).decode()
    good = {**attachment("Fine."), "size": 5, "hash": digest}
    assert read(document("7", good)).incomplete == ()
    assert doubts(read(document("7", {**good, "hash": hashlib.sha1(b"Fine.").hexdigest()}))) == []
    bad = {**attachment("Fine."), "size": 500, "hash": encoded("x")}
    reading = read(document("7", bad))
    assert texts(reading) == ["Fine."]
    assert doubts(reading) == ["size", "hash"]


def test_base64_is_read_as_servers_send_it() -> None:
    text = "Ten degrees: °°°??>>"
    packed = encoded(text)
    wrapped = "\r\n ".join(packed[at : at + 10] for at in range(0, len(packed), 10))
    url_safe = packed.replace("+", "-").replace("/", "_").rstrip("=")
    for data in (wrapped, url_safe):
        reading = read(document("7", {"contentType": "text/plain", "data": data}))
        assert texts(reading) == [text]


def test_gzip_is_unpacked_and_a_broken_off_stream_is_reported() -> None:
    packed = gzip.compress(b"Packed note. " * 50)
    assert texts(read(document("7", attachment(packed, "application/gzip")))) == ["Packed note."]
    reading = read(document("7", attachment(packed[:-12])))
    assert doubts(reading) == ["gzip"]


def test_a_gzip_bomb_is_refused() -> None:
    bomb = gzip.compress(b"\x00" * 30_000_000)
    assert reasons(read(document("7", attachment(bomb)))) == ["too-large"]


def test_an_attachment_over_the_limit_is_refused_before_it_is_decoded() -> None:
    huge = {"contentType": "text/plain", "data": "A" * 28_000_000}
    assert reasons(read(document("7", huge))) == ["too-large"]


# Narratives and reports ----------------------------------------------------------------------


def composition(**elements: Any) -> dict[str, Any]:
    sections = [
        {"title": "Course", "text": {"div": "<div><p>Extubated.</p><p>Walking.</p></div>"}},
        {
            "title": "History",
            "section": [{"title": "Family history", "text": {"div": "<div>Gout.</div>"}}],
        },
    ]
    return {
        "resourceType": "Composition",
        "id": "c",
        "status": "final",
        "date": MORNING,
        "title": "Discharge letter",
        "type": {"text": "Discharge summary"},
        "section": sections,
        **elements,
    }


def test_sections_of_a_composition_keep_their_titles() -> None:
    (note,) = read(composition()).notes
    assert [(sentence.section, sentence.text) for sentence in note.sentences] == [
        ("Course", "Extubated."),
        ("Course", "Walking."),
        ("Family history", "Gout."),
    ]
    assert note.sentences[2].family


def test_a_composition_is_replaced_and_withdrawn_like_other_documents() -> None:
    older = composition(id="old", status="final")
    newer = composition(
        section=[{"title": "Plan", "text": {"div": "<div>Home.</div>"}}],
        relatesTo=[{"code": "replaces", "targetReference": {"reference": "Composition/old"}}],
    )
    assert texts(read(older, newer)) == ["Home."]
    assert reasons(read(composition(status="entered-in-error"))) == ["status"]


def test_a_generated_narrative_repeats_the_resource_and_is_no_note() -> None:
    bare = document(content=None, text={"status": "generated", "div": "<div>Author: X</div>"})
    assert reasons(read(bare)) == ["empty"]
    own = document(content=None, text={"status": "additional", "div": "<div>Own words.</div>"})
    assert texts(read(own)) == ["Own words."]


def test_a_report_is_its_form_else_its_narrative_and_always_its_conclusion() -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "status": "final",
        "issued": MORNING,
        "text": {"status": "generated", "div": "<div>Small effusion.</div>"},
    }
    assert texts(read(report)) == ["Small effusion."]
    formed = {**report, "presentedForm": [attachment("No effusion.")], "conclusion": "Normal."}
    assert texts(read(formed)) == ["No effusion.", "Normal."]


def test_results_of_a_laboratory_report_are_no_note_and_no_fault() -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "status": "final",
        "issued": MORNING,
        "result": [{"reference": "Observation/1"}],
        "text": {"status": "generated", "div": "<div>Lactate 2</div>"},
    }
    reading = read(report)
    assert (reading.notes, reading.left_out, reading.incomplete) == ((), (), ())


def test_lone_surrogates_and_controls_do_not_reach_a_note() -> None:
    report = {"resourceType": "DiagnosticReport", "id": "r", "status": "final", "issued": MORNING}
    reading = read({**report, "conclusion": "Pneu\ud800mo\x00thorax\u202e."})
    assert texts(reading) == ["Pneumothorax."]


# Copies --------------------------------------------------------------------------------------


def test_a_copied_sentence_is_kept_once_in_the_latest_note() -> None:
    first = document("a", attachment("Known gout. Fever."), date="2026-03-01T08:00:00Z")
    second = document("b", attachment("Known  gout!\nAfebrile."), date="2026-03-02T08:00:00Z")
    by_source = {
        note.source: [s.text for s in note.sentences] for note in read(first, second).notes
    }
    assert by_source == {
        "DocumentReference/a": ["Fever."],
        "DocumentReference/b": ["Known gout!", "Afebrile."],
    }


def test_a_note_that_was_copied_whole_is_reported() -> None:
    first = document("a", attachment("Known gout."), date="2026-03-01T08:00:00Z")
    second = document("b", attachment("KNOWN GOUT"))
    reading = read(first, second)
    assert [note.source for note in reading.notes] == ["DocumentReference/b"]
    assert reasons(reading) == ["duplicate"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Chest pain.", "No chest pain."),
        ("Potassium 3.5.", "Potassium 35."),
        ("Temperature <38.", "Temperature >38."),
        ("Murmur 1+.", "Murmur 1-."),
        ("PMH: gout.", "Assessment: gout."),
        ("Allergies:\nNone.", "Medications:\nNone."),
    ],
)
def test_sentences_that_say_different_things_are_both_kept(before: str, after: str) -> None:
    first = document("a", attachment(before), date="2026-03-01T08:00:00Z")
    assert len(read(first, document("b", attachment(after))).notes) == 2


def test_a_sentence_twice_in_one_note_is_kept_where_it_stood_first() -> None:
    assert texts(read(document("7", attachment("Gout. Fever. Gout. Cough.")))) == [
        "Gout.",
        "Fever.",
        "Cough.",
    ]


def test_documents_without_id_are_told_apart() -> None:
    first = document("", attachment("First."), id=None)
    second = document("", attachment("Second."), id=None)
    sources = [note.source for note in read(first, second).notes]
    assert sources == ["DocumentReference#0", "DocumentReference#1"]


@pytest.mark.parametrize("status", ["Entered-In-Error", "ENTERED-IN-ERROR", " entered-in-error "])
def test_case_and_spaces_of_a_status_do_not_let_a_withdrawn_text_pass(status: str) -> None:
    assert read(document(status=status)).notes == ()
    assert read(document(docStatus=status)).notes == ()
    assert len(read(document(status="Current", docStatus="Final")).notes) == 1


def test_pages_of_one_document_are_all_read() -> None:
    """Several attachments of one type are no formats of one text, but its pages."""
    pages = [attachment("Page one is calm."), attachment("Page two is septic.")]
    reading = read(document("7", *pages))
    assert texts(reading) == ["Page one is calm.", "Page two is septic."]
    again = read(document("7", attachment("Same text."), attachment("Same text.")))
    assert texts(again) == ["Same text."]


def test_a_page_that_cannot_be_read_is_reported_and_the_others_are_used() -> None:
    broken = {"contentType": "text/plain", "data": "%%%"}
    reading = read(document("7", attachment("Page one is calm."), broken))
    assert texts(reading) == ["Page one is calm."]
    assert "another text of it" in reading.incomplete[0].sentence


def test_line_breaks_of_hl7_v2_are_line_breaks() -> None:
    reading = read(document("7", attachment("Febrile.\\.br\\Denies chest pain \\T\\ cough.")))
    assert texts(reading) == ["Febrile.", "Denies chest pain & cough."]
