"""Runs that go through the queue, followed over the requests about them."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from recorder.capture import MAX_PART_BYTES, endpoint_of
from recorder.documents import Exchange, as_bytes
from tests.proxy.asking import Reply, ask
from tests.proxy.stage import SERVER_PROXY, Stage, staged
from tests.proxy.test_money import new_workflow
from tests.proxy.upstream import LAST_CHUNK, Upstream, chunk, chunked_head, fresh_id, sized

LOCALLY = ("status_url", "response_url", "cancel_url")


class Queued:
    """A run in upstream's queue, and the requests about it, through the proxy."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.workflow = new_workflow()
        self.request_id = fresh_id()
        self.path = f"/queue/{self.workflow}/requests/{self.request_id}"

    def submit(self, origin: str = "https://queue.fal.run", **how: Any) -> Reply:
        own = f"{origin}/{self.workflow}/requests/{self.request_id}"
        told = {
            "status": "IN_QUEUE",
            "request_id": self.request_id,
            "response_url": own,
            "status_url": f"{own}/status",
            "cancel_url": f"{own}/cancel",
            "queue_position": 3,
            "webhook": f"not an address: {own}",
        }
        self.stage.upstream.answer(sized(self.request_id, json.dumps(told).encode()))
        return self.stage.through(f"/queue/{self.workflow}", body=b'{"seed": 1}', **how)

    def status(self, query: str = "", **told: Any) -> Reply:
        body = json.dumps({"request_id": self.request_id, **told}).encode()
        self.stage.upstream.answer(sized(self.request_id, body))
        return self.stage.through(f"{self.path}/status{query}", method="GET", body=b"")

    def result(
        self, body: bytes = b'{"images": []}', status: str = "200 OK", at: str = ""
    ) -> Reply:
        self.stage.upstream.answer(sized(self.request_id, body, status=status))
        return self.stage.through(f"{self.path}{at}", method="GET", body=b"")

    def cancel(self, status: str = "202 Accepted") -> Reply:
        self.stage.upstream.answer(sized(self.request_id, b"{}", status=status))
        return self.stage.through(f"{self.path}/cancel", method="PUT", body=b"")

    def exchanges(self) -> list[Exchange]:
        events = [logged.event for logged in self.stage.events(self.request_id)]
        return [event for event in events if isinstance(event, Exchange)]

    def asked(self) -> list[tuple[str, int | None]]:
        """What was asked and answered, in order, as it is in the log."""
        return [(exchange.what, exchange.status) for exchange in self.exchanges()]


@pytest.fixture
def queued(stage: Stage) -> Queued:
    return Queued(stage)


def test_a_run_is_followed_from_its_submit_to_its_result(queued: Queued) -> None:
    queued.submit()
    queued.status(status="IN_QUEUE", queue_position=1)
    queued.status(status="IN_PROGRESS", logs=[{"message": "hello"}])
    queued.status(status="COMPLETED", metrics={"inference_time": 1.5})
    assert queued.result().body == b'{"images": []}'
    run = queued.stage.run(queued.request_id)
    assert queued.asked() == [("submit", 200)] + [("status", 200)] * 3 + [("result", 200)]
    assert (run.mode, run.workflow, run.status, run.close_reason) == (
        "queue",
        queued.workflow,
        "completed",
        "eof",
    )
    assert run.queue is not None
    assert (run.queue.position, run.queue.inference_us) == (1, 1_500_000)
    assert run.queue.started_us is not None
    assert run.queue.completed_us is not None
    assert 0 < run.queue.started_us < run.queue.completed_us == run.duration_us


@pytest.mark.parametrize("at", ["", "/response", "/response/"])
def test_the_result_has_two_addresses(queued: Queued, at: str) -> None:
    queued.submit()
    queued.result(at=at)
    assert queued.asked() == [("submit", 200), ("result", 200)]
    assert queued.stage.run(queued.request_id).close_reason == "eof"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("at", ["/logs", "/status/other", "/response/more"])
def test_what_else_is_asked_about_a_run_begins_none(queued: Queued, method: str, at: str) -> None:
    queued.submit()
    queued.stage.upstream.answer(sized(queued.request_id, b"{}"))
    assert queued.stage.through(f"{queued.path}{at}", method=method, body=b"").status == 200
    queued.result()
    assert queued.asked() == [("submit", 200), ("result", 200)]
    assert queued.stage.run(queued.request_id).status == "completed"


def test_an_owner_may_be_called_requests() -> None:
    assert endpoint_of("POST", "/workflows/requests/poster", "queue").kind == "submit"


def test_a_status_that_says_nothing_new_is_recorded_once(queued: Queued) -> None:
    queued.submit()
    for _ in range(5):
        queued.status(status="IN_QUEUE", queue_position=1)
    for _ in range(5):
        queued.status(status="IN_PROGRESS")
    queued.result()
    assert queued.asked() == [("submit", 200)] + [("status", 200)] * 2 + [("result", 200)]


