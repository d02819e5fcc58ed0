"""What outputs and failures say, in a few lines: addresses of media, texts, reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from cli.text import plain, size
from recorder.projections.steps import Failure

_MAX_DEPTH: Final = 12
_MAX_LINES: Final = 12
_MAX_TEXT: Final = 240


class Medium(msgspec.Struct, frozen=True):
    """A file an output names.

    Attributes:
        url: Its address, as it came; a `data:` URI is shown by its kind and size only.
        note: Its dimensions where known, e.g. `1024×1024`.
    """

    url: str
    note: str = ""

    def line(self, room: int | None = None) -> str:
        """The address, harmless, never cut so it can be clicked; the note if it fits the room."""
        if self.url[:5].lower() == "data:":
            kind = self.url[5:].partition(",")[0].partition(";")[0] or "text/plain"
            return plain(f"data: {kind}, {size(len(self.url))}", 80)
        address = plain(self.url, 2_000)
        whole = f"{address}  {self.note}".rstrip()
        return whole if room is None or len(whole) <= room else address


def media(payload: bytes | str | None) -> list[Medium]:
    """The media an output names, in order, each address once; none where it is no JSON."""
    found: dict[str, Medium] = {}
    for medium in _media(_load(payload), 0):
        found.setdefault(medium.url, medium)
    return list(found.values())


def lines(payload: bytes | str | None, room: int | None = None) -> list[str]:
    """An output for people: its media, else its text, else the whole of it, cut.

    Args:
        payload: The output's JSON text.
        room: Width of the line where that is known.
    """
    found = [medium.line(room) for medium in media(payload)]
    if found:
        return [*found[:_MAX_LINES], *([f"and {len(found) - _MAX_LINES} more"] * _more(found))]
    value = _load(payload)
    if isinstance(value, dict) and isinstance(value.get("output"), str):
        return [plain(f"“{value['output']}”", _MAX_TEXT)]
    if isinstance(value, dict) and value:
        return [plain(json.dumps(value, ensure_ascii=False), _MAX_TEXT)]
    return []


def _more(found: list[str]) -> bool:
    return len(found) > _MAX_LINES


def failure_lines(failure: Failure) -> list[str]:
    """Why something failed: the message, then what the body says in detail."""
    message = plain(failure.message or "failed", _MAX_TEXT)
    details = [plain(text, _MAX_TEXT) for text in _details(_load(failure.body), failure.body)]
    if failure.status is not None and not message.endswith(f" {failure.status}"):
        message = f"{message} ({failure.status})"
    return [message, *details[:_MAX_LINES]]


def _details(value: Any, body: str | None) -> Iterator[str]:
    """Reads `{"detail": [{"loc": […], "msg": …}]}` or `{"detail": "…"}`; else the body itself."""
    detail = value.get("detail") if isinstance(value, dict) else None
    if isinstance(detail, list) and detail:
        for entry in detail:
            yield _validation(entry)
    elif isinstance(detail, str):
        yield detail
    elif isinstance(value, str):
        yield value
    elif body:
        yield body


def _validation(entry: Any) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get("msg"), str):
        return json.dumps(entry)
    loc = entry.get("loc")
    place = ".".join(str(part) for part in loc) if isinstance(loc, list) else ""
    return f"{place}: {entry['msg']}" if place else str(entry["msg"])


def _media(value: Any, depth: int) -> Iterator[Medium]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, list):
        for item in value:
            yield from _media(item, depth + 1)
    elif isinstance(value, dict):
        if isinstance(value.get("url"), str):
            yield Medium(value["url"], _dimensions(value))
        for item in value.values():
            yield from _media(item, depth + 1)


def _dimensions(value: dict[str, Any]) -> str:
    width, height = value.get("width"), value.get("height")
    known = isinstance(width, int) and isinstance(height, int)
    return f"{width}×{height}" if known else ""


def _load(payload: bytes | str | None) -> Any:
    if payload is None:
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None
