"""Signatures of webhooks, as fal makes them, and the public key with which they are checked."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

from nacl.signing import SigningKey

from emulator.settings import WebhookFaults


class Signer:
    """Signs with one Ed25519 key.

    Args:
        user_id: The account that every signature names.
        seed: 32 bytes the key is made from; without them it is a new one.
    """

    def __init__(self, user_id: str, seed: bytes | None = None) -> None:
        self._user_id = user_id
        self._key = SigningKey.generate() if seed is None else SigningKey(seed)

    def headers(self, request_id: str, body: bytes, faults: WebhookFaults) -> dict[str, str]:
        """The four headers of a delivery that leaves now."""
        timestamp = str(int(time.time() - faults.age_s))
        signed = b"something else" if faults.bad_signature else body
        digest = hashlib.sha256(signed).hexdigest()
        message = "\n".join((request_id, self._user_id, timestamp, digest))
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": self._user_id,
            "X-Fal-Webhook-Timestamp": timestamp,
            "X-Fal-Webhook-Signature": self._key.sign(message.encode()).signature.hex(),
        }

    def key_set(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set."""
        public = bytes(self._key.verify_key)
        key = {
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": "EdDSA",
            "kid": hashlib.sha256(public).hexdigest()[:16],
            "x": base64.urlsafe_b64encode(public).rstrip(b"=").decode(),
        }
        return {"keys": [key]}
