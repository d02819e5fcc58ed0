"""Events sent in by those who received them: lines, streams, and signs of life of the senders."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from api import answers, examples, openapi
from api.errors import BodyTooLarge, NotEvents
from api.ingest_models import (
    AddressedEventLineModel,
    EventLineModel,
    OutcomeModel,
    OutcomesModel,
    ReceiptModel,
    ReceiptsModel,
    SignOfLifeModel,
)
from api.parameters import IngestParameters, Instance, RunId
from api.reading import Service, ServiceOf
from api.request_body import media_type_of, read_limited
from recorder import lines
from recorder.errors import BadQuery, LogError, RunClosed, SequenceConflict
from recorder.events import NewEvent, lift
from recorder.store.log import Receipt
from recorder.upload import FIRST_FRAME

router = APIRouter(prefix="/api/v1", tags=["ingest"])

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
NDJSON: Final = "application/x-ndjson"
EVENT_STREAM: Final = "text/event-stream"


def _body(**content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def _lines(model: type[EventLineModel], example: dict[str, Any]) -> dict[str, Any]:
    return {"schema": model.model_json_schema(), "example": json.dumps(example)}


_EVENTS: Final = {
    NDJSON: _lines(EventLineModel, examples.EVENT_LINE),
    EVENT_STREAM: {
        "schema": {"type": "string", "format": "binary"},
        "example": examples.BODY,
    },
}


@router.post(
    "/runs/{request_id:path}/events",
    summary="Record a run received elsewhere",
    description="Either lines, one event each (`application/x-ndjson`), or the body of the stream "
    "as it comes (`text/event-stream`). Answers once all is durable. Sent again, what is recorded "
    "already gets its first receipt. Of lines that make no sense nothing is recorded.",
    response_model=ReceiptsModel,
    responses=openapi.answers(
        200, "RECEIPTS", BadQuery, BodyTooLarge, NotEvents, RunClosed, SequenceConflict
    ),
    openapi_extra=_body(**_EVENTS),
)
async def add_events(
    request: Request,
    service: ServiceOf,
    request_id: RunId,
    wanted: Annotated[IngestParameters, Query()],
) -> Response:
    """Records events of one run; waits on the event loop."""
    run = lift(request_id)
    if not run:
        raise BadQuery("request_id", "is empty")
    match media_type_of(request):
        case "application/x-ndjson":
            taken = await _add_lines(request, service, run, wanted)
        case "text/event-stream":
            first_seq = wanted.first_seq or FIRST_FRAME
            workflow = wanted.workflow or ""
            taken = await service.ingest.take_stream(
                request, run, workflow=workflow, first_seq=first_seq
            )
        case _:
            raise NotEvents(NDJSON, EVENT_STREAM)
    return await run_in_threadpool(_receipts, run, taken)


@router.post(
    "/events",
    summary="Record events of many runs",
    description="For senders that batch: lines, one event each, with the run it belongs to. Every "
    "event is taken or refused by itself; answers once all that are taken are durable. Of lines "
    "that make no sense nothing is recorded.",
    response_model=OutcomesModel,
    responses=openapi.answers(200, "OUTCOMES", BadQuery, BodyTooLarge, NotEvents),
    openapi_extra=_body(**{NDJSON: _lines(AddressedEventLineModel, examples.ADDRESSED_EVENT_LINE)}),
)
async def add_many_events(request: Request, service: ServiceOf) -> Response:
    """Records events of many runs; waits on the event loop."""
    if media_type_of(request) != NDJSON:
        raise NotEvents(NDJSON)
    body = await read_limited(request, MAX_BODY_BYTES)
    outcomes = await service.ingest.add(await run_in_threadpool(lines.decode, body))
    return answers.json(OutcomesModel(outcomes=[OutcomeModel.of(each) for each in outcomes]))


@router.put(
    "/recorders/{instance}",
    summary="Give a sign of life",
    description="A recorder that sends its events here keeps its runs open by this. Idempotent.",
    response_model=SignOfLifeModel,
    responses=openapi.answers(200, "SIGN_OF_LIFE", BadQuery),
)
def give_sign_of_life(service: ServiceOf, instance: Instance) -> Response:
    """Takes a recorder's sign of life."""
    lease_s = service.ingest.beat(instance)
    return answers.json(SignOfLifeModel(instance=instance, lease_s=lease_s))


async def _add_lines(
    request: Request, service: Service, run: str, wanted: IngestParameters
) -> list[tuple[NewEvent, Receipt]]:
    for name in wanted.model_fields_set:
        raise BadQuery(name, "is for event streams; lines tell it themselves")
    body = await read_limited(request, MAX_BODY_BYTES)
    events = await run_in_threadpool(lines.decode, body, run)
    taken = []
    for event, outcome in zip(events, await service.ingest.add(events), strict=True):
        if isinstance(outcome, LogError):
            raise outcome
        taken.append((event, outcome))
    return taken


def _receipts(run: str, taken: list[tuple[NewEvent, Receipt]]) -> Response:
    last, _ = taken[-1]
    return answers.json(
        ReceiptsModel(
            request_id=run,
            receipts=[ReceiptModel.of(event, receipt) for event, receipt in taken],
            next_seq=None if last.type == "closed" else last.seq + 1,
        )
    )
