"""The small files of an exported folder. Braces are filled in by edge_export.py."""

from __future__ import annotations

from typing import Final

STARTER: Final = """#!/usr/bin/env python3
import os
import sys

launch = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch.py")
command = [name for name in ("{command}",) if name]
os.execv(sys.executable, [sys.executable, "-I", "-S", launch, *command, *sys.argv[1:]])
"""

SETTINGS: Final = """# Settings of the service, for a machine with one core and 512 MB.
# Fill in what names a hospital; './meam check-settings settings.toml' says what is still missing.
# All settings stand in lib/cds_hooks/settings.py with their defaults and reasons.

profile = "production"
tls = "proxy"  # a proxy in front of us ends TLS 1.2 or later
public_base_url = "https://cds.hospital.example"
bind = "127.0.0.1:5000"
database_url = "sqlite:////var/lib/meam/meam.sqlite"
key_file = "/etc/meam/keys"  # ./meam keys make --out /etc/meam/keys
mode = "shadow"  # "active" after silent validation
{variant}
model_threads = 1
max_concurrent_hooks = 1  # a second one at once would only make both late
max_waiting_hooks = 8
# Vectors of note sentences, encrypted: after a restart, notes need not be read anew.
# sentence_cache = "/var/lib/meam/sentences.sqlite"

# [[issuers]]
# profile = "epic"
# iss = "https://epic.hospital.example/api/FHIR/R4"
# jku = ["https://epic.hospital.example/jwks"]
# audiences = ["https://cds.hospital.example/cds-services/meam-risk"]
# fhir_servers = ["https://epic.hospital.example/api/FHIR/R4"]
"""

TRIAL: Final = """# To try it out on this machine only: anybody may call, and nobody else can.
# ./serve --config trial.toml   keeps its data in the folder meam-trial where it is started.

profile = "development"
mode_auth = "open"
bind = "127.0.0.1:5000"
public_base_url = "http://127.0.0.1:5000"
database_url = "sqlite:///meam-trial/meam.sqlite"
key_file = "meam-trial/keys"
show_low_risk = true
{variant}
model_threads = 1
max_concurrent_hooks = 1
max_waiting_hooks = 8
"""

README: Final = """Clinical decision support over CDS Hooks and FHIR, with explanations.
Research software: not a medical device, not validated on patients.

This folder runs by itself: it needs {python} on {system} {machine} and nothing else, no network
and no installation. Copy it whole. It may lie on a disk that cannot be written.

  ./self-test                     is every file whole, and are predictions and reasons here the
                                  same as where it was exported?
  ./serve --config trial.toml     try it out on http://127.0.0.1:5000, on this machine only
  ./serve                         run the service with settings.toml
  ./meam --help                   keys, purge, verify-audit and other commands

Where python3 is another version, name the right one: python3.11 self-test
"""
