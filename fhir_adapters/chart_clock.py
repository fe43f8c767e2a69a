"""The moment of a live prediction, by the clock of the chart.

What a request holds existed when it arrived. A result that is timed a little later than that was
timed by a clock ahead of ours, and is no result of the future: the prediction is as of then. The
record still holds nothing later than its prediction time, and values keep their times and order.
Only for live requests: a chart that is read after the stay does hold what came later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from fhir_adapters.chart import Chart, Resource
from fhir_adapters.documents import DOCUMENT_TYPES, attachments_of
from fhir_adapters.elements import dict_of
from fhir_adapters.times import EARLIEST_ZONE, LATEST_ZONE, parse_moment

# Kerberos and most readers of JWTs accept clocks that differ by five minutes (RFC 4120, 8.2):
# beyond that nobody can sign in, so that it is noticed. A later time is a mistake or a plan.
CLOCK_DIFFERENCE = timedelta(minutes=5)
_TIMES = ("effectiveDateTime", "effectiveInstant", "issued", "date")


def moment_by_chart(chart: Chart, arrived_at: datetime) -> datetime:
    """Return when a request arrived by the chart's clock: ``arrived_at``, or up to 5 min later."""
    latest = arrived_at + CLOCK_DIFFERENCE
    days = _local_days(arrived_at, latest)
    texts = {text for text in _times_of(chart.resources) if text[:10] in days}
    moments = (parse_moment(text) for text in texts)
    ahead = [one.time for one in moments if one and one.exact and arrived_at < one.time <= latest]
    return max(ahead, default=arrived_at)


def _local_days(start: datetime, end: datetime) -> frozenset[str]:
    """The dates at which the instants between may be written anywhere; all else is not parsed."""
    first = (start.astimezone(UTC) - LATEST_ZONE).date()
    last = (end.astimezone(UTC) + EARLIEST_ZONE).date()
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return frozenset(day.isoformat() for day in days)


def _times_of(resources: Iterable[Resource]) -> Iterator[str]:
    for resource in resources:
        kind = resource.get("resourceType")
        if kind == "Observation" or kind in DOCUMENT_TYPES:
            for name in _TIMES:
                text = resource.get(name)
                if type(text) is str:
                    yield text
            if "effectivePeriod" in resource or kind != "Observation":
                yield from _nested(resource)


def _nested(resource: Resource) -> Iterator[str]:
    period = dict_of(resource.get("effectivePeriod"))
    texts = [period.get("end") or period.get("start")]
    texts += [one.get("creation") for one in attachments_of(resource)]
    yield from (text for text in texts if isinstance(text, str))