def test_only_the_result_shows_that_a_run_failed(queued: Queued) -> None:
    queued.submit()
    queued.status(status="COMPLETED")
    reply = queued.result(b'{"detail": "no"}', "422 Unprocessable Entity")
    run = queued.stage.run(queued.request_id)
    assert (reply.status, run.status) == (422, "failed")
    assert run.error is not None
    assert (run.error.status, run.error.body) == (422, '{"detail": "no"}')


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "429 Too Many Requests"])
def test_asking_for_a_result_too_early_ends_nothing(queued: Queued, status: str) -> None:
    queued.submit()
    queued.result(b'{"detail": "still in progress"}', status)
    queued.result()
    assert queued.asked() == [("submit", 200), ("result", int(status[:3])), ("result", 200)]
    assert queued.stage.run(queued.request_id).status == "completed"


def test_a_run_that_fal_agreed_to_cancel_is_cancelled(queued: Queued) -> None:
    queued.submit()
    assert queued.cancel().status == 202
    queued.status(status="COMPLETED")
    queued.result(b'{"detail": "cancelled"}', "499 Client Closed Request")
    assert queued.asked()[1] == ("cancel", 202)
    assert queued.stage.run(queued.request_id).status == "cancelled"


def test_a_run_that_was_too_late_to_cancel_goes_on(queued: Queued) -> None:
    queued.submit()
    assert queued.cancel("400 Bad Request").status == 400
    queued.result()
    assert queued.stage.run(queued.request_id).status == "completed"


def test_a_refused_submit_is_a_run_that_failed(queued: Queued) -> None:
    queued.stage.upstream.answer(sized(queued.request_id, b'{"detail": "no"}', status="403 No"))
    reply = queued.stage.through(f"/queue/{queued.workflow}")
    run = queued.stage.run_of(queued.workflow)
    assert (reply.status, reply.body) == (403, b'{"detail": "no"}')
    assert (run.mode, run.status, run.close_reason) == ("queue", "failed", "refused")


def test_a_stream_of_statuses_passes_at_once_and_is_recorded_frame_by_frame(
    queued: Queued,
) -> None:
    frames = [
        b'data: {"status": "IN_QUEUE", "queue_position": 2}\r\n\r\n',
        b': ping\r\n\r\ndata: {"status": "IN_PROGRESS"}\r\n\r\n',
        b'data: {"status": "COMPLETED", "metrics": {"inference_time": 0.5}}\r\n\r\n',
    ]
    queued.submit()
    queued.stage.upstream.answer(chunked_head(None), *map(chunk, frames), LAST_CHUNK)
    reply = queued.stage.through(f"{queued.path}/status/stream?logs=1", method="GET", body=b"")
    queued.result()
    told = [each for each in queued.exchanges() if each.what == "status_stream"]
    assert reply.body == b"".join(frames)
    assert [as_bytes(each.body, each.body_base64) for each in told] == frames
    run = queued.stage.run(queued.request_id)
    assert run.queue is not None
    assert (run.status, run.queue.inference_us) == ("completed", 500_000)


