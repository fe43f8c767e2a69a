"""Which documents give way to documents that replace them.

A document gives way to one that replaces it, and to that one's replacement, if the text of the
successor could be read and was known at prediction time. Otherwise the older text is the best that
the chart offers and is used:

* the successor was written after prediction time: the older text was the valid one, nothing is
  missing;
* the successor is not in the chart, was withdrawn or cannot be read: the older text is used and
  reported, because the chart holds a newer wording that was not seen;
* documents that replace each other in a circle are all used and reported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhir_adapters.documents import Document
from model.record import ReportLine


@dataclass(frozen=True, slots=True)
class Succession:
    """Positions of the documents that give way, and lines about them and about the others."""

    replaced: Mapping[int, ReportLine]
    outdated: Mapping[int, ReportLine]  # used, though the chart speaks of a newer text


def succession(
    documents: Sequence[Document],
    readable: frozenset[int],
    later: Sequence[Document],
    aliases: Mapping[str, str],
) -> Succession:
    """Judge the documents; ``readable`` are positions, ``later`` came after prediction time.

    ``aliases`` says which reference the ``urn:uuid`` of a Bundle stood for.
    """
    successors = _direct_successors(documents, aliases)
    replaced_later = {aliases.get(name, name) for document in later for name in document.replaces}
    replaced: dict[int, ReportLine] = {}
    outdated: dict[int, ReportLine] = {}
    for position, document in enumerate(documents):
        source = document.source
        reachable = _reachable(position, successors)
        newer = sorted(reachable & readable)
        if position in reachable:
            sentence = f"{source}: documents replace each other in a circle; all were used"
            outdated[position] = ReportLine(source, "superseded", sentence)
        elif newer:
            sentence = f"{source}: gave way to {documents[newer[0]].source}"
            replaced[position] = ReportLine(source, "superseded", sentence)
        elif reachable:
            name = documents[min(reachable)].source
            sentence = f"{source}: {name} replaces it, but cannot be read; the older text is used"
            outdated[position] = ReportLine(source, "superseded", sentence)
        elif document.outdated and document.names.isdisjoint(replaced_later):
            sentence = f"{source}: is superseded, but no newer text was found; it is used"
            outdated[position] = ReportLine(source, "superseded", sentence)
    return Succession(replaced, outdated)


def _direct_successors(
    documents: Sequence[Document], aliases: Mapping[str, str]
) -> dict[int, set[int]]:
    positions: dict[str, set[int]] = defaultdict(set)
    for position, document in enumerate(documents):
        for name in document.names:
            positions[name].add(position)
    successors: dict[int, set[int]] = defaultdict(set)
    for position, document in enumerate(documents):
        for name in document.replaces:
            for older in positions.get(aliases.get(name, name), ()):
                if older != position:
                    successors[older].add(position)
    return successors


def _reachable(start: int, successors: Mapping[int, set[int]]) -> set[int]:
    """Return all that replace ``start``, directly or not; ``start`` itself only in a circle."""
    reached: set[int] = set()
    waiting = list(successors.get(start, ()))
    while waiting:
        position = waiting.pop()
        if position not in reached:
            reached.add(position)
            waiting.extend(successors.get(position, ()))
    return reached
