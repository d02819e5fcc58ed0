"""Reading the body of `POST /api/v1/runs`, which is passed on and not merely understood."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from starlette.requests import Request

from api.errors import BodyTooLarge, NotJson
from recorder.errors import BadQuery

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
_FIELD: Final = re.compile(r"(?:field `|at `\$\.)([^`]{1,100})`")


class Start(msgspec.Struct, forbid_unknown_fields=True):
    """See `api.models.StartModel`, which documents this; `input` is its JSON text as it came."""

    workflow: str
    input: msgspec.Raw
    wait: bool = False


_decode = msgspec.json.Decoder(Start).decode


async def read_start(request: Request) -> Start:
    """What the body asks for.

    Raises:
        NotJson: The content type is another. A browser sends other types across origins without
            asking the server first; any page could then start runs on somebody's key.
        BodyTooLarge: It has more than `MAX_BODY_BYTES`.
        BadQuery: It is not what `StartModel` documents.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise NotJson
    body = await _read(request)
    try:
        body.decode()  # what stays raw below is not checked for it
        start = _decode(body)
    except UnicodeDecodeError:
        raise BadQuery("body", "is not UTF-8") from None
    except RecursionError:
        raise BadQuery("body", "is nested too deeply") from None
    except msgspec.MsgspecError as error:
        raise _explained(str(error)) from None
    if not bytes(start.input).startswith(b"{"):
        raise BadQuery("input", "is an object")
    return start


async def _read(request: Request) -> bytes:
    chunks: list[bytes] = []
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes <= MAX_BODY_BYTES:
            chunks.append(chunk)
        elif size_bytes > 2 * MAX_BODY_BYTES:
            break
        # In between it is read and dropped: a client that is still sending when the connection
        # closes may never get to see the answer.
    if size_bytes > MAX_BODY_BYTES:
        raise BodyTooLarge(MAX_BODY_BYTES)
    return b"".join(chunks)


def _explained(message: str) -> BadQuery:
    """Names the field, which msgspec tells as ``field `x` `` or ``- at `$.x` ``."""
    named = _FIELD.search(message)
    reason = message.partition(" - at `")[0].replace("`", "'")
    return BadQuery(named[1] if named else "body", reason)
