"""Reading the body of `POST /api/v1/runs`, which is passed on and not merely understood."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request

from api.errors import NotJson
from api.request_body import media_type_of, read_limited
from recorder.errors import BadQuery
from recorder.lines import wrong_field

MAX_BODY_BYTES: Final = 16 * 1024 * 1024


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
    if media_type_of(request) != "application/json":
        raise NotJson
    body = await read_limited(request, MAX_BODY_BYTES)
    try:
        body.decode()  # what stays raw below is not checked for it
        start = _decode(body)
    except UnicodeDecodeError:
        raise BadQuery("body", "is not UTF-8") from None
    except RecursionError:
        raise BadQuery("body", "is nested too deeply") from None
    except msgspec.MsgspecError as error:
        field, reason = wrong_field(error)
        raise BadQuery(field or "body", reason) from None
    if not bytes(start.input).startswith(b"{"):
        raise BadQuery("input", "is an object")
    return start