@pytest.mark.parametrize("size", [MAX_PART_BYTES, MAX_PART_BYTES + 1, 2 * MAX_PART_BYTES + 3])
def test_a_result_too_long_for_one_event_is_recorded_in_parts(queued: Queued, size: int) -> None:
    body = b'"' + b"x" * (size - 2) + b'"'
    queued.submit()
    assert queued.result(body).body == body
    parts = [each for each in queued.exchanges() if each.what == "result"]
    recorded = [as_bytes(part.body, part.body_base64) for part in parts]
    assert [part.part for part in parts] == list(range(-(-size // MAX_PART_BYTES)))
    assert b"".join(recorded) == body
    assert queued.stage.run(queued.request_id).status == "completed"


class TestTheThreeAddresses:
    def test_lead_through_the_recorder_and_are_recorded_as_they_came(self, queued: Queued) -> None:
        reply = queued.submit()
        told = json.loads(reply.body)
        own = f"http://recorder/fal{queued.path}"
        assert [told[name] for name in LOCALLY] == [f"{own}/status", own, f"{own}/cancel"]
        assert told["webhook"].startswith("not an address: https://queue.fal.run/")
        assert reply.values("content-length") == [str(len(reply.body))]
        queued.result()
        recorded = json.loads(queued.exchanges()[0].body or "")
        assert recorded["status_url"].startswith("https://queue.fal.run/")

    def test_of_a_queue_that_stands_for_fals_lead_through_it_too(self, queued: Queued) -> None:
        told = json.loads(queued.submit(f"{queued.stage.upstream.url}/queue").body)
        assert [told[name].startswith("http://recorder/fal/queue/") for name in LOCALLY] == [
            True
        ] * 3

    @pytest.mark.parametrize(
        "origin", ["https://queue.fal.run.evil.example", "https://queue.fal.runner", "http://x"]
    )
    def test_of_anybody_else_are_left_alone(self, queued: Queued, origin: str) -> None:
        told = json.loads(queued.submit(origin).body)
        assert [told[name].startswith(f"{origin}/") for name in LOCALLY] == [True] * 3

    def test_are_left_alone_through_the_server_proxy(self, queued: Queued) -> None:
        """There the client makes its addresses itself."""
        body = b'{"request_id": "%s", "status_url": "https://queue.fal.run/x"}'
        body %= queued.request_id.encode()
        queued.stage.upstream.answer(sized(queued.request_id, body))
        target = ("x-fal-target-url", f"https://queue.fal.run/{queued.workflow}")
        assert ask(queued.stage.server.url, SERVER_PROXY, fields=[target]).body == body

    @pytest.mark.parametrize("told", ["https", "HTTPS", "https, http"])
    def test_keep_the_clients_key_on_tls_where_somebody_ends_it_before_us(
        self, queued: Queued, told: str
    ) -> None:
        reply = queued.submit(fields=[("X-Forwarded-Proto", told)])
        assert json.loads(reply.body)["status_url"].startswith("https://recorder/fal/queue/")

    def test_take_no_other_scheme(self, queued: Queued) -> None:
        reply = queued.submit(fields=[("X-Forwarded-Proto", "javascript")])
        assert json.loads(reply.body)["status_url"].startswith("http://recorder/fal/queue/")

    def test_lead_to_the_address_that_is_configured(
        self, upstream: Upstream, sqlite_url: str
    ) -> None:
        with staged(sqlite_url, upstream, public_url="https://recorder.example/base/") as stage:
            told = json.loads(Queued(stage).submit().body)
        assert told["cancel_url"].startswith("https://recorder.example/base/fal/queue/workflows/")

    def test_keep_the_rest_of_the_reply_to_the_letter(self, queued: Queued) -> None:
        odd = b' {"status_url" : "https://queue.fal.run/x?y=1" ,\n"seed": 1e3, "x": "\\u00e9\xff"}'
        queued.stage.upstream.answer(sized(queued.request_id, odd))
        reply = queued.stage.through(f"/queue/{queued.workflow}")
        expected = odd.replace(b"https://queue.fal.run", b"http://recorder/fal/queue")
        assert reply.body == expected


def test_a_run_submitted_elsewhere_is_followed_from_when_it_is_asked_about(queued: Queued) -> None:
    queued.status(status="IN_PROGRESS")
    queued.result()
    assert queued.asked() == [("status", 200), ("result", 200)]
    run = queued.stage.run(queued.request_id)
    assert (run.workflow, run.status) == (queued.workflow, "completed")


def test_asking_about_a_run_that_does_not_exist_makes_none(queued: Queued) -> None:
    before = queued.stage.head()
    assert queued.result(b"{}", "404 Not Found").status == 404
    assert queued.stage.head() == before


def test_asking_again_for_a_result_makes_no_second_run(queued: Queued) -> None:
    queued.submit()
    queued.result()
    before = queued.stage.head()
    assert queued.result().body == b'{"images": []}'
    queued.status(status="COMPLETED")
    assert queued.stage.head() == before


def test_a_run_submitted_under_an_id_again_does_not_leave_the_first_one_open(
    queued: Queued,
) -> None:
    queued.submit()
    queued.submit()
    first = queued.stage.run(queued.request_id)
    queued.result()
    second = queued.stage.run(f"{queued.request_id}~2")
    assert (first.status, first.close_reason) == ("interrupted", "error")
    assert (second.status, dict(second.anomalies)) == ("completed", {"reused_request_id": 1})


def test_a_run_goes_on_after_the_recorder_was_restarted(
    upstream: Upstream, sqlite_url: str
) -> None:
    with staged(sqlite_url, upstream) as stage:
        queued = Queued(stage)
        queued.submit()
        queued.status(status="IN_QUEUE")
    with staged(sqlite_url, upstream) as stage:
        queued.stage = stage
        queued.status(status="IN_PROGRESS")
        queued.result()
        first, second = stage.run(queued.request_id), stage.run(f"{queued.request_id}~2")
    assert (first.status, first.close_reason) == ("interrupted", "error")
    assert (second.status, second.workflow, dict(second.anomalies)) == (
        "completed",
        queued.workflow,
        {"reused_request_id": 1},
    )


def test_a_run_that_many_ask_about_at_once_is_recorded_once(queued: Queued) -> None:
    queued.submit()
    queued.stage.upstream.answer(sized(queued.request_id, b'{"status": "IN_PROGRESS"}'))
    path, asking = f"{queued.path}/status", []
    for _ in range(16):
        thread = threading.Thread(target=queued.stage.through, args=(path,), kwargs=GET)
        asking.append(thread)
        thread.start()
    for thread in asking:
        thread.join()
    queued.result()
    assert queued.asked() == [("submit", 200), ("status", 200), ("result", 200)]


GET: dict[str, Any] = {"method": "GET", "body": b""}
