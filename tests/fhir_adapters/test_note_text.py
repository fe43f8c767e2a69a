"""Bytes to text: what they are rather than what they are called."""

from __future__ import annotations

import io
import time
import zlib
from pathlib import Path

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from fhir_adapters import pdf_text
from fhir_adapters.attachments import UnreadableText
from fhir_adapters.charsets import clean
from fhir_adapters.note_text import MAX_NOTE_CHARS, NoteText, read_text, read_xhtml
from fhir_adapters.sentences import split_sentences
from tests.fhir_adapters.note_world import encoded

WORDS = "Temperatur 38°, Übelkeit"
CDA = """<?xml version="1.0"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><component><structuredBody>
<component><section><title>PROBLEMS</title><text>
  <table><thead><tr><th>Problem</th><th>Status</th></tr></thead>
  <tbody><tr><td>Asthma</td><td>Active</td></tr><tr><td>Gout</td><td/></tr></tbody></table>
</text></section></component>
<component><section><code displayName="History of present illness"/><text>
  <paragraph>Cough for <content styleCode="Bold">three</content> days.</paragraph>
  <paragraph>Seen<content revised="delete"> never</content> today.</paragraph>
  <list><item>afebrile</item><item>eating</item></list>
</text>
<component><section><text>Inner text.</text></section></component>
</section></component>
</structuredBody></component></ClinicalDocument>"""
RTF = rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}\f0 Cough is \b better\b0.\par Fever 38\'b0.}"


def lines(text: NoteText) -> list[str]:
    """Return all lines of all blocks, without the marks of list items."""
    found = [line for block in text.blocks for line in block.text.split("\n")]
    return [line.removeprefix("‣ ") for line in found if line.strip()]


def pdf(*pages: str) -> bytes:
    """Return a PDF with a line of text a page."""
    writer = PdfWriter()
    font = {
        "/Type": NameObject("/Font"),
        "/Subtype": NameObject("/Type1"),
        "/BaseFont": NameObject("/Helvetica"),
    }
    fonts = DictionaryObject(
        {NameObject("/F1"): DictionaryObject({NameObject(k): v for k, v in font.items()})}
    )
    for words in pages:
        page = writer.add_blank_page(600, 800)
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 50 700 Td ({words}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


# Charsets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (WORDS.encode(), "text/plain"),
        (WORDS.encode(), "application/octet-stream"),
        (WORDS.encode(), ""),
        (WORDS.encode(), "text/plain; charset=iso-8859-1"),
        (WORDS.encode(), "text/plain; charset=nonsense"),
        (WORDS.encode(), "text/plain; charset=rot13"),
        (b"\xef\xbb\xbf" + WORDS.encode(), "text/plain"),
        (WORDS.encode("utf-16"), "text/plain"),
        (WORDS.encode("utf-16-le"), "text/plain"),
        (WORDS.encode("utf-16-be"), "text/plain; charset=utf-8"),
        (WORDS.encode("utf-32"), "text/plain"),
        (WORDS.encode("latin-1"), "text/plain"),
        (WORDS.encode("latin-1"), "text/plain;charset=ISO-8859-1"),
        (WORDS.encode("cp1252"), 'text/plain; charset="windows-1252"'),
    ],
)
def test_text_is_decoded_whatever_its_charset(data: bytes, content_type: str) -> None:
    assert lines(read_text(data, content_type)) == [WORDS]


def test_a_declared_charset_counts_where_utf8_fails() -> None:
    assert lines(read_text("Ból głowy".encode("iso-8859-2"), "text/plain; charset=iso-8859-2")) == [
        "Ból głowy"
    ]


def test_text_cut_in_the_middle_of_a_character_is_still_utf8() -> None:
    assert lines(read_text("Fever 38°".encode()[:-1], "text/plain")) == ["Fever 38"]


def test_characters_that_nobody_sees_are_removed() -> None:
    assert clean("a\x00b\x07c\ufeffd\u200be\xadf\u202eg\u2066h\ud800i") == "abcdefghi"
    assert clean("a\r\nb\rc\x0cd\u2028e") == "a\nb\nc\nd\ne"
    assert clean("5\xa0mg\u2009kg\tx") == "5 mg kg\tx"
    assert clean("\ufb01nding of \ufb02uid") == "finding of fluid"


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UnreadableText, match="not text"):
        read_text(bytes(range(32)) * 20, "text/plain")


def test_embedded_base64_is_left_out_and_reported() -> None:
    text = read_text(f"Photo of the wound: {encoded(bytes(3_000))} taken.".encode(), "text/plain")
    assert lines(text) == ["Photo of the wound:   taken."]
    assert [reason for reason, _ in text.doubts] == ["type"]


