"""What is wrong with a combination of settings: each fault with its setting and what to do."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cds_hooks.database import travels_in_clear
from cds_hooks.errors import SettingsError
from cds_hooks.trust import fhir_server_faults, origin_faults

if TYPE_CHECKING:
    from cds_hooks.settings import Settings

_LONGEST_DAYS = 36_500.0  # a century; added to the time of day it stays within the year 9999
_LONGEST_H = 24 * _LONGEST_DAYS
_DURATIONS = {
    "sentence_cache_days": _LONGEST_DAYS,
    "keep_cards_days": _LONGEST_DAYS,
    "explanation_life_h": _LONGEST_H,
    "stale_after_h": _LONGEST_H,
}
# The least that a whole number may be; without a waiting line, who finds no place is 503 at once.
_LEAST = {
    **dict.fromkeys(("read_limit_ms", "max_body_bytes", "max_concurrent_hooks", "workers"), 1),
    **dict.fromkeys(("model_threads", "sentence_cache_entries", "fhir_connections"), 1),
    **dict.fromkeys(("max_waiting_hooks", "max_wait_ms"), 0),
}


def faults_of(settings: Settings) -> Iterator[SettingsError]:
    """Yield all that must not go into service, the gravest first."""
    yield from _transport(settings)
    yield from _callers(settings)
    yield from _behaviour(settings)
    yield from _discovery(settings)
    yield from _times(settings)
    yield from _numbers(settings)


def _transport(settings: Settings) -> Iterator[SettingsError]:
    if settings.production and settings.tls == "none":
        yield SettingsError(
            'profile "production" needs TLS: set tls to "proxy" if a proxy in front of us ends'
            ' it, or to "direct"; for a trial on one machine set profile = "development"',
            setting="tls",
            fix='tls = "proxy"',
        )
    if settings.tls == "direct" and not (settings.tls_certificate and settings.tls_key):
        yield SettingsError(
            'tls "direct" needs tls_certificate and tls_key',
            setting="tls",
            fix="name two PEM files: the certificate with its chain, and its key",
        )
    if settings.tls_client_ca and settings.tls != "direct":
        yield SettingsError(
            'tls_client_ca is for tls = "direct"; a proxy that ends TLS asks for client'
            " certificates itself",
            setting="tls_client_ca",
            fix="leave it out and let the proxy verify clients, as docs/connect.md shows",
        )
    if settings.production and urlsplit(settings.public_base_url).scheme != "https":
        yield SettingsError(
            f"public_base_url {settings.public_base_url}: expected https",
            setting="public_base_url",
            fix="write the address at which EHRs call us, beginning with https://",
        )
    if settings.production and travels_in_clear(settings.database_url):
        yield SettingsError(
            "database_url: PostgreSQL on another machine is reached without verified TLS",
            setting="database_url",
            fix="add ?sslmode=verify-full&sslrootcert=... to the address",
        )


def _callers(settings: Settings) -> Iterator[SettingsError]:
    if settings.production and settings.mode_auth == "open":
        yield SettingsError(
            'mode_auth "open" is for the development profile only',
            setting="mode_auth",
            fix='mode_auth = "jwt", and an [[issuers]] table for each EHR',
        )
    if settings.mode_auth == "jwt" and not settings.issuers:
        yield SettingsError(
            'mode_auth "jwt" needs at least one [[issuers]] table',
            setting="issuers",
            fix='add [[issuers]] with profile = "epic", "oracle-health", "cds-hooks-sandbox" or'
            ' "smart-health-it", or with iss and jku',
        )
    names = [issuer.iss for issuer in settings.issuers]
    for number, name in enumerate(names):
        if name in names[:number]:
            yield SettingsError(
                "issuers: the same iss stands in two tables",
                setting=f"issuers[{number}].iss",
                fix="make one table of the two",
            )
    for number, issuer in enumerate(settings.issuers):
        yield from issuer.faults(f"issuers[{number}]", production=settings.production)
    yield from origin_faults(settings.cors_origins, "cors_origins")
    yield from fhir_server_faults(
        settings.open_fhir_servers,
        "open_fhir_servers",
        "open_fhir_servers",
        production=settings.production,
    )


def _behaviour(settings: Settings) -> Iterator[SettingsError]:
    by_setting = {"thresholds": settings.thresholds}
    for number, one in enumerate(settings.task_thresholds):
        by_setting[f"task_thresholds[{number}]"] = one
        if not one.task:
            yield SettingsError(
                f"task_thresholds[{number}]: task must be set",
                setting=f"task_thresholds[{number}]",
                fix="name a task of the checkpoint's config.json",
            )
    for setting, limits in by_setting.items():
        if not 0 <= limits.card_from <= limits.warning_from <= limits.critical_from <= 1:
            yield SettingsError(
                f"{setting}: expected 0 <= card_from <= warning_from <= critical_from <= 1, got"
                f" {limits.card_from}, {limits.warning_from}, {limits.critical_from}",
                setting=setting,
                fix="put the three probabilities in this order",
            )
    cool_down = settings.cool_down
    if not (0 <= cool_down.hours <= _LONGEST_H and 0 < cool_down.risk_step <= 1):
        yield SettingsError(
            f"cool_down: expected 0 <= hours <= {_LONGEST_H:.0f} and 0 < risk_step <= 1, got"
            f" {cool_down.hours}, {cool_down.risk_step}",
            setting="cool_down",
            fix="hours = 0 shows every card; risk_step is a probability such as 0.10",
        )
    if not 1 <= settings.recommendations.most <= 4:
        yield SettingsError(
            f"recommendations.most: expected 1 to 4, got {settings.recommendations.most}",
            setting="recommendations.most",
            fix="a card is read in seconds; recommendations.show = false switches the steps off",
        )


def _discovery(settings: Settings) -> Iterator[SettingsError]:
    if not settings.hooks:
        yield SettingsError(
            "hooks: expected one hook or more, got an empty list; discovery would name no service",
            setting="hooks",
            fix='leave it out for ["patient-view"]; a kill_switch_file switches the service off',
        )
    if len(set(settings.hooks)) != len(settings.hooks):
        yield SettingsError(
            "hooks: a hook stands twice; discovery may name a service once for each hook",
            setting="hooks",
            fix="name each hook once",
        )
    if settings.quiet_despite_missing:
        yield from _unknown_keys(settings)


def _unknown_keys(settings: Settings) -> Iterator[SettingsError]:
    # Here, because both modules need the settings.
    from cds_hooks.live_extras import EXTRA_KEYS
    from cds_hooks.services import ORDER_KEYS, prefetch_templates

    published = {template.key for template in prefetch_templates(settings)}
    known = sorted(published | ORDER_KEYS | EXTRA_KEYS)
    for number, key in enumerate(settings.quiet_despite_missing):
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            yield SettingsError(
                f"quiet_despite_missing: expected some of {', '.join(known)}, got {key!r}",
                setting=f"quiet_despite_missing[{number}]",
                fix=f"did you mean {close[0]}?" if close else "leave it out",
            )


def _times(settings: Settings) -> Iterator[SettingsError]:
    if not 0 < settings.compute_reserve_ms < settings.deadline_ms <= settings.hard_limit_ms:
        yield SettingsError(
            "expected 0 < compute_reserve_ms < deadline_ms <= hard_limit_ms, got"
            f" {settings.compute_reserve_ms}, {settings.deadline_ms}, {settings.hard_limit_ms}",
            setting="deadline_ms",
            fix="put the three times in this order",
        )
    try:
        ZoneInfo(settings.display_time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        yield SettingsError(
            f"display_time_zone {settings.display_time_zone!r}: no such time zone here",
            setting="display_time_zone",
            fix='write a name of the IANA database, as "Europe/Berlin"; Debian has them in tzdata',
        )


def _numbers(settings: Settings) -> Iterator[SettingsError]:
    for name, least in _LEAST.items():
        value = getattr(settings, name)
        if value < least:
            yield SettingsError(f"{name}: expected {least} or more, got {value}", setting=name)
    for name, longest in _DURATIONS.items():
        value = getattr(settings, name)
        if not 0 < value <= longest:  # NaN fails every comparison
            yield SettingsError(
                f"{name}: expected more than 0 and at most {longest:.0f}, got {value}",
                setting=name,
            )
    if not 0 < settings.drift_from < math.inf:
        yield SettingsError(
            f"drift_from: expected a finite number above 0, got {settings.drift_from}",
            setting="drift_from",
        )
