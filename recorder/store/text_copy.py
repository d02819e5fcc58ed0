"""Rows of `events` as PostgreSQL's COPY takes them in its text format.

In its binary format the server keeps a thousand rows before it inserts the first (it counts the bytes of
text lines alone), so nothing of its work would be done while we link the next events. The format:
https://www.postgresql.org/docs/current/sql-copy.html ("Text Format").
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from recorder.events import NewEvent

_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def row(position: int, event: NewEvent, salt: bytes, digest: bytes, chain: bytes) -> str:
    """A line, in the order of the table's columns."""
    return (
        f"{position}\t{_recurring(event.request_id)}\t{event.seq}\t{_recurring(event.type)}\t"
        f"{_recurring(event.node_id)}\t{_recurring(event.app_id)}\t{_text(event.step_request_id)}\t"
        f"{event.received_at}\t{event.elapsed_us}\t\\\\x{event.frame.hex()}\t\\\\x{salt.hex()}\t"
        f"\\\\x{digest.hex()}\t\\\\x{chain.hex()}\n"
    )


def _text(value: str | None) -> str:
    return r"\N" if value is None else value.translate(_ESCAPES)


_recurring = lru_cache(1_024)(_text)
"""`_text` for values that many events share."""
