"""The hash chain: what makes a later change to the log show.

    frame_digest = sha256(salt ‖ frame)
    chain        = sha256(tag ‖ epoch ‖ previous chain ‖ every column ‖ frame_digest)

A column is a four-byte length and that many bytes of UTF-8 text (integers in decimal); NULL is the
length FFFFFFFF alone. The frame enters by its digest only, so erasing frame and salt leaves the
chain standing.
"""

from __future__ import annotations

import hashlib
from typing import Final

from recorder.events import NewEvent

TAG: Final = b"fal-flight-recorder/1\n"
GENESIS: Final = bytes(32)
"""The chain before the first event."""

SALT_BYTES: Final = 16
_NULL: Final = b"\xff\xff\xff\xff"
_SHORT: Final = [size.to_bytes(4, "big") for size in range(2_048)]
"""Lengths of what columns usually hold; looking them up is faster than making them."""


def frame_digest(salt: bytes, frame: bytes) -> bytes:
    """sha256 over salt and frame."""
    return hashlib.sha256(salt + frame).digest()


def link(epoch: str, previous: bytes, position: int, event: NewEvent, digest: bytes) -> bytes:
    """The chain value of an event that follows `previous` at `position`."""
    return hashlib.sha256(
        b"".join(
            (
                TAG,
                _column(epoch),
                previous,
                _column(str(position)),
                _column(event.request_id),
                _column(str(event.seq)),
                _column(event.type),
                _column(event.node_id),
                _column(event.app_id),
                _column(event.step_request_id),
                _column(str(event.received_at)),
                _column(str(event.elapsed_us)),
                digest,
            )
        )
    ).digest()


def _column(value: str | None) -> bytes:
    if value is None:
        return _NULL
    encoded = value.encode()
    size = len(encoded)
    return (_SHORT[size] if size < len(_SHORT) else size.to_bytes(4, "big")) + encoded