# Sniffing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"<html><body><p>Fine.</p></body></html>", "text/plain"),
        (b"<!DOCTYPE html><html><p>Fine.</html>", "application/pdf"),
        (b"  \n<div>Fine.</div>", "application/octet-stream"),
        (b"<!-- by the EHR --><p>Fine.</p>", "text/plain"),
        (b'<?xml version="1.0"?><div xmlns="http://www.w3.org/1999/xhtml">Fine.</div>', "text/xml"),
        (b"<note>Fine.</note>", "aapplication/xml"),
        (rb"{\rtf1 Fine.}", "text/plain"),
        (b"\xef\xbb\xbf" + rb"{\rtf1 Fine.}", "application/msword"),
        (pdf("Fine."), "application/xml"),
        (b"Fine.", "application/pdf"),
        (b"Fine.", "image/png"),
    ],
)
def test_the_first_bytes_decide_what_it_is(data: bytes, content_type: str) -> None:
    assert lines(read_text(data, content_type)) == ["Fine."]


@pytest.mark.parametrize(
    ("magic", "name"),
    [
        (b"PK\x03\x04docx", "ZIP"),
        (b"\xd0\xcf\x11\xe0doc", "Office"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"II*\x00", "TIFF"),
    ],
)
def test_other_formats_are_refused_by_name(magic: bytes, name: str) -> None:
    with pytest.raises(UnreadableText, match=name):
        read_text(magic, "text/plain")


def test_comparisons_in_plain_text_are_no_tags() -> None:
    text = "Keep MAP >65 and SBP <140, K <3.5 & Mg > 2."
    assert lines(read_text(text.encode(), "text/plain")) == [text]


def test_plain_text_with_some_html_in_it() -> None:
    assert lines(read_text(b"Line one<br>Line two\nLine three &amp; four", "text/plain")) == [
        "Line one",
        "Line two",
        "Line three & four",
    ]
    assert lines(read_text(b"Pain&nbsp;scale &lt;3", "text/plain")) == ["Pain scale <3"]


# HTML ----------------------------------------------------------------------------------------


def test_html_keeps_its_blocks_and_loses_scripts_and_styles() -> None:
    page = """<html><head><title>x</title><style>p{}</style></head><body>
      <script>alert("no")</script><p>One <b>two</b>
      three.</p>Four<br>five<ul><li>six<li>seven</ul><div hidden>no</div><del>no</del>
      <p style="display: none">no</p>
      <pre>eight
      nine</pre></body></html>"""
    assert lines(read_text(page.encode(), "text/html")) == [
        "One two three.",
        *("Four", "five", "six", "seven", "eight", "nine"),
    ]


def test_html_headings_become_sections() -> None:
    page = "<h1>Progress note</h1><h2>HPI</h2><p>Cough.</p><h2>Code status: DNR</h2>"
    blocks = read_text(page.encode(), "text/html").blocks
    assert [(block.section, block.text) for block in blocks] == [
        ("HPI", "Cough."),
        ("", "Code status: DNR"),
    ]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("<tr><th>P<th>S<tr><td>Gout<td>Old", ["P: Gout | S: Old"]),
        ("<thead><tr><td>P<td>S<tbody><tr><td>Gout<td>", ["P: Gout"]),
        ("<tr><th>Name<td>Asthma<td>mild", ["Name: Asthma, mild"]),
        ("<tr><td>a<td>b<tr><td>c<td>d", ["a | b", "c | d"]),
        ("<tr><td><p>a<p>b<td>c", ["a", "b", "c"]),
        ("<tr><th>A<th>B", ["A | B"]),
        ("<tr><th>P<th>S<tr><td colspan=2>None known", ["None known"]),
        ("<tr><td><table><tr><td>in</table><td>out", ["in | out"]),
    ],
)
def test_table_rows_become_lines(table: str, expected: list[str]) -> None:
    assert lines(read_text(f"<table>{table}</table>".encode(), "text/html")) == expected


def test_a_narrative_stands_under_its_section() -> None:
    (block,) = read_xhtml('<div xmlns="x"><p>Stable.</p></div>', "Course").blocks
    assert (block.section, block.text, block.wrapped) == ("Course", "Stable.", True)


WRAPPED = """The patient is a 66 year old man who was admitted with septic shock. He has no
fever, chills, nausea or vomiting. CT of the abdomen showed no evidence of
abscess or perforation."""


