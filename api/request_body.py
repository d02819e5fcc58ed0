"""Receiving the bodies of requests."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request

from api.errors import BodyTooLarge


def media_type_of(request: Request) -> str:
    """The content type, without its parameters, in lower case; "" where there is none.

    A body that is compressed has none either: nothing here decodes one, and recorded as it is it would be taken for
    what it is not.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        return ""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def chunks_of(request: Request, limit_bytes: int) -> AsyncIterator[bytes]:
    """The body as it comes.

    Raises:
        BodyTooLarge: It is longer than the limit; what is beyond has not been handed out.
    """
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes <= limit_bytes:
            yield chunk
        elif size_bytes > 2 * limit_bytes:
            break
        # In between it is read and dropped: a client that is still sending when the connection
        # closes may never get to see the answer.
    if size_bytes > limit_bytes:
        raise BodyTooLarge(limit_bytes)


async def read_limited(request: Request, limit_bytes: int) -> bytes:
    """A body that has to fit in memory.

    Raises:
        BodyTooLarge: It is longer than the limit.
    """
    return b"".join([chunk async for chunk in chunks_of(request, limit_bytes)])
