"""The configuration: one frozen dataclass, a reason beside each default.

This is the only module that reads the environment. ``MEAM_CONFIG`` names a TOML file whose keys
are the fields below; the variables of ``_FROM_ENVIRONMENT`` win over the file, so that secrets
and addresses need not stand in it.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cds_hooks.ehr_profiles import with_profiles
from cds_hooks.errors import SettingsError
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.settings_faults import faults_of
from cds_hooks.toml_reader import read_table
from cds_hooks.trust import TrustedIssuer

_PACKAGED_CHECKPOINT = Path(__file__).parent.parent / "model" / "checkpoints" / "meam-risk"
_FROM_ENVIRONMENT = {
    "MEAM_DATABASE_URL": "database_url",
    "MEAM_PUBLIC_BASE_URL": "public_base_url",
    "MEAM_CHECKPOINT": "checkpoint",
    "MEAM_KEY_FILE": "key_file",
}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which probability on a card is shown, and with which indicator."""

    card_from: float = 0.15  # about the base rate of the training data
    warning_from: float = 0.30  # about twice the base rate
    critical_from: float = 0.60


@dataclass(frozen=True, slots=True)
class TaskThresholds(Thresholds):
    """The thresholds of one task, where a model has several: their base rates may differ much."""

    task: str = ""


@dataclass(frozen=True, slots=True)
class CoolDown:
    """When a finding that a user has seen for a patient is not shown again."""

    hours: float = 0.0  # 0: every card is shown, and the same request gives the same answer
    risk_step: float = 0.10  # a risk that rose by this much since is a new finding
    repeat: Literal["nothing", "short"] = "nothing"  # "short": an info card with the figure only


