"""The hash chain: what makes a later change to the log show.

    frame_digest = sha256(salt ‖ frame)
    chain        = sha256(tag ‖ epoch ‖ previous chain ‖ every column ‖ frame_digest)

A column is a four-byte length and that many bytes of UTF-8 text (integers in decimal); NULL is the
length FFFFFFFF alone. The frame enters by its digest only, so erasing frame and salt leaves the
chain standing.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from recorder.events import NewEvent

TAG: Final = b"fal-flight-recorder/1\n"
GENESIS: Final = bytes(32)
"""The chain before the first event."""

SALT_BYTES: Final = 16
_NULL: Final = b"\xff\xff\xff\xff"
_SIZES: Final = [size.to_bytes(4, "big") for size in range(32)]
"""Lengths of integers in decimal; looking them up is faster than making them."""


def frame_digest(salt: bytes, frame: bytes) -> bytes:
    """sha256 over salt and frame."""
    return hashlib.sha256(salt + frame).digest()


def link(epoch: str, previous: bytes, position: int, event: NewEvent, digest: bytes) -> bytes:
    """The chain value of an event that follows `previous` at `position`.

    Raises:
        TypeError, AttributeError, IndexError: A column holds what no event can have there.
    """
    at, seq = str(position).encode(), str(event.seq).encode()
    received, elapsed = str(event.received_at).encode(), str(event.elapsed_us).encode()
    return hashlib.sha256(
        b"".join(
            (
                _start(epoch),
                previous,
                _SIZES[len(at)],
                at,
                _column(event.request_id),
                _SIZES[len(seq)],
                seq,
                _columns(event.type, event.node_id, event.app_id),
                _NULL if event.step_request_id is None else _fresh(event.step_request_id),
                _SIZES[len(received)],
                received,
                _SIZES[len(elapsed)],
                elapsed,
                digest,
            )
        )
    ).digest()


def _fresh(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(4, "big") + encoded


# What many events share is encoded once.


@lru_cache(16)
def _start(epoch: str) -> bytes:
    return TAG + _fresh(epoch)


@lru_cache(1_024)
def _column(value: str) -> bytes:
    return _fresh(value)


@lru_cache(1_024)
def _columns(*values: str | None) -> bytes:
    return b"".join(_NULL if value is None else _fresh(value) for value in values)
