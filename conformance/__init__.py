"""Conformance: a black box outside the service. It speaks only HTTP and imports nothing of ours."""