@pytest.mark.parametrize(
    "markup",
    [
        f"<html><body><pre>{WRAPPED}</pre></body></html>",
        "<html><body><p>" + WRAPPED.replace("\n", "<br/>\n") + "</p></body></html>",
        "<html><body><div>" + WRAPPED.replace("\n", "</div><div>") + "</div></body></html>",
        r"{\rtf1\ansi " + WRAPPED.replace("\n", "\\par\n") + "}",
        CDA.replace("<list>", WRAPPED.replace("\n", "<br/>") + "<list>"),
    ],
)
def test_lines_that_a_narrow_page_broke_are_joined_in_markup_too(markup: str) -> None:
    found = sentences_of(read_text(markup.encode(), "text/html"))
    assert ("He has no fever, chills, nausea or vomiting.", True) in found
    assert ("CT of the abdomen showed no evidence of abscess or perforation.", True) in found


def test_items_of_a_list_and_rows_are_not_joined() -> None:
    items = ["acetaminophen 650 mg every six hours as needed, without", "lisinopril 10 mg daily"]
    rows = "".join(f"<tr><td>{name}</td><td>daily and</td></tr>" for name in ("aspirin", "iron"))
    listed = "".join(f"<li>{item}</li>" for item in items)
    page = f"<ul>{listed}</ul><table>{rows}</table><ul><li>Plan:</li><li>[ ] dialysis</li></ul>"
    (block,) = read_text(page.encode(), "text/html").blocks
    found = split_sentences(block.text, block.section, wrapped=block.wrapped)
    rest = [items[1], "aspirin | daily and", "iron | daily and", "dialysis"]
    assert [one.text for one in found[-4:]] == rest
    assert (found[-1].section, found[-1].hypothetical) == ("Plan", True)


def test_items_of_a_list_in_markup_are_denied_by_the_line_before_it() -> None:
    page = "<p>Denies:</p><ul><li>chest pain</li><li>fever</li></ul><p>Has a cough.</p>"
    found = sentences_of(read_text(page.encode(), "text/html"))
    assert found[-3:] == [("chest pain", True), ("fever", True), ("Has a cough.", False)]


def sentences_of(text: NoteText) -> list[tuple[str, bool]]:
    """Return each sentence and whether it is negated."""
    return [
        (one.text, one.negated)
        for block in text.blocks
        for one in split_sentences(block.text, block.section, wrapped=block.wrapped)
    ]


# C-CDA ---------------------------------------------------------------------------------------


def test_ccda_sections_keep_titles_and_tables_become_lines() -> None:
    blocks = read_text(CDA.encode(), "application/xml").blocks
    assert [(block.section, block.text) for block in blocks] == [
        ("PROBLEMS", "Problem: Asthma | Status: Active\nProblem: Gout"),
        (
            "History of present illness",
            "Cough for three days.\nSeen today.\n‣ afebrile\n‣ eating",
        ),
        ("History of present illness", "Inner text."),
    ]


def test_ccda_that_breaks_off_is_read_as_far_as_it_goes() -> None:
    text = read_text(CDA[: CDA.index("<list>")].encode(), "text/xml")
    assert "Cough for three days." in lines(text)
    assert [reason for reason, _ in text.doubts] == ["xml"]


def test_ccda_in_a_wrongly_declared_encoding() -> None:
    declared = CDA.replace('version="1.0"', 'version="1.0" encoding="utf-16"')
    assert "eating" in lines(read_text(declared.encode(), "application/xml"))
    umlauts = CDA.replace('version="1.0"', 'version="1.0" encoding="iso-8859-1"')
    umlauts = umlauts.replace("eating", "Übelkeit")
    assert "Übelkeit" in lines(read_text(umlauts.encode("iso-8859-1"), "application/xml"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_ccda_in_wide_encodings(encoding: str) -> None:
    document = CDA.replace("eating", "Übelkeit & &lt;38°")
    declared = document.replace('version="1.0"', f'version="1.0" encoding="{encoding[:6]}"')
    for one in (document, declared):
        assert "Übelkeit & <38°" in lines(read_text(one.encode(encoding), "application/xml"))


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ('mediaType="text/plain"', "Plain body."),
        ('mediaType="text/plain" representation="B64"', encoded("Plain body.")),
        ('mediaType="text/rtf" representation="B64"', encoded(rb"{\rtf1 Plain body.}")),
        ('mediaType="application/pdf" representation="B64"', encoded(pdf("Plain body."))),
    ],
)
def test_ccda_with_a_body_that_is_not_xml(media_type: str, body: str) -> None:
    document = (
        '<ClinicalDocument xmlns="urn:hl7-org:v3"><component><nonXMLBody>'
        f"<text {media_type}>{body}</text></nonXMLBody></component></ClinicalDocument>"
    )
    assert lines(read_text(document.encode(), "application/xml")) == ["Plain body."]


