"""The HTTP side: routes, request bodies and error answers."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulator import library
from emulator.definition import Definition, parse
from emulator.execution import Run, check_input_references, initial_outputs, run_workflow
from emulator.input_schema import apply
from emulator.json_text import read_json
from emulator.library import Workflow
from emulator.media import CONTENT_TYPE, Media, MediaStore
from emulator.problems import Invalid, Location, invalid
from emulator.settings import EmulatorSettings, Faults, read_faults
from emulator.wire import JsonAnswer, RunAnswer

REQUEST_ID_HEADER = "x-fal-request-id"
FAULT_HEADER = "x-emulator-fault"


@dataclass
class Emulator:
    """What the handlers share; one per app, found at ``app.state.emulator``.

    Set ``stopping`` (from the app's event loop) to break all open runs.
    """

    settings: EmulatorSettings
    workflows: Mapping[str, Workflow]
    media: MediaStore
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    run_numbers: Iterator[int] = field(default_factory=itertools.count)


def create_app(settings: EmulatorSettings | None = None) -> Starlette:
    """Build the application.

    Raises:
        WorkflowFileError: a workflow definition cannot be used; the message is one line.
    """
    settings = settings or EmulatorSettings()
    app = Starlette(
        routes=[
            Route("/", index),
            Route("/media/{file}", media_file),
            Route("/workflows/execute", execute, methods=["POST"]),
            Route("/workflows/execute/stream", execute, methods=["POST"], name="stream"),
            Route("/workflows/{owner}/{name}", call, methods=["POST"]),
            Route("/workflows/{owner}/{name}/stream", call, methods=["POST"], name="stream"),
        ],
        middleware=[Middleware(_RequestId)],
        exception_handlers={Invalid: _invalid, HTTPException: _http_error},
    )
    workflows = library.load(settings.workflows_dir, settings.workflows)
    app.state.emulator = Emulator(settings, workflows, MediaStore(settings.media_bytes))
    return app


async def index(request: Request) -> Response:
    """What can be called here."""
    base = _base_url(request)
    workflows = [
        {
            "id": f"workflows/{workflow.id}",
            "title": workflow.definition.title,
            "nodes": list(workflow.definition.nodes),
            "input": list(workflow.definition.input_fields),
            "url": f"{base}/workflows/{workflow.id}",
            "stream_url": f"{base}/workflows/{workflow.id}/stream",
        }
        for workflow in _emulator(request).workflows.values()
    ]
    return JsonAnswer({"workflows": workflows})


async def media_file(request: Request) -> Response:
    """A produced picture."""
    content = _emulator(request).media.get(request.path_params["file"])
    if content is None:
        raise HTTPException(404, "No such media file")
    return Response(content, media_type=CONTENT_TYPE)


async def call(request: Request) -> ASGIApp:
    """Run a workflow of the library; the body is its input."""
    workflow_id = f"{request.path_params['owner']}/{request.path_params['name']}"
    workflow = _emulator(request).workflows.get(workflow_id)
    if workflow is None:
        raise HTTPException(404, f"Workflow 'workflows/{workflow_id}' not found")
    body = await _read_object(request)
    return _answer(request, workflow.definition, body, ("body",))


async def execute(request: Request) -> ASGIApp:
    """Run the definition in the body, on the input in the body."""
    body = await _read_object(request)
    if "workflow" not in body:
        raise invalid(("body", "workflow"), "field required", "value_error.missing")
    try:
        definition = parse(body["workflow"])
    except Invalid as error:
        raise error.below(("body", "workflow")) from None
    given = body.get("input", {})
    if not isinstance(given, dict):
        raise invalid(("body", "input"), "value is not a valid dict", "type_error.dict")
    return _answer(request, definition, given, ("body", "input"))


def _answer(
    request: Request, definition: Definition, body: Mapping[str, Any], loc: Location
) -> ASGIApp:
    emulator = _emulator(request)
    faults = _faults(request)
    if faults.stream.http_status is not None:
        return _refusal(faults.stream.http_status, faults.stream.http_body)
    try:
        given = apply(definition.input_fields, body)
        check_input_references(definition, initial_outputs(definition, given))
    except Invalid as error:
        raise error.below(loc) from None
    media = Media(emulator.media, _base_url(request))
    run = Run(definition, given, media, faults, next(emulator.run_numbers))
    return RunAnswer(
        events=run_workflow(run),
        faults=faults.stream,
        streamed=request.url.path.endswith("/stream"),
        stopping=emulator.stopping,
        ping_interval_s=emulator.settings.ping_interval_s,
        ensure_ascii=emulator.settings.ensure_ascii,
    )


def _refusal(status: int, body: Any) -> Response:
    if isinstance(body, str):
        return PlainTextResponse(body.encode("utf-8", "backslashreplace"), status)
    return JsonAnswer({"detail": _phrase(status)} if body is None else body, status)


async def _read_object(request: Request) -> dict[str, Any]:
    raw = await _read_body(request, _emulator(request).settings.max_body_bytes)
    try:
        body = read_json(raw)
    except Invalid as error:
        raise error.below(("body",)) from None
    if not isinstance(body, dict):
        raise invalid(("body",), "value is not a valid dict", "type_error.dict")
    return body


async def _read_body(request: Request, limit_bytes: int) -> bytes:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit_bytes:
            raise HTTPException(413, f"The request body is longer than {limit_bytes} bytes")
    return bytes(raw)


def _faults(request: Request) -> Faults:
    settings = _emulator(request).settings
    header = request.headers.get(FAULT_HEADER)
    if header is None:
        return settings.faults
    try:
        return settings.faults.overridden_by(read_faults(header.encode("latin-1")))
    except Invalid as error:
        raise error.below(("header", FAULT_HEADER)) from None


def _emulator(request: Request) -> Emulator:
    emulator: Emulator = request.app.state.emulator
    return emulator


def _base_url(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else f"Status {status}"


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, Invalid)
    return JsonAnswer(error.as_json(), 422)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = JsonAnswer({"detail": error.detail}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


class _RequestId:
    """Gives every answer an ``x-fal-request-id``, and drops requests whose sender has gone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = str(uuid.uuid4())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": list(message.get("headers", []))}
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            return
