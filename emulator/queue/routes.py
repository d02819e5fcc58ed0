"""The HTTP side of the queue."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from emulator.access import check_key
from emulator.context import (
    Emulator,
    answer_as,
    base_url,
    called_workflow,
    faults_of,
    parse_object,
    read_body,
    refusal,
)
from emulator.execution import Event, run_workflow
from emulator.queue.requests import QueuedRequest
from emulator.queue.webhooks import check_webhook_url
from emulator.settings import StreamFaults
from emulator.wire import JsonAnswer, unstreamed

NOT_FOUND = {"status": "NOT_FOUND"}


def queue_routes(prefix: str) -> list[Route]:
    """The routes of the queue below a path.

    A request is asked for below the application that was called, or a shortened form of it: clients
    that do not know the namespace of workflows take ``workflows/{owner}`` for the application.
    """
    one = f"{prefix}/{{application:path}}/requests/{{request_id}}"
    return [
        Route(f"{prefix}/workflows/{{owner}}/{{name}}", submit, methods=["POST"]),
        Route(f"{one}/status", status),
        Route(f"{one}/status/stream", status_stream),
        Route(f"{one}/cancel", cancel, methods=["PUT"]),
        Route(f"{one}/response", result),
        Route(one, result),
    ]


async def submit(request: Request) -> Response:
    """Queue a run of a workflow; the body is its input, which is looked at when the run begins."""
    emulator = Emulator.of(request)
    workflow = called_workflow(request)
    faults = faults_of(request)
    refused = refusal(faults.stream)
    if refused is not None:
        return refused
    webhook_url = request.query_params.get("fal_webhook")
    if webhook_url is not None:
        check_webhook_url(webhook_url)
    raw = await read_body(request)
    media_url = base_url(request)

    def play() -> AsyncGenerator[Event]:
        run = emulator.new_run(workflow.definition, parse_object(raw), media_url, faults)
        return unstreamed(run_workflow(run), faults.stream)

    queued = QueuedRequest(f"workflows/{workflow.id}", play, webhook_url, faults.webhook)
    position = emulator.queue.submit(queued)
    if webhook_url is not None and faults.webhook.overtakes:
        await queued.reported.wait()
    answer_as(request, queued.id)
    reply = {"status": "IN_QUEUE", "request_id": queued.id, **queued.urls(_queue_url(request))}
    return JsonAnswer({**reply, "queue_position": position})


async def status(request: Request) -> Response:
    """Where a request stands: 200 when it has ended, 202 before."""
    queued = _asked_for(request)
    if queued is None:
        return JsonAnswer(NOT_FOUND, 404)
    position = Emulator.of(request).queue.position(queued)
    logs = queued.logs if _with_logs(request) else None
    told = queued.status(position, _queue_url(request), logs)
    return JsonAnswer(told, 200 if queued.state == "COMPLETED" else 202)


async def status_stream(request: Request) -> ASGIApp:
    """The status of a request and its changes as events, until it has ended."""
    queued = _asked_for(request)
    if queued is None:
        return JsonAnswer(NOT_FOUND, 404)
    emulator = Emulator.of(request)
    with_logs = _with_logs(request)
    updates = emulator.queue.updates(queued, _queue_url(request), with_logs=with_logs)
    return emulator.answer(updates, StreamFaults(), streamed=True)


async def result(request: Request) -> Response:
    """What the run answered, with the status it answered with."""
    queued = _asked_for(request)
    if queued is None:
        return JsonAnswer(NOT_FOUND, 404)
    end = queued.outcome
    if end is None:
        return JsonAnswer({"detail": "Request is still in progress"}, 400)
    ensure_ascii = Emulator.of(request).settings.ensure_ascii
    answer = JsonAnswer(end.body, end.status, ensure_ascii=ensure_ascii)
    if end.error_type is not None:
        answer.headers["x-fal-error-type"] = end.error_type
    return answer


async def cancel(request: Request) -> Response:
    """Take a request out of the queue, or stop its run."""
    queued = _asked_for(request)
    if queued is None:
        return JsonAnswer(NOT_FOUND, 404)
    if not Emulator.of(request).queue.cancel(queued):
        return JsonAnswer({"status": "ALREADY_COMPLETED"}, 400)
    return JsonAnswer({"status": "CANCELLATION_REQUESTED"}, 202)


def _asked_for(request: Request) -> QueuedRequest | None:
    """The request in the path, whose id the answer then carries."""
    emulator = Emulator.of(request)
    path: dict[str, Any] = request.path_params
    check_key(request, emulator.settings, path["application"])
    queued = emulator.queue.find(path["request_id"])
    if queued is None or not queued.belongs_to(path["application"]):
        return None
    answer_as(request, queued.id)
    return queued


def _with_logs(request: Request) -> bool:
    """Clients say ``1`` or ``true``, and ``0`` or ``false``."""
    return request.query_params.get("logs") in ("1", "true")


def _queue_url(request: Request) -> str:
    return f"{base_url(request)}{Emulator.of(request).settings.queue_path}"