def test_billion_laughs_are_not_expanded() -> None:
    entities = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12)
    )
    bomb = CDA.replace("<ClinicalDocument", f"<!DOCTYPE x [{entities}]><ClinicalDocument", 1)
    bomb = bomb.replace("three", "&a11;").replace("styleCode=", 'ID="&a11;" styleCode=')
    started = time.process_time()
    text = read_text(bomb.encode(), "application/xml")
    assert time.process_time() - started < 2
    assert sum(map(len, lines(text))) < 1_000


def test_entities_of_html_do_not_harm_a_ccda() -> None:
    """libxml2 reads "&lt;5" as "5" once it has met an entity that it does not know."""
    document = CDA.replace("three", "3&nbsp;&micro;g, K &lt;5, 38&#176;")
    text = read_text(document.encode(), "application/xml")
    assert "Cough for 3 µg, K <5, 38° days." in lines(text)
    assert text.doubts == ()


@pytest.mark.parametrize(
    "content", ["&unheard; K &lt;5", "Mg & K &lt;5", "K <5", "&; &#x; &amp; &#60;b&#62; K < 5"]
)
def test_what_is_not_xml_changes_no_comparison(content: str) -> None:
    text = read_text(CDA.replace("three", content).encode(), "application/xml")
    assert any("K <5" in line or "K < 5" in line for line in lines(text))
    assert "eating" in lines(text)


def test_external_entities_are_not_fetched(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    for target in (secret.as_uri(), "http://127.0.0.1:9/x"):
        doctype = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{target}">]>'
        document = CDA.replace("<ClinicalDocument", f"{doctype}<ClinicalDocument", 1)
        text = read_text(document.replace("three", "&e;").encode(), "application/xml")
        assert "secret" not in "\n".join(lines(text))
        assert "eating" in lines(text)


def test_an_external_dtd_is_not_loaded(tmp_path: Path) -> None:
    dtd = tmp_path / "x.dtd"
    dtd.write_text('<!ENTITY e "from the dtd">')
    doctype = f'<!DOCTYPE ClinicalDocument SYSTEM "{dtd.as_uri()}">'
    document = CDA.replace("<ClinicalDocument", f"{doctype}<ClinicalDocument", 1)
    text = read_text(document.replace("three", "&e;").encode(), "application/xml")
    assert "from the dtd" not in "\n".join(lines(text))


def test_xml_with_a_broken_name_is_read() -> None:
    """lxml recovers an element named "ht:", which it then does not accept as a name."""
    assert lines(read_text(b'<?xml version="1.0"?><ht:><p>Fine.</p></ht:>', "text/xml")) == [
        "Fine."
    ]


def test_other_xml_is_read_by_element() -> None:
    xml = b"<report><patient>72 yo</patient><finding>Effusion.</finding></report>"
    assert lines(read_text(xml, "application/xml")) == ["72 yo", "Effusion."]


# RTF -----------------------------------------------------------------------------------------


def test_rtf_becomes_paragraphs() -> None:
    assert lines(read_text(RTF, "application/rtf")) == ["Cough is better.", "Fever 38°."]


def test_rtf_table_cells_are_kept_apart() -> None:
    table = rb"{\rtf1\trowd\intbl Gout\cell Active\cell\row Asthma\cell Old\cell\row}"
    assert [line.strip(" |") for line in lines(read_text(table, "text/rtf"))] == [
        "Gout | Active",
        "Asthma | Old",
    ]


def test_rtf_pictures_are_dropped() -> None:
    picture = rb"{\rtf1 Before.{\pict\pngblip " + b"89504e47" * 50_000 + rb"} After.}"
    assert lines(read_text(picture, "text/rtf")) == ["Before. After."]


@pytest.mark.parametrize(
    "hostile",
    [
        rb"{\rtf1 " + rb"{\field{\*\fldinst{" * 50_000,
        rb"{\rtf1{\fonttbl" + rb"{\f1\fcharset1 " * 20_000,
        rb"{\rtf1 " + b"{" * 200_000,
        rb"{\rtf1 \u99999999999 \'zz \bin99999999999999999999",
        rb"{\rtf1\ansicpg99999 \'ff}",
    ],
)
def test_hostile_rtf_ends_soon(hostile: bytes) -> None:
    started = time.process_time()
    try:
        read_text(hostile, "text/rtf")
    except UnreadableText as refusal:
        assert refusal.reason in ("rtf", "empty")
    assert time.process_time() - started < 15


# PDF -----------------------------------------------------------------------------------------


def test_pdf_pages_become_text() -> None:
    assert lines(read_text(pdf("Page one.", "Page two."), "application/pdf")) == [
        "Page one.",
        "Page two.",
    ]


def test_a_pdf_is_refused_unread_during_a_request() -> None:
    with pytest.raises(UnreadableText, match="during a request"):
        read_text(pdf("Fine."), "application/pdf", allow_pdf=False)


def test_a_scan_without_text_is_reported() -> None:
    with pytest.raises(UnreadableText, match="scan"):
        read_text(pdf(""), "application/pdf")


def test_pages_over_the_limit_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_text, "MAX_PAGES", 2)
    text = read_text(pdf("One.", "Two.", "Three."), "application/pdf")
    assert lines(text) == ["One.", "Two."]
    assert text.doubts == (("pdf", "only 2 of 3 pages of the PDF were read"),)


