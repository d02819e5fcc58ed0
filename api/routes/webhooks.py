"""fal's webhooks."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from api import answers, examples, openapi
from api.errors import BodyTooLarge, BodyTooSlow, KeysUnavailable, WebhookRefused
from api.models import WebhookModel
from api.webhooks.receiver import WebhookReceiver

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"])

_REPORT: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {}, "example": examples.REPORT}},
    }
}


async def _receiver_of(request: Request) -> WebhookReceiver:
    receiver: WebhookReceiver = request.app.state.webhooks
    return receiver


@router.post(
    "/fal",
    summary="Take a webhook of fal's queue",
    description="Name this address as `fal_webhook` when submitting to the queue. What is not signed "
    "by fal, or was signed more than 300 s from now, is refused and not recorded. Answers once the "
    "webhook is in the log for good; the same one again is answered likewise and recorded once.",
    response_model=WebhookModel,
    responses=openapi.answers(
        200, "WEBHOOK", WebhookRefused, BodyTooLarge, BodyTooSlow, KeysUnavailable
    ),
    openapi_extra=_REPORT,
)
async def take_webhook(
    request: Request, receiver: Annotated[WebhookReceiver, Depends(_receiver_of)]
) -> Response:
    """Takes a webhook."""
    return answers.json(WebhookModel(request_id=await receiver.receive(request)))
