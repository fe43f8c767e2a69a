"""Tries a FHIR R4 server for what a decision support service needs of it."""
