"""The service report: what the store tells about a period, as one page or one JSON object.

``reading`` takes answered hooks from the store, ``usage``, ``uptake``, ``inputs`` and ``accuracy``
make parts of one document from them, ``report`` puts it together, ``page`` draws it. Small cells
are hidden before the document is made, so neither page nor JSON can hold one.
"""
