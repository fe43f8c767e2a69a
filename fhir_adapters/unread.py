"""Says of each portion of a chart that came, and of which nothing could be read.

A risk without the laboratory is not a low risk. So where a search brought resources, none of them
reached the record, and at least one could not be read, the record is incomplete. What was read and
understood, and gives the model nothing, is no gap: a dipstick under a LOINC code of its own, a
cancelled result, a value that the chart itself says is missing, a picture, a reading of a sensor
that was off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fhir_adapters.chart import Portion, Resource
from fhir_adapters.devices import is_device_observation
from fhir_adapters.documents import attachments_of
from fhir_adapters.elements import text_of
from fhir_adapters.reading_log import ReadingLog
from model.record import DeviceSeries, Measurement, Note, ReportLine

# Reasons of being left out that leave nothing open. Any other, also one that is new, means that
# something could not be read. "status" is not among them: a resource may lack it. Codes that are
# no variable have no line of their own, see ReadingLog.unknown_codes.
_UNDERSTOOD = frozenset(
    {
        "absent",  # the chart itself says that there is no value
        "artefact",  # no signal of the patient
        "duplicate",  # the same was read elsewhere
        "empty",  # a document without text
        "focus",  # about somebody else
        "quality",  # the device says that it did not measure
        "superseded",  # its successor counts
        "version",  # a later version of it counts
    }
)
_NO_RESULT = frozenset({"registered", "cancelled", "entered-in-error", "superseded", "deprecated"})
_MEDIA = ("image/", "audio/", "video/", "model/", "application/dicom")


def used_sources(
    measurements: Iterable[Measurement], notes: Iterable[Note], series: Iterable[DeviceSeries]
) -> set[str]:
    """Return the resources that the items of a record came from."""
    used = {one.source for one in measurements}
    used.update(note.source for note in notes)
    used.update(source for one in series for source in one.sources)
    return {_holder(source) for source in used}


def unread_portions(
    portions: Iterable[Portion], used: set[str], log: ReadingLog
) -> Iterator[ReportLine]:
    """Yield a line for each portion of which nothing could be read. ``used``: of used_sources.

    What devices sent stands for itself: a glucose sensor does not make up for a laboratory.
    """
    unread = _unread(log)
    for portion in portions if unread else ():
        if not unread.isdisjoint(map(_source, portion.resources)):
            for what, unused in _unused(portion, used):
                failed = [one for one in unused if _source(one) in unread]
                count = sum(not _gives_nothing(one) for one in failed)
                if count:
                    yield _line(portion, what, len(unused), count)


def _unused(portion: Portion, used: set[str]) -> Iterator[tuple[str, Sequence[Resource]]]:
    """Yield what reached no record: the whole portion, or all that is charted or from devices."""
    if used.isdisjoint(map(_source, portion.resources)):
        yield "", portion.resources
        return
    for word, by_device in ((" charted", False), (" device", True)):
        alike = [one for one in portion.resources if is_device_observation(one) == by_device]
        if used.isdisjoint(map(_source, alike)):
            yield word, alike


def _line(portion: Portion, what: str, came: int, unread: int) -> ReportLine:
    if came == 1:
        said = f"the only{what} item that came could not be read; the estimate does without it"
    elif unread == came:
        said = f"none of the {came}{what} items could be read; the estimate does without them"
    else:
        said = (
            f"none of the {came}{what} items could be used, {unread} because they could not be"
            " read; the estimate does without them"
        )
    return ReportLine(portion.source, "unread", f"{portion.display}: {said}")


def _unread(log: ReadingLog) -> set[str]:
    lines = (line.source for line in log.left_out if line.reason not in _UNDERSTOOD)
    return {_holder(source) for source in (*lines, *log.unknown_codes)}


def _gives_nothing(resource: Resource) -> bool:
    """Whether there is no result or text in it for anybody to read, whatever else is wrong."""
    statuses = (text_of(resource.get(name)).casefold() for name in ("status", "docStatus"))
    if not _NO_RESULT.isdisjoint(statuses):
        return True
    kinds = [text_of(one.get("contentType")) for one in attachments_of(resource)]
    return bool(kinds) and all(kind.startswith(_MEDIA) for kind in kinds)


def _source(resource: Resource) -> str:
    """Return the reference of a resource; those of a type that have no id count as one."""
    identity = resource.get("id")
    named = f"/{identity}" if isinstance(identity, str) and identity else "#"
    return f"{resource.get('resourceType')}{named}"


def _holder(source: str) -> str:
    """Return the resource of a source, as _source does: "Observation/1" of "Observation/1#part"."""
    if "#" not in source:
        return source
    holder = source.partition("#")[0]
    return holder if "/" in holder else f"{holder}#"
