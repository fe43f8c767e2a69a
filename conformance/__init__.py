"""Conformance: a black box outside the service. It speaks only HTTP and imports nothing of ours."""

VERSION = "1.1.1"  # of the suite: a case more or less is a new minor version
