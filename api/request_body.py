"""Reading request bodies."""

from __future__ import annotations

from starlette.requests import Request

from api.errors import BodyTooLarge


def media_type_of(request: Request) -> str:
    """What the body is sent as, without parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_limited(request: Request, limit_bytes: int) -> bytes:
    """A body that has to fit in memory.

    Raises:
        BodyTooLarge: It has more bytes.
    """
    chunks: list[bytes] = []
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes <= limit_bytes:
            chunks.append(chunk)
        elif size_bytes > 2 * limit_bytes:
            break
        # In between it is read and dropped: a client that is still sending when the connection
        # closes may never get to see the answer.
    if size_bytes > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    return b"".join(chunks)
