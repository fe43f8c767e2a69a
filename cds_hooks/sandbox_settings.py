"""A settings file that fits a FHIR server, from what was learnt of it.

``meam check-settings`` finds no fault in it. What only the site knows is marked ASK.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cds_hooks.services import published_services
from cds_hooks.settings import Settings

if TYPE_CHECKING:
    from cds_hooks.sandbox_reader import Yield

_SOFTWARE = {"epic": "epic", "cerner": "oracle-health", "oracle health": "oracle-health"}
_HOSTS = {
    "fhir.epic.com": "epic",
    "fhir-open.cerner.com": "oracle-health",
    "fhir-ehr-code.cerner.com": "oracle-health",
    "launch.smarthealthit.org": "cds-hooks-sandbox",
    "r4.smarthealthit.org": "smart-health-it",
}
_NO_DEVICE_PREFETCH = frozenset({"vital-signs", "laboratory"})  # these have keys of their own
_MARGIN = 1.5  # of the slowest fetch: a server under load is slower than one that is tried
_STEP_MS = 50


def suggested_settings(fhir_url: str, yields: Sequence[Yield], facts: Mapping[str, Any]) -> str:
    """Return the file's text; ``facts`` are those of the suite's report."""
    production = urlsplit(fhir_url).scheme == "https"
    software = str(facts.get("software", "")) or "a server that does not name its software"
    lines = [
        f"# Suggested for {fhir_url} ({_one_line(software)}),",
        f"# from {len(yields)} patients on {datetime.now(UTC):%Y-%m-%d}.",
        "# ASK marks what only the site knows.",
        *_service(production=production),
        *_reading(yields, facts),
        "",
        *_issuer(fhir_url, facts),
    ]
    return "\n".join(lines) + "\n"


def profile_for(fhir_url: str, software: str) -> str:
    """Return the EHR profile that fits a server, "" where none is known."""
    host = urlsplit(fhir_url).hostname or ""
    named = (profile for word, profile in _SOFTWARE.items() if word in software.lower())
    return _HOSTS.get(host) or next(named, "")


def _service(*, production: bool) -> list[str]:
    if production:
        return [
            'profile = "production"',
            'tls = "proxy"  # a proxy in front of us ends TLS',
            'public_base_url = "https://cds.hospital.example"  # ASK: where EHRs reach us',
            'mode = "shadow"  # computes and stores, and shows nothing until it was validated',
        ]
    return ['profile = "development"  # the FHIR server speaks plain HTTP']


def _reading(yields: Sequence[Yield], facts: Mapping[str, Any]) -> list[str]:
    lines = []
    listed = [one for one in facts.get("device_categories", ()) if isinstance(one, str)]
    categories = [one for one in listed if one not in _NO_DEVICE_PREFETCH]
    if "device_categories" in facts:
        where = ", ".join(listed) or "no category"
        lines.append(f"device_categories = {_array(categories)}  # devices were seen in {where}")
    slowest_ms = max((one.fetch_ms for one in yields), default=0.0)
    defaults = Settings()
    wished = _rounded(slowest_ms * _MARGIN + defaults.compute_reserve_ms)
    if wished > defaults.deadline_ms:
        deadline = min(wished, defaults.hard_limit_ms)
        lines += [
            f"# The slowest chart took {slowest_ms:.0f} ms to fetch. The specification asks for an",
            "# answer in 500 ms: let the EHR send prefetch, or give the service more time.",
            f"deadline_ms = {deadline}",
        ]
    if never := _never_answered(yields):
        lines += [
            "# No patient had an answer for these; their absence alone shall not make a card.",
            f"quiet_despite_missing = {_array(never)}",
        ]
    return [*lines, *_remarks(facts)]


def _remarks(facts: Mapping[str, Any]) -> list[str]:
    """What the client finds out by itself at each server; no setting is needed for it."""
    remarks = []
    if facts.get("several_categories") is False:
        remarks.append("# Categories are asked for one at a time; the client does so by itself.")
    if facts.get("without_category") is False:
        remarks.append("# Observations need a category or a code; the client sends one always.")
    if isinstance(page := facts.get("page_of_500"), int):
        remarks.append(f"# A page of 500 was asked for, and {page} Observations came.")
    if facts.get("clinical_notes") == 0:
        remarks.append("# No document is filed as clinical-note; documents of any category are")
        remarks.append("# read where we fetch ourselves, and none where only prefetch is allowed.")
    return remarks


def _issuer(fhir_url: str, facts: Mapping[str, Any]) -> list[str]:
    profile = profile_for(fhir_url, str(facts.get("software", "")))
    if profile == "cds-hooks-sandbox":
        return ["[[issuers]]", f'profile = "{profile}"']
    lines = ["[[issuers]]", *([f'profile = "{profile}"'] if profile else [])]
    iss = fhir_url if profile == "epic" else "https://ehr.hospital.example"
    lines += [
        f"iss = {_text(iss)}  # ASK: the iss of the EHR's JWTs",
        'jku = ["https://ehr.hospital.example/jwks.json"]  # ASK: the address of its keys',
        f"fhir_servers = {_array([fhir_url])}",
    ]
    if profile == "epic":
        lines.append('audiences = ["https://cds.hospital.example/cds-services/meam-risk"]  # ASK')
    if profile == "oracle-health":
        lines.append('tenants = ["tenant"]  # ASK: the tenants that may call')
        lines.append('link_hosts = ["cds.hospital.example"]  # ASK: the hosts that were registered')
    return lines


def _never_answered(yields: Sequence[Yield]) -> list[str]:
    """Return the prefetch keys that could be had for no patient at all."""
    read = [one for one in yields if one.record is not None]
    keys = [key for service in published_services(Settings())[:1] for key in sorted(service.keys)]
    return [
        key
        for key in keys
        if read
        and all(
            any(line.source == key and "not available" in line.sentence for line in lines)
            for lines in (one.record.report.incomplete for one in read if one.record)
        )
    ]


def _rounded(milliseconds: float) -> int:
    return _STEP_MS * math.ceil(milliseconds / _STEP_MS)


def _array(values: Sequence[str]) -> str:
    return f"[{', '.join(_text(value) for value in values)}]"


def _text(value: str) -> str:
    """Write a TOML string: JSON's escapes are TOML's."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_one_line(escaped)}"'


def _one_line(value: str) -> str:
    return "".join(character for character in value if character.isprintable())
