"""The HTTP side: which paths there are, plain calls, streams, and what is said about workflows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from emulator import library
from emulator.access import accepts, check_key, offered_key
from emulator.context import (
    Emulator,
    RequestIds,
    base_url,
    called_workflow,
    faults_of,
    parse_object,
    read_body,
    refusal,
    request_id_of,
)
from emulator.definition import Definition, editor_contents, parse
from emulator.execution import run_workflow
from emulator.library import Workflow
from emulator.media import CONTENT_TYPE, MediaStore
from emulator.problems import Invalid, Location, invalid
from emulator.queue.routes import queue_routes
from emulator.queue.scheduler import Queue
from emulator.queue.webhooks import Webhooks
from emulator.settings import EmulatorSettings
from emulator.wire import JsonAnswer


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
            Route("/.well-known/jwks.json", webhook_keys),
            Route("/v1/workflows/{owner}/{name}", workflow_details),
            *queue_routes(settings.queue_path),
            *([] if settings.queue_only else _run_routes()),
        ],
        middleware=[Middleware(RequestIds)],
        exception_handlers={Invalid: _invalid, HTTPException: _http_error},
    )
    webhooks = Webhooks(settings.queue)
    app.state.emulator = Emulator(
        settings=settings,
        workflows=library.load(settings.workflows_dir, settings.workflows),
        media=MediaStore(settings.media_bytes),
        webhooks=webhooks,
        queue=Queue(settings.queue, on_end=webhooks.report),
    )
    return app


def _run_routes() -> list[Route]:
    return [
        Route("/workflows/execute", execute, methods=["POST"]),
        Route("/workflows/execute/stream", execute, methods=["POST"], name="stream"),
        Route("/workflows/{owner}/{name}", call, methods=["POST"]),
        Route("/workflows/{owner}/{name}/stream", call, methods=["POST"], name="stream"),
    ]


async def index(request: Request) -> Response:
    """What can be called here."""
    workflows = [
        {
            "id": f"workflows/{workflow.id}",
            "title": workflow.definition.title,
            "nodes": list(workflow.definition.nodes),
            "input": list(workflow.definition.input_fields),
            **_urls(request, workflow),
        }
        for workflow in Emulator.of(request).workflows.values()
    ]
    return JsonAnswer({"workflows": workflows})


def _urls(request: Request, workflow: Workflow) -> dict[str, str]:
    settings, base = Emulator.of(request).settings, base_url(request)
    queue = {"queue_url": f"{base}{settings.queue_path}/workflows/{workflow.id}"}
    url = f"{base}/workflows/{workflow.id}"
    return queue if settings.queue_only else {"url": url, "stream_url": f"{url}/stream", **queue}


async def media_file(request: Request) -> Response:
    """A produced picture."""
    content = Emulator.of(request).media.get(request.path_params["file"])
    if content is None:
        raise HTTPException(404, "No such media file")
    return Response(content, media_type=CONTENT_TYPE)


async def webhook_keys(request: Request) -> Response:
    """The keys with which webhooks are signed."""
    return JsonAnswer(Emulator.of(request).webhooks.signer.key_set())


async def workflow_details(request: Request) -> Response:
    """A workflow's definition, as fal's platform API gives it; always needs a key."""
    emulator = Emulator.of(request)
    key = offered_key(request)
    if key is None or not accepts(emulator.settings, key):
        return _platform_error(request, 401, "authorization_error", "Authentication required")
    owner, name = request.path_params["owner"], request.path_params["name"]
    workflow = emulator.workflows.get(f"{owner}/{name}")
    if workflow is None:
        return _platform_error(request, 404, "not_found", "Workflow not found")
    told = {
        "name": name,
        "title": workflow.definition.title,
        "user_nickname": owner,
        "is_public": True,
        "contents": editor_contents(workflow.document),
    }
    return JsonAnswer({"workflow": told}, ensure_ascii=emulator.settings.ensure_ascii)


def _platform_error(request: Request, status: int, kind: str, message: str) -> Response:
    error = {"type": kind, "message": message, "request_id": request_id_of(request)}
    return JsonAnswer({"error": error}, status)


async def call(request: Request) -> ASGIApp:
    """Run a workflow of the library; the body is its input."""
    workflow = called_workflow(request)
    body = await _read_object(request)
    return _answer(request, workflow.definition, body, ("body",))


async def execute(request: Request) -> ASGIApp:
    """Run the definition in the body, on the input in the body."""
    check_key(request, Emulator.of(request).settings, "workflows/execute")
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
    emulator = Emulator.of(request)
    faults = faults_of(request)
    refused = refusal(faults.stream)
    if refused is not None:
        return refused
    try:
        run = emulator.new_run(definition, body, base_url(request), faults)
    except Invalid as error:
        raise error.below(loc) from None
    streamed = request.url.path.endswith("/stream")
    return emulator.answer(run_workflow(run), faults.stream, streamed=streamed)


async def _read_object(request: Request) -> dict[str, Any]:
    raw = await read_body(request)
    try:
        return parse_object(raw)
    except Invalid as error:
        raise error.below(("body",)) from None


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, Invalid)
    return JsonAnswer(error.as_json(), 422)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = JsonAnswer({"detail": error.detail}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer
