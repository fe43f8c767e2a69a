"""Signed, expiring addresses of explanation pages. The address holds no patient data.

``/explanations/<token>``: the token is the card's uuid and the time of signing, with a signature.
Whoever holds the address can read the page until it expires, so cards go to clinicians only and
the life is short by default (``Settings.explanation_life_h``).
"""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

from itsdangerous import BadSignature, SignatureExpired, TimestampSigner

from cds_hooks.errors import LinkExpired, LinkInvalid
from cds_hooks.keys import KeyRing

EXPLANATION_PATH = "/explanations/"
_TOKEN = re.compile(r"[0-9a-f-]{36}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_PURPOSE = "explanation link"


class ExplanationLinks:
    """Makes and reads the addresses."""

    def __init__(self, public_base_url: str, keys: KeyRing, life: timedelta) -> None:
        self._base = public_base_url.rstrip("/") + EXPLANATION_PATH
        self._signer = TimestampSigner(keys.signing_secrets(_PURPOSE), salt=_PURPOSE.encode())
        self._life_s = life.total_seconds()

    def url(self, card_uuid: str) -> str:
        """Absolute address of the page of this card, valid from now on for the set life."""
        return self._base + self.token(card_uuid)

    def token(self, card_uuid: str) -> str:
        """The signed part of the address alone."""
        return self._signer.sign(card_uuid).decode("ascii")

    def card_uuid(self, token: str) -> str:
        """Return the card that the token was made for. Raises LinkInvalid, LinkExpired."""
        if not _TOKEN.fullmatch(token):  # the decoder would pass over foreign characters
            raise LinkInvalid("this is not a link to an explanation that we made")
        try:
            signed = self._signer.unsign(token, max_age=int(self._life_s)).decode("ascii")
            return str(uuid.UUID(signed))
        except SignatureExpired as exc:
            raise LinkExpired("this link to an explanation has expired") from exc
        except (BadSignature, ValueError) as exc:
            raise LinkInvalid("this is not a link to an explanation that we made") from exc