def test_time_over_the_limit_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_text, "MAX_SECONDS", -1.0)
    with pytest.raises(UnreadableText, match="only 0 of 1 pages"):
        read_text(pdf("One."), "application/pdf")


def test_a_locked_pdf_is_reported() -> None:
    writer = PdfWriter(clone_from=io.BytesIO(pdf("Secret.")))
    writer.encrypt("password", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    with pytest.raises(UnreadableText, match="locked"):
        read_text(buffer.getvalue(), "application/pdf")


def test_a_pdf_decompression_bomb_is_refused() -> None:
    packed = zlib.compress(b" " * 60_000_000, 9)
    whole = pdf("Small.")
    start = whole.index(b"stream", whole.index(b"BT") - 100)
    bomb = (
        whole[: whole.rindex(b"<<", 0, start)]
        + f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode()
        + packed
        + whole[whole.index(b"\nendstream") :]
    )
    with pytest.raises(UnreadableText) as refusal:
        read_text(bomb, "application/pdf")
    assert refusal.value.reason == "pdf"


@pytest.mark.parametrize("cut", range(50, 900, 50))
def test_damaged_pdfs_are_reported_or_read(cut: int) -> None:
    data = pdf("Fine.", "Two.")
    try:
        read_text(data[:cut] + data[cut + 7 :], "application/pdf")
    except UnreadableText as refusal:
        assert refusal.reason == "pdf"


# Bounds --------------------------------------------------------------------------------------


def test_a_note_of_ten_megabytes_is_cut_and_reported() -> None:
    text = read_text(b"Stable. " * 1_300_000, "text/plain")
    assert sum(len(block.text) for block in text.blocks) == MAX_NOTE_CHARS
    assert [reason for reason, _ in text.doubts] == ["too-large"]


def test_the_cut_is_the_same_in_all_formats_and_charsets() -> None:
    words = "Ünwell. " * 40_000
    plain = read_text(words.encode("utf-16"), "text/plain")
    html = read_text(f"<p>{words}</p>".encode(), "text/html")
    for text in (plain, html):
        assert len(text.blocks[0].text) == MAX_NOTE_CHARS
        assert [reason for reason, _ in text.doubts] == ["too-large"]


N = 40_000


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * N,
        "<div><p>x</div>" * N,
        "".join(f"<font a={n}>" for n in range(N)) + "<p>x" * N,
        "<b><p>" * N,
        "<ul>" * 900 + "<li>x" * N,
        "<p " + " ".join(f"a{n}=1" for n in range(N)) + ">x",
        "<p " + " ".join(f"a{n}='<'" for n in range(N)) + ">x",
        "<p a='\">" * N,
        "<select>" + "<option>x</option>" * N,
        "".join(f"<body a{n}=1>" for n in range(N)),
        "<table><tr>" + "<th>x" * N + "<tr>" + "<td>y" * N,
        "<table>" * 900 + "x<tr>" * N,
        "<p>" + "<" * N * 10,
        "<!--" * N,
        "<p>" + "&amp;" * N,
    ],
    ids=range(15),
)
def test_hostile_html_ends_soon(page: str) -> None:
    started = time.process_time()
    try:
        read_text(page.encode(), "text/html")
    except UnreadableText as refusal:
        assert refusal.reason in ("html", "empty")
    assert time.process_time() - started < 10  # minutes without markup_limits.py


def test_deep_xml_is_read_as_far_as_the_parser_goes() -> None:
    document = CDA.replace("three", "<content>" * 100_000)
    assert lines(read_text(document.encode(), "text/xml"))
