"""fal's JavaScript client in a real browser, on a page of another origin than the recorder's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest

from tests.builders import completion, output, submit
from tests.clients.pages import Page, needs_chromium, page
from tests.clients.seen import recorded_payloads
from tests.proxy.stage import SERVER_PROXY, Stage, staged
from tests.proxy.upstream import LAST_CHUNK, Do, Upstream, chunk, chunked_head, sized

pytestmark = needs_chromium

WORKFLOW = "workflows/pages/sticker"
FAL_ALLOWS = "access-control-allow-origin: *"
DETAIL = {"detail": [{"loc": ["body", "prompt"], "msg": "no", "type": "value_error"}]}
EVENTS = [submit("a"), b": ping\n\n", completion("a"), output({"images": []})]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with page(tmp_path_factory.mktemp("page")) as served:
        yield served


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Answers as fal does, for any page."""
    queued = f"/queue/{WORKFLOW}/requests/queued"
    done = {"status": "COMPLETED", "request_id": "queued"}
    with Upstream() as running:
        running.route(
            f"/{WORKFLOW}/stream",
            chunked_head("streamed", FAL_ALLOWS),
            *map(chunk, EVENTS),
            LAST_CHUNK,
        )
        running.route(f"/{WORKFLOW}", sized("called", b'{"images": []}', FAL_ALLOWS))
        refused = sized("refused", json.dumps(DETAIL).encode(), FAL_ALLOWS, status="422 No")
        running.route(f"/{WORKFLOW}-refused", refused)
        running.route(f"/queue/{WORKFLOW}", sized("queued", json.dumps(done).encode(), FAL_ALLOWS))
        running.route(f"{queued}/status", sized("queued", json.dumps(done).encode(), FAL_ALLOWS))
        running.route(queued, sized("queued", b'{"images": [1]}', FAL_ALLOWS))
        running.play(Do.READ)
        yield running


def look(shown: Page, stage: Stage) -> Any:
    return shown.look(f"{stage.server.url}{SERVER_PROXY}", WORKFLOW)


def test_a_page_of_an_allowed_origin_sees_everything_and_it_is_recorded(
    shown: Page, upstream: Upstream, sqlite_url: str
) -> None:
    with staged(sqlite_url, upstream, origins=(shown.origin,)) as stage:
        seen = look(shown, stage)
        statuses = {
            request_id: stage.run(request_id).status
            for request_id in ("streamed", "called", "refused", "queued")
        }
        payloads = recorded_payloads(stage.rec, "streamed")
    assert seen == {
        "origin": shown.origin,
        "stream": {"events": payloads, "done": payloads[-1], "requestId": "streamed"},
        "run": {"data": {"images": []}, "requestId": "called"},
        "refused": {
            "error": {
                "name": "ValidationError",
                "message": HTTPStatus(422).phrase,
                "status": 422,
                "body": DETAIL,
                "requestId": "refused",
            }
        },
        "subscribe": {"data": {"images": [1]}, "requestId": "queued"},
    }
    assert [payload["type"] for payload in payloads] == ["submit", "completion", "output"]
    assert statuses == {
        "streamed": "completed",
        "called": "completed",
        "refused": "failed",
        "queued": "completed",
    }


def test_a_page_of_any_other_origin_reaches_nothing(
    shown: Page, upstream: Upstream, sqlite_url: str
) -> None:
    with staged(sqlite_url, upstream, origins=("https://app.example",)) as stage:
        seen = look(shown, stage)
        assert stage.head() == 0
    errors = [seen[kind]["error"]["message"] for kind in ("stream", "run", "refused", "subscribe")]
    assert (errors, upstream.connections) == (["Failed to fetch"] * 4, 0)
