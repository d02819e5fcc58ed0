"""Making answers, in the thread that made their content: the event loop only sends them."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
from fastapi import Response
from pydantic import BaseModel

_encode = msgspec.json.Encoder().encode


def json(model: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A model as a JSON answer."""
    return Response(model.model_dump_json(), status, headers, media_type="application/json")


def document(value: msgspec.Struct) -> Response:
    """A document that is in its wire shape already, as a JSON answer."""
    return Response(_encode(value), media_type="application/json")


def path_of_run(request_id: str) -> str:
    """Where a run is found."""
    return f"/api/v1/runs/{quote(request_id, safe='')}"
