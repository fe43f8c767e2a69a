"""The practice EHR: a full CDS client with a page for each chart, for testers.

It signs JWTs, does prefetch itself by the service's templates, shows cards as an EHR would, sends
feedback, and lets the whole exchange be inspected. Text on cards is treated as hostile.
"""
