"""Webhooks signed as fal signs them."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

from nacl.signing import SigningKey

USER_ID = "github|1234"


class FalSigner:
    """Signs with a key of its own."""

    def __init__(self) -> None:
        self._key = SigningKey.generate()

    @property
    def jwk(self) -> dict[str, str]:
        """The public key as fal publishes it."""
        public = base64.urlsafe_b64encode(bytes(self._key.verify_key)).rstrip(b"=")
        return {"kty": "OKP", "crv": "Ed25519", "x": public.decode()}

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message).signature

    def headers(
        self, body: bytes, request_id: str = "run-1", *, age_s: float = 0.0
    ) -> dict[str, str]:
        """The headers of a webhook signed so long ago."""
        timestamp = str(int(time.time() - age_s))
        digest = hashlib.sha256(body).hexdigest()
        message = "\n".join((request_id, USER_ID, timestamp, digest))
        return {
            "content-type": "application/json",
            "x-fal-webhook-request-id": request_id,
            "x-fal-webhook-user-id": USER_ID,
            "x-fal-webhook-timestamp": timestamp,
            "x-fal-webhook-signature": self.sign(message.encode()).hex(),
        }


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
