"""Reading the bodies that start runs, which are passed on and not merely understood."""

from __future__ import annotations

from typing import Any, Final, TypeVar

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


class Rerun(msgspec.Struct, forbid_unknown_fields=True):
    """See `api.models.RerunModel`, which documents this."""

    set: dict[str, Any] = {}
    wait: bool = False


_Wanted = TypeVar("_Wanted", Start, Rerun)


async def read_start(request: Request) -> Start:
    """What the body of a start asks for; see `_read_wanted`.

    Raises:
        BadQuery: It is not what `StartModel` documents.
    """
    start = await _read_wanted(request, Start)
    if not bytes(start.input).startswith(b"{"):
        raise BadQuery("input", "is an object")
    return start


async def read_rerun(request: Request) -> Rerun:
    """What the body of a rerun asks for; see `_read_wanted`."""
    return await _read_wanted(request, Rerun)


async def _read_wanted(request: Request, kind: type[_Wanted]) -> _Wanted:
    """The body, as this kind of request.

    Raises:
        NotJson: The content type is another. A browser sends other types across origins without
            asking the server first; any page could then start runs on somebody's key.
        BodyTooLarge: It has more than `MAX_BODY_BYTES`.
        BadQuery: It is not what is documented.
    """
    if media_type_of(request) != "application/json":
        raise NotJson
    body = await read_limited(request, MAX_BODY_BYTES)
    try:
        body.decode()  # what stays raw below is not checked for it
        return msgspec.json.decode(body, type=kind)
    except UnicodeDecodeError:
        raise BadQuery("body", "is not UTF-8") from None
    except RecursionError:
        raise BadQuery("body", "is nested too deeply") from None
    except msgspec.MsgspecError as error:
        field, reason = wrong_field(error)
        raise BadQuery(field or "body", reason) from None
