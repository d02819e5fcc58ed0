"""What an error event or a refused request says of a failure."""

from __future__ import annotations

import json

from recorder.events import Closed, Error
from recorder.projections.steps import MAX_BODY_CHARACTERS, Failure


def read_failure(event: Error) -> Failure:
    """Reads `{"status": …, "body": …}` where the error has that shape, else keeps it whole."""
    if event.error is None:
        return Failure(message=event.message)
    text = event.error.decode("utf-8", "surrogatepass")
    try:
        value = json.loads(text)
        body = json.dumps(value["body"]) if isinstance(value, dict) and "body" in value else text
    except (ValueError, RecursionError):
        value, body = None, text
    status = value.get("status") if isinstance(value, dict) else None
    if not isinstance(status, int) or isinstance(status, bool) or not 0 <= status < 1000:
        status = None
    return Failure(
        message=event.message,
        status=status,
        body=body if len(body) <= MAX_BODY_CHARACTERS else None,
    )


def refused_body(event: Closed) -> str | None:
    """The body upstream refused with; None where there is none, or it is too long for a table."""
    body = event.trailing
    return None if body is None or len(body) > MAX_BODY_CHARACTERS else body
