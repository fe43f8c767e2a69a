"""Prefetch as a CDS client does it: fill the service's templates and send along what they give."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from conformance.ehr.http import CallFailed, get_json

_TOKEN = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_DAY = re.compile(r"today\(\)(?:\s*([+-])\s*(\d+)\s*days?)?")
_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Prefetched:
    """What was prefetched, and what could not be."""

    data: Mapping[str, Any]
    queries: Mapping[str, str]  # by key, as they were sent
    problems: tuple[str, ...] = ()  # sentences


def fill(template: str, context: Mapping[str, str], today: date) -> str | None:
    """Return the template with all tokens replaced; None if one of them has no value."""
    values = {token: _value_of(token, context, today) for token in _TOKEN.findall(template)}
    if None in values.values():
        return None
    return _TOKEN.sub(lambda found: values[found[1]] or "", template)


def prefetch(
    templates: Mapping[str, object], context: Mapping[str, str], fhir_server: str, token: str
) -> Prefetched:
    """Run all queries at once. A key whose query fails is left out, as the specification allows."""
    today = datetime.now(UTC).date()
    texts = {key: text for key, text in templates.items() if isinstance(text, str)}
    filled = {key: fill(text, context, today) for key, text in texts.items()}
    queries = {key: query for key, query in filled.items() if query is not None}
    problems = [f"{key}: the context has no value for a token." for key in filled.keys() - queries]
    problems += [f"{key}: the template is not a string." for key in templates.keys() - texts]
    data = {}
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        running = {
            key: pool.submit(get_json, f"{fhir_server}/{query}", token)
            for key, query in queries.items()
        }
        for key, answer in running.items():
            try:
                data[key] = answer.result()
            except CallFailed as exc:
                problems.append(f"{key}: {exc}")
    return Prefetched(data, queries, tuple(problems))


def _value_of(token: str, context: Mapping[str, str], today: date) -> str | None:
    if token.startswith("context."):
        return context.get(token.removeprefix("context."))
    day = _DAY.fullmatch(token)
    if day:
        days = int(day[2] or 0) * (-1 if day[1] == "-" else 1)
        return (today + timedelta(days=days)).isoformat()
    resource_type, _, resource_id = context.get("userId", "").partition("/")
    return resource_id if token == f"user{resource_type}Id" else None
