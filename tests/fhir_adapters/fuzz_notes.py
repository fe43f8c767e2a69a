"""Reads mutated documents and mutated bytes of attachments; nothing may come out but a reading.

Run as ``python -m tests.fhir_adapters.fuzz_notes [documents] [seed]`` from the repository root;
50,000 documents by default. Seeds are documents of every format, and those of the FHIR corpus where
it is beside the repository.
"""

from __future__ import annotations

import base64
import gzip
import sys
import tarfile
import time
from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import Any

from fhir_adapters.notes import NotesReading, attachment_urls, read_notes
from tests.fhir_adapters.assertion_figures import read_labels
from tests.fhir_adapters.corpus import ARCHIVES, CORPUS, resources_of
from tests.fhir_adapters.mutations import mutated
from tests.fhir_adapters.note_world import binary, document, replacing
from tests.fhir_adapters.test_note_text import CDA, RTF, pdf
from tests.fhir_adapters.test_notes import composition

PREDICTION_TIME = datetime(2030, 1, 1, tzinfo=UTC)  # after all seeds, so that they are read
DOCUMENT_TYPES = {"DocumentReference", "DiagnosticReport", "Composition"}
LARGEST_SEED_BYTES = 60_000  # larger samples would only be slow
BATCH = 4
HTML = b"<html><h2>HPI</h2><p>No <b>fever</b>.</p><table><tr><th>A<th>B<tr><td>1<td>2</table>"
FRAGMENTS = (
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1f\x8b", b"%PDF-1.7", rb"{\rtf1", b"<", b">"),
    *(b"<!--", b"]]>", b"<![CDATA[", b"<!DOCTYPE x [", b"&x;", b"&#0;", b"</text>", b"<table><tr>"),
    *(b"no ", b"history of ", b"if ", b"mother ", b"(", b")", b" | ", b"- ", b"\n", b"\r", b": "),
    *("\u202e".encode(), "\u2028".encode(), b"\xed\xa0\x80", b"1999 ", b"1. ", b"'", b'"', b"\\'"),
)


def seed_bytes(*, with_corpus: bool) -> list[bytes]:
    """Return attachments of every format."""
    sentences = "\n".join(label.sentence for label in read_labels("develop"))
    found = [sentences.encode(), HTML, CDA.encode(), RTF, pdf("One page."), gzip.compress(HTML)]
    found += [sentences.encode("utf-16"), b"HPI: cough.\nPLAN:\n1. rest\n- fluids\nBP: 120/80\n"]
    if with_corpus and CORPUS.exists():
        found += [one for one in ccda_samples().values() if len(one) < LARGEST_SEED_BYTES]
        for resource in corpus_documents():
            for one in _attachments(resource):
                data = one.get("data")
                if isinstance(data, str) and len(data) < LARGEST_SEED_BYTES:
                    found.append(base64.b64decode(data))
    return found


def ccda_samples() -> dict[str, bytes]:
    """Return HL7's C-CDA samples by file name."""
    with tarfile.open(CORPUS / "ccda-hl7.tar.gz") as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name: file.read() for name, file in files.items() if file is not None}


def seed_documents(*, with_corpus: bool) -> list[dict[str, Any]]:
    """Return documents of every type."""
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "status": "final",
        "issued": "2026-03-02T08:00:00Z",
        "conclusion": "No effusion.",
    }
    found = [document(), replacing("new", "7"), composition(), report]
    found.append(document("8", {"contentType": "text/plain", "url": "Binary/b"}))
    if with_corpus and CORPUS.exists():
        found += [one for one in corpus_documents() if len(str(one)) < LARGEST_SEED_BYTES]
    return found


def corpus_documents() -> list[dict[str, Any]]:
    """Return all documents of the JSON archives."""
    return [
        resource
        for archive in ARCHIVES
        for resource in resources_of(archive)
        if resource["resourceType"] in DOCUMENT_TYPES
    ]


def _attachments(resource: dict[str, Any]) -> list[dict[str, Any]]:
    contents = [content.get("attachment", {}) for content in resource.get("content", [])]
    return [*contents, *resource.get("presentedForm", [])]


def fuzz(count: int, seed: int, *, with_corpus: bool) -> Counter[str]:
    """Read ``count`` mutated documents in batches; return what became of them."""
    random = Random(seed)
    bytes_seeds = seed_bytes(with_corpus=with_corpus)
    document_seeds = seed_documents(with_corpus=with_corpus)
    outcomes: Counter[str] = Counter()
    for _ in range(count // BATCH):
        state = random.getrandbits(64)
        outcomes.update(_read_batch(bytes_seeds, document_seeds, Random(state), state))
    return outcomes


def _read_batch(
    bytes_seeds: list[bytes], document_seeds: list[dict[str, Any]], random: Random, state: int
) -> Counter[str]:
    documents: list[Any] = [
        mutated(random.choice(document_seeds), random) for _ in range(BATCH // 2)
    ]
    documents += [_with_mutated_bytes(bytes_seeds, random, n) for n in range(BATCH - BATCH // 2)]
    fetched = {**binary("No chest pain."), "id": "b", "meta": {"source": "Binary/b"}}
    binaries = {"Binary/b": mutated(fetched, random)}
    try:
        attachment_urls(documents)
        reading = read_notes(documents, binaries, PREDICTION_TIME)
    except Exception as crash:
        raise AssertionError(f"documents of random state {state} crashed the reader") from crash
    _check(reading)
    outcomes = Counter(line.reason for line in reading.left_out)
    outcomes["read"] = len(reading.notes)
    return outcomes


def _with_mutated_bytes(seeds: list[bytes], random: Random, number: int) -> dict[str, Any]:
    data = bytearray(random.choice(seeds))
    for _ in range(random.randint(0, 6)):
        at = random.randrange(len(data) + 1)
        length = random.choice((0, 0, 1, 3, 50))
        data[at : at + length] = random.choice(FRAGMENTS) * random.choice((1, 1, 2, 40))
    content_type = random.choice(("text/plain", "text/html", "application/xml", "", "text/rtf;x"))
    attachment = {"contentType": content_type, "data": base64.b64encode(data).decode()}
    return document(f"bytes{number}", attachment)


def _check(reading: NotesReading) -> None:
    """Whatever comes out can be stored, is in the past, and is said in sentences."""
    for note in reading.notes:
        assert note.time <= PREDICTION_TIME
        assert note.sentences
        for sentence in note.sentences:
            assert sentence.text == sentence.text.strip() != ""
            assert len(sentence.text) <= 500
            (sentence.text + sentence.section + note.note_type).encode()  # no lone surrogates
            assert not any(
                letter < " " or "\u202a" <= letter <= "\u202e" for letter in sentence.text
            )
    for line in (*reading.left_out, *reading.incomplete):
        assert line.reason
        assert line.sentence
    assert list(reading.notes) == sorted(reading.notes, key=lambda note: (note.time, note.source))


def main() -> None:
    """Fuzz and print what became of the documents."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    started = time.perf_counter()
    outcomes = fuzz(count, seed, with_corpus=True)
    seconds = time.perf_counter() - started
    sys.stdout.write(f"{count} mutated documents in {seconds:.0f} s, no uncaught exception\n")
    for outcome, documents in outcomes.most_common():
        sys.stdout.write(f"{documents:7} {outcome}\n")


if __name__ == "__main__":
    main()
