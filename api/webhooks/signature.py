"""What fal signs of a webhook, and whether it is recent.

By fal's documentation: Ed25519, in hex, over four lines: the request's id, the account's, the time (all
three in headers), and the sha256 of the body in hex. Checking it takes public keys and no secret, so how
long it takes tells nobody anything.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from api.errors import WebhookRefused

CLOCK_TOLERANCE_S: Final = 300
"""How far a webhook's time may be from ours, either way; fal's own figure."""

_PREFIX: Final = "x-fal-webhook-"
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_SIGNATURE: Final = re.compile(r"[0-9A-Fa-f]{128}")


class Signed(msgspec.Struct, frozen=True):
    """The four headers of a webhook, not yet checked against its body.

    Attributes:
        request_id: The run it reports on.
        user_id: The fal account the run belongs to.
        timestamp: When it was signed, in seconds since 1970, as written.
        signature: 64 bytes.
    """

    request_id: str
    user_id: str
    timestamp: str
    signature: bytes

    @classmethod
    def of(cls, headers: Mapping[str, str], now_s: float) -> Signed:
        """Reads the headers; looks them up by names in lower case.

        Raises:
            WebhookRefused: One is missing, makes no sense, or tells a time too far from now.
        """
        signed = cls(
            request_id=_header(headers, "request-id"),
            user_id=_header(headers, "user-id"),
            timestamp=_header(headers, "timestamp", _TIMESTAMP),
            signature=bytes.fromhex(_header(headers, "signature", _SIGNATURE)),
        )
        if abs(now_s - int(signed.timestamp)) > CLOCK_TOLERANCE_S:
            raise WebhookRefused(f"it was signed more than {CLOCK_TOLERANCE_S} s from now")
        return signed

    def message(self, body: bytes) -> bytes:
        """What the signature is made over."""
        digest = hashlib.sha256(body).hexdigest()
        text = "\n".join((self.request_id, self.user_id, self.timestamp, digest))
        return text.encode("latin-1")  # as header values are decoded


def _header(headers: Mapping[str, str], name: str, form: re.Pattern[str] | None = None) -> str:
    value = headers.get(f"{_PREFIX}{name}", "")
    if not value or (form is not None and form.fullmatch(value) is None):
        raise WebhookRefused(f"{_PREFIX}{name} is missing or makes no sense")
    return value
