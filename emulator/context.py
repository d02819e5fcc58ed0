"""What the request handlers share: the emulator's state, and how requests are read."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulator.access import check_key
from emulator.definition import Definition
from emulator.execution import Event, Run, check_input_references, initial_outputs
from emulator.input_schema import apply
from emulator.json_text import read_json
from emulator.library import Workflow
from emulator.media import Media, MediaStore
from emulator.problems import Invalid, invalid
from emulator.queue.scheduler import Queue
from emulator.queue.webhooks import Webhooks
from emulator.settings import EmulatorSettings, Faults, StreamFaults, read_faults
from emulator.wire import JsonAnswer, RunAnswer

REQUEST_ID_HEADER = "x-fal-request-id"
FAULT_HEADER = "x-emulator-fault"

_REQUEST_ID = "emulator.request_id"


@dataclass
class Emulator:
    """The state of one app, found at ``app.state.emulator``.

    Set ``stopping`` (from the app's event loop) to break all open runs and status streams.
    """

    settings: EmulatorSettings
    workflows: Mapping[str, Workflow]
    media: MediaStore
    webhooks: Webhooks
    queue: Queue
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    run_numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def of(cls, request: Request) -> Emulator:
        """The emulator that got the request."""
        emulator: Emulator = request.app.state.emulator
        return emulator

    def new_run(
        self, definition: Definition, body: Mapping[str, Any], base_url: str, faults: Faults
    ) -> Run:
        """A run of a definition on an input; each takes the next run number.

        Raises:
            Invalid: the input does not do; locations are paths inside it.
        """
        given = apply(definition.input_fields, body)
        check_input_references(definition, initial_outputs(definition, given))
        media = Media(self.media, base_url)
        return Run(definition, given, media, faults, next(self.run_numbers))

    def answer(
        self, events: AsyncGenerator[Event], faults: StreamFaults, *, streamed: bool
    ) -> RunAnswer:
        """Events as a response."""
        return RunAnswer(
            events=events,
            faults=faults,
            streamed=streamed,
            stopping=self.stopping,
            ping_interval_s=self.settings.ping_interval_s,
            ensure_ascii=self.settings.ensure_ascii,
        )

    async def close(self) -> None:
        """End queued runs and undelivered webhooks."""
        await self.queue.close()
        await self.webhooks.close()


def called_workflow(request: Request) -> Workflow:
    """The workflow in the path.

    Raises:
        HTTPException: 401, the caller has no accepted key; 404, there is none of that name.
    """
    emulator = Emulator.of(request)
    workflow_id = f"{request.path_params['owner']}/{request.path_params['name']}"
    check_key(request, emulator.settings, f"workflows/{workflow_id}")
    workflow = emulator.workflows.get(workflow_id)
    if workflow is None:
        raise HTTPException(404, f"Workflow 'workflows/{workflow_id}' not found")
    return workflow


def base_url(request: Request) -> str:
    """This server as the client addressed it, without a trailing slash."""
    return str(request.base_url).rstrip("/")


async def read_body(request: Request) -> bytes:
    """The whole body.

    Raises:
        HTTPException: 413, it is longer than the settings allow.
    """
    limit_bytes = Emulator.of(request).settings.max_body_bytes
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit_bytes:
            raise HTTPException(413, f"The request body is longer than {limit_bytes} bytes")
    return bytes(raw)


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object a body has to be.

    Raises:
        Invalid: it is something else; locations are places in it.
    """
    body = read_json(raw)
    if not isinstance(body, dict):
        raise invalid((), "value is not a valid dict", "type_error.dict")
    return body


def faults_of(request: Request) -> Faults:
    """What the settings and the request's fault header say together.

    Raises:
        Invalid: the header is wrong.
    """
    settings = Emulator.of(request).settings
    header = request.headers.get(FAULT_HEADER)
    if header is None:
        return settings.faults
    try:
        return settings.faults.overridden_by(read_faults(header.encode("latin-1")))
    except Invalid as error:
        raise error.below(("header", FAULT_HEADER)) from None


def refusal(faults: StreamFaults) -> Response | None:
    """The answer the faults want in place of a run, if they want one."""
    if faults.http_status is None:
        return None
    if isinstance(faults.http_body, str):
        text = faults.http_body.encode("utf-8", "backslashreplace")
        return PlainTextResponse(text, faults.http_status)
    fallback = {"detail": _phrase(faults.http_status)}
    return JsonAnswer(
        fallback if faults.http_body is None else faults.http_body, faults.http_status
    )


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else f"Status {status}"


def request_id_of(request: Request) -> str:
    """The id the answer will carry."""
    request_id: str = request.scope[_REQUEST_ID]
    return request_id


def answer_as(request: Request, request_id: str) -> None:
    """Let the answer carry the id of a queued request in place of one of its own."""
    request.scope[_REQUEST_ID] = request_id


class RequestIds:
    """Gives every answer an ``x-fal-request-id``, and drops requests whose sender has gone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        scope[_REQUEST_ID] = str(uuid.uuid4())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": list(message.get("headers", []))}
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = scope[_REQUEST_ID]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            return
