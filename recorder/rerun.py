"""Running a recorded run again: what it was started with, with fields changed where that is wanted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from recorder import redaction
from recorder.documents import Mode, as_bytes
from recorder.errors import BadQuery, NotRerunnable
from recorder.events import LoggedEvent, Opened

_decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Again(msgspec.Struct, frozen=True):
    """What a run is started with once more.

    Attributes:
        parent: The run it was; None where there was none.
        workflow: Its endpoint id.
        body: The request's body.
        mode: How to call it. Never `queue`: a queued run is started for its stream, which tells more.
    """

    parent: str | None
    workflow: str
    body: bytes
    mode: Mode


def again(first: LoggedEvent, changes: Mapping[str, Any], *, began: Opened | None = None) -> Again:
    """What to start to have a run again.

    Args:
        first: The run's first event.
        changes: Fields of the input and their new values, see `changed`.
        began: How the run began, where its first event does not tell.

    Raises:
        NotRerunnable: What the run was started with is not in the log, or not any more.
        BadQuery: A change does not fit the input.
    """
    parent = first.request_id
    if first.frame is None:
        raise NotRerunnable(parent, "its input has been erased")
    opened = began or first.event
    body = as_bytes(opened.input, opened.input_base64) if isinstance(opened, Opened) else b""
    if not isinstance(opened, Opened) or not body:
        raise NotRerunnable(parent, "its input is not recorded")
    body = changed(body, changes)
    if (place := next(_redacted(body), None)) is not None:
        raise NotRerunnable(parent, f"its input is redacted: give {place} anew")
    mode: Mode = "call" if opened.mode == "call" else "stream"
    return Again(parent, opened.workflow, body, mode)


def changed(body: bytes, changes: Mapping[str, Any]) -> bytes:
    """An input with some fields changed; the others keep their bytes, without changes all of it does.

    Args:
        body: A JSON object.
        changes: By field. `a.b` is the field `b` of the object `a`, or `a.0` the first of a list, where
            the input has no field of that whole name.

    Raises:
        BadQuery: The input is no JSON object, or has no such place.
    """
    if not changes:
        return body
    try:
        fields = _decode_fields(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise BadQuery("set", "the run's input is no JSON object") from None
    for path, value in changes.items():
        name, *rest = [path] if path in fields else path.split(".")
        whole = value
        if rest:
            whole = json.loads(bytes(fields[name])) if name in fields else {}
            _put(path, whole, rest, value)
        fields[name] = msgspec.Raw(json.dumps(whole).encode())
    return msgspec.json.encode(fields)


def _put(path: str, within: Any, names: list[str], value: Any) -> None:
    *parents, last = names
    for name in parents:
        if isinstance(within, dict):
            within = within.setdefault(name, {})
        else:
            within = within[_index(path, within, name)]
    if isinstance(within, dict):
        within[last] = value
    else:
        within[_index(path, within, last)] = value


def _index(path: str, within: Any, name: str) -> int:
    if not isinstance(within, list):
        raise BadQuery("set", f"{path}: nothing can be put into a value that is no object or list")
    if not (name.isascii() and name.isdigit()) or len(name) > 9 or int(name) >= len(within):
        raise BadQuery("set", f"{path}: {name!r} is no place of a list of {len(within)}")
    return int(name)


def _redacted(body: bytes) -> Iterator[str]:
    """The places of an input where something was taken out."""
    try:
        yield from _places("", json.loads(body))
    except (ValueError, RecursionError):
        return


def _places(path: str, value: Any) -> Iterator[str]:
    if value == redaction.REDACTED:
        yield path
    elif isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, child in items:
            yield from _places(f"{path}.{name}" if path else str(name), child)
