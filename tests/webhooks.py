"""Webhooks as fal sends them, signed by the emulator's signer."""

from __future__ import annotations

import json
import secrets
from typing import Any

from nacl.signing import SigningKey

from emulator.queue.signing import Signer
from emulator.settings import WebhookFaults

USER_ID = "github|1234"


class FalSigner:
    """Signs with a key of its own."""

    def __init__(self) -> None:
        seed = secrets.token_bytes(32)
        self._key = SigningKey(seed)
        self._signer = Signer(USER_ID, seed)

    @property
    def jwk(self) -> dict[str, str]:
        """The public key as fal publishes it."""
        [key] = self._signer.key_set()["keys"]
        return dict(key)

    def sign(self, message: bytes) -> bytes:
        """The signature of any message."""
        return self._key.sign(message).signature

    def headers(self, body: bytes, request_id: str = "run-1", **faults: Any) -> dict[str, str]:
        """The headers of a webhook that leaves now, names in lower case."""
        signed = self._signer.headers(request_id, body, WebhookFaults(**faults))
        named = {name.lower(): value for name, value in signed.items()}
        return {"content-type": "application/json", **named}


def key_set(*signers: FalSigner) -> bytes:
    """The keys of these signers, as published."""
    return json.dumps({"keys": [signer.jwk for signer in signers]}).encode()


def report(request_id: str = "run-1", **fields: Any) -> bytes:
    """The body of a webhook, of a run that went well unless told otherwise."""
    told: dict[str, Any] = {
        "request_id": request_id,
        "gateway_request_id": request_id,
        "status": "OK",
        "payload": {"images": []},
        "error": None,
        "payload_error": None,
    }
    return json.dumps(told | fields).encode()