@dataclass(frozen=True, slots=True)
class Recommendations:
    """Next steps on a card, see docs/next-steps.md."""

    show: bool = True
    folder: Path | None = None  # a site's own PlanDefinitions and ActivityDefinitions
    disabled: tuple[str, ...] = ()  # ids of steps that this site does not offer
    most: int = 3  # a card is read in seconds
    show_from: Literal["info", "warning", "critical"] = "warning"
    file_risk_assessment: bool = False  # one more suggestion: keep the estimate in the chart


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be set. The defaults are those of a hospital's production system."""

    profile: Literal["production", "development"] = "production"
    mode_auth: Literal["jwt", "open"] = "jwt"  # "open" asks nobody who they are
    mode: Literal["active", "shadow"] = "active"  # shadow computes and stores, shows nothing
    kill_switch_file: Path | None = None  # read at each hook; empty: off; or a mode by service
    tls: Literal["none", "proxy", "direct"] = "none"  # who ends TLS; production needs one
    tls_certificate: Path | None = None  # PEM files, for tls = "direct"
    tls_key: Path | None = None
    tls_client_ca: Path | None = None  # with it, only clients with a certificate of this CA
    bind: str = "127.0.0.1:5000"  # only this machine, unless told otherwise

    public_base_url: str = (
        "http://127.0.0.1:5000"  # as clients see us; JWT audiences are built on it
    )
    url_prefix: str = ""  # path in front of /cds-services, if a proxy passes it on
    cors_origins: tuple[str, ...] = ()  # browser clients, exact origins
    hooks: tuple[Literal["patient-view", "encounter-start", "encounter-discharge"], ...] = (
        "patient-view",
    )
    prefetch_dialect: Literal["2.0", "3.0"] = "2.0"  # 3.0 bounds searches by today()
    device_categories: tuple[str, ...] = ("activity", "procedure")  # beside vital-signs
    protect_discovery: bool = False  # discovery tells nothing that is secret

    checkpoint: Path = _PACKAGED_CHECKPOINT
    encoder: Path | None = None  # sentence encoder; None: the checkpoint's own, or the installed
    encoder_variant: Literal["", "int8"] = ""  # int8: smaller, and not what the model learnt with
    model_threads: int = 2  # of one prediction; 1 on a machine with one core
    sentence_cache: Path | None = (
        None  # vectors of notes on disk: derived from patients, so asked for
    )
    sentence_cache_entries: int = 50_000  # 85 MB; the notes of some wards
    sentence_cache_days: float = 7.0  # about a stay; meam purge deletes what was not used since
    explained_task: str = ""  # of a checkpoint with several tasks; "": its first
    concept_map: Path | None = None  # FHIR ConceptMap from the site's own codes to LOINC
    database_url: str = "sqlite:///var/meam.sqlite"
    key_file: Path | None = None  # one Fernet key a line, the current one first
    keys: tuple[str, ...] = field(default=(), repr=False)
    signing_keys: Path | None = None  # folder of our keys as a client of FHIR servers

    deadline_ms: int = 450  # the specification asks for an answer in about 500 ms
    compute_reserve_ms: int = 120  # of the deadline, kept for the model; the rest is for fetching
    hard_limit_ms: int = 10_000  # later than this the answer is 504: nobody is waiting any more
    max_body_bytes: int = 20_000_000  # 10,000 Observations are about 12 MB
    max_concurrent_hooks: int = 4  # two cores; more at once only makes all of them late
    max_waiting_hooks: int = 32
    max_wait_ms: int = 1_500  # for a place, on top of the deadline; then 503
    read_limit_ms: int = 10_000  # for a request to arrive whole; slower clients are cut off
    workers: int = 1  # processes; each holds the model, about 200 MB, and max_concurrent_hooks
    fhir_connections: int = 16

    thresholds: Thresholds = field(default_factory=Thresholds)
    task_thresholds: tuple[TaskThresholds, ...] = ()  # of tasks that need others
    cool_down: CoolDown = field(default_factory=CoolDown)
    recommendations: Recommendations = field(default_factory=Recommendations)
    show_low_risk: bool = False  # a card for low risk too
    quiet_when_uncertain: bool = False  # no card below card_from though the model is not sure
    quiet_despite_warnings: bool = False  # no card for low risk though the model warns
    quiet_despite_missing: tuple[str, ...] = ()  # prefetch keys that this site never answers
    stale_after_h: float = 24.0  # older values are marked on the card
    display_time_zone: str = "UTC"
    source_label: str = "MEAM risk (research)"
    drift_from: float = 0.25  # stability index of an input that is worth a line in the log
    explanation_life_h: float = 24.0
    keep_cards_days: float = 400.0  # a year of feedback reports, and some
    audit_patient_ids: Literal["fingerprint", "plain"] = "fingerprint"

    open_fhir_servers: tuple[str, ...] = ()  # that open mode may call
    issuers: tuple[TrustedIssuer, ...] = ()

    @property
    def production(self) -> bool:
        """True unless the development profile was asked for."""
        return self.profile == "production"

    def service_url(self, service_id: str) -> str:
        """The exact address of a service, as a client's JWT has to name it."""
        return f"{self.public_base_url.rstrip('/')}/cds-services/{service_id}"

    def thresholds_of(self, task: str) -> Thresholds:
        """The thresholds of a task: its own, or those of all."""
        own = (one for one in self.task_thresholds if one.task == task)
        return next(own, self.thresholds)

    @property
    def discovery_url(self) -> str:
        """The exact address of discovery."""
        return f"{self.public_base_url.rstrip('/')}/cds-services"

    def key_ring(self) -> KeyRing:
        """Return the keys. Raises SettingsError where none are set or the file is not safe."""
        if self.keys:
            return KeyRing(self.keys)
        if self.key_file is None:
            raise SettingsError("no keys: set MEAM_KEYS, or key_file to a file with a Fernet key")
        return KeyRing(_keys_of_file(self.key_file, create=not self.production))

    def check(self) -> None:
        """Raise SettingsError for a combination that must not go into service."""
        for fault in faults_of(self):
            raise fault


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read file and environment. Raises SettingsError with the name of what is wrong."""
    values = os.environ if environ is None else environ
    table: dict[str, Any] = {}
    if "MEAM_CONFIG" in values:
        table = read_toml(Path(values["MEAM_CONFIG"]))
    table.update({name: values[key] for key, name in _FROM_ENVIRONMENT.items() if key in values})
    if "MEAM_KEYS" in values:
        table["keys"] = [key.strip() for key in values["MEAM_KEYS"].split(",") if key.strip()]
    settings = read_table(Settings, with_profiles(table), "")
    settings.check()
    return settings


def development_settings(folder: Path, **changes: Any) -> Settings:
    """Settings for a trial on one machine: open, database and key file inside ``folder``."""
    settings = Settings(
        profile="development",
        mode_auth="open",
        database_url=f"sqlite:///{folder / 'meam.sqlite'}",
        key_file=folder / "keys",
    )
    settings = dataclasses.replace(settings, **changes)
    settings.check()
    return settings


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a file. Raises SettingsError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read: {exc.strerror}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(f"{path}: not TOML: {exc}") from exc


def _keys_of_file(path: Path, *, create: bool) -> list[str]:
    if create and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(new_key() + "\n", encoding="ascii")
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError(f"{path}: others than the owner may read the keys; chmod 600")
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as exc:
        raise SettingsError(f"{path}: the key file cannot be read: {exc.strerror}") from exc
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
