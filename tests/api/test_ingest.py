"""Events sent in as lines."""

from __future__ import annotations

import gzip
import re
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.ingest_models import OutcomesModel, ReceiptsModel
from api.routes.ingest import MAX_BODY_BYTES
from api.server import ApiServer
from recorder import lines
from recorder.bootstrap import Recorder
from recorder.errors import LogUnavailable
from recorder.events import NewEvent
from recorder.store.log import run_events
from recorder.writer import LogWriter
from tests.api.asserts import problem, wrong_fields
from tests.api.conftest import client_of
from tests.builders import (
    as_new,
    completion,
    history,
    interleaved,
    new_event,
    one_step_run,
    opened,
    output,
    submit,
)
from tests.logs import WatchedLog

NDJSON = {"content-type": "application/x-ndjson"}
RUN = one_step_run("run")


def run_lines(events: list[NewEvent]) -> bytes:
    """Lines for the address of a run: the run is not named in them."""
    return b"".join(
        lines.encode(event).replace(b'"request_id":"run",', b"") for event in events
    ).replace(b',"request_id":"run"', b"")


def send(http: httpx.Client, events: list[NewEvent] | bytes, run: str = "run") -> httpx.Response:
    body = events if isinstance(events, bytes) else run_lines(events)
    return http.post(f"/api/v1/runs/{run}/events", content=body, headers=NDJSON)


def send_many(http: httpx.Client, events: list[NewEvent] | bytes) -> httpx.Response:
    body = events if isinstance(events, bytes) else b"".join(map(lines.encode, events))
    return http.post("/api/v1/events", content=body, headers=NDJSON)


def recorded(rec: Recorder, run: str = "run") -> list[NewEvent]:
    return as_new(run_events(rec.log, run))


def test_a_run_sent_in_is_recorded_and_answered_with_receipts(
    http_on_both: httpx.Client, rec: Recorder
) -> None:
    response = send(http_on_both, RUN)
    assert response.status_code == 200, response.text
    assert response.json() == {
        "request_id": "run",
        "receipts": [
            {"seq": row.seq, "position": row.position, "chain": row.chain.hex()}
            for row in run_events(rec.log, "run")
        ],
        "next_seq": None,
    }
    assert recorded(rec) == RUN
    assert rec.run("run").status == "completed"


def test_what_is_sent_again_gets_its_first_receipt(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    first = send(http, RUN[:3]).json()
    assert first["next_seq"] == 3
    assert send(http, RUN[:3]).json() == first
    whole = send(http, RUN).json()
    assert whole["receipts"][:3] == first["receipts"]
    assert send(http, RUN).json() == whole
    assert sqlite_rec.log.head().position == len(RUN)


def test_other_bytes_at_a_taken_place_are_a_conflict(http: httpx.Client) -> None:
    send(http, RUN[:3])
    document = problem(send(http, [new_event("run", 2, submit("other"))]), 409, "sequence-conflict")
    assert document["detail"] == "run run: seq 2 holds other bytes"
    assert document["next_seq"] == 3


def test_a_hole_is_a_conflict_and_what_comes_before_it_is_recorded(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    document = problem(send(http, [*RUN[:2], RUN[3]]), 409, "sequence-conflict")
    assert document["detail"] == "run run: seq 3 would leave a hole, next is 2"
    assert document["next_seq"] == 2
    assert recorded(sqlite_rec) == RUN[:2]


def test_nothing_follows_the_end_of_a_run(http: httpx.Client) -> None:
    send(http, RUN)
    document = problem(send(http, [new_event("run", 5, submit("late"))]), 409, "run-closed")
    assert "next_seq" not in document


def test_what_is_refused_stays_with_its_sender_and_takes_no_room_on_the_disk(
    http_on_both: httpx.Client, rec: Recorder
) -> None:
    send(http_on_both, RUN)
    for events in (
        [*RUN[:2], new_event("run", 2, submit("other"))],
        [new_event("run", 5, submit("late"))],
    ):
        assert send(http_on_both, events).status_code == 409
    assert [each.check for each in rec.examine() if each.severity == "problem"] == []


@pytest.mark.parametrize("at", [0, 2, 4])
def test_of_lines_that_make_no_sense_nothing_is_recorded(
    http: httpx.Client, sqlite_rec: Recorder, at: int
) -> None:
    sent = run_lines(RUN).splitlines()
    sent[at] = sent[at].replace(b'"seq":', b'"number":')
    assert wrong_fields(send(http, b"\n".join(sent))) == [f"line {at + 1}, number"]
    assert sqlite_rec.log.head().position == 0


def test_a_document_that_no_column_can_hold_is_recorded_and_shown(
    http_on_both: httpx.Client, rec: Recorder
) -> None:
    document = opened("run", workflow="w\0" * 600, definition="d\0", parent="p\0")
    assert send(http_on_both, history("run", document=document)).status_code == 200
    run = http_on_both.get("/api/v1/runs/run").json()
    assert [run[name][:7] for name in ("workflow", "definition", "parent")] == ["sha256:"] * 3
    assert rec.projector.failure is None


def test_the_id_of_a_run_may_be_anything_but_empty(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    for run in ("a%2Fevents", "%00", "x" * 600):
        assert send(http, RUN, run).status_code == 200
    assert len(sqlite_rec.runs().runs) == 3
    assert wrong_fields(send(http, RUN, "")) == ["request_id"]


def test_lines_of_many_runs_have_an_outcome_each(http_on_both: httpx.Client, rec: Recorder) -> None:
    runs = [one_step_run(f"run-{number}") for number in range(3)]
    sent = interleaved(*runs)
    response = send_many(http_on_both, sent)
    assert response.json() == {
        "outcomes": [
            {"position": row.position, "chain": row.chain.hex(), "problem": None, "next_seq": None}
            for event in sent
            for row in rec.log.read_run(event.request_id, event.seq - 1, limit=1)
        ]
    }
    assert [recorded(rec, f"run-{number}") for number in range(3)] == runs


def test_one_event_s_refusal_touches_no_other(http: httpx.Client, sqlite_rec: Recorder) -> None:
    send_many(http, [*one_step_run("closed"), *history("open", submit("a"), reason=None)])
    sent = [
        new_event("closed", 5, submit("late")),
        new_event("open", 1, submit("other")),
        new_event("open", 2, completion("a")),
        new_event("open", 4, output()),
        *history("new", output()),
    ]
    outcomes = OutcomesModel.model_validate(send_many(http, sent).json()).outcomes
    assert [(each.problem, each.next_seq) for each in outcomes] == [
        ("run-closed", None),
        ("sequence-conflict", 3),
        (None, None),
        ("sequence-conflict", 3),
        *[(None, None)] * 3,
    ]
    taken = [each.position for each in outcomes if each.problem is None]
    assert taken == [row.position for row in sqlite_rec.log.read(after=7)] == [8, 9, 10, 11]


def test_a_batch_of_more_than_one_transaction_is_taken_in_order(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    run = history("run", *(submit(str(number)) for number in range(1_200)))
    receipts = ReceiptsModel.model_validate(send(http, run).json())
    assert [each.seq for each in receipts.receipts] == list(range(len(run)))
    assert recorded(sqlite_rec) == run


def test_a_body_sent_as_something_else_is_refused(http: httpx.Client) -> None:
    for media_type in ("application/json", "text/plain", ""):
        headers = {"content-type": media_type}
        one = http.post("/api/v1/runs/run/events", content=run_lines(RUN), headers=headers)
        problem(one, 415, "not-events")
        many = http.post(
            "/api/v1/events", content=b"".join(map(lines.encode, RUN)), headers=headers
        )
        problem(many, 415, "not-events")


@pytest.mark.parametrize("media_type", ["application/x-ndjson", "text/event-stream"])
def test_a_compressed_body_is_refused_and_nothing_of_it_recorded(
    http: httpx.Client, sqlite_rec: Recorder, media_type: str
) -> None:
    headers = {"content-type": media_type, "content-encoding": "gzip"}
    for path in ("/api/v1/runs/run/events", "/api/v1/events"):
        response = http.post(path, content=gzip.compress(b"data: {}\n\n"), headers=headers)
        detail = problem(response, 415, "not-events")["detail"]
        assert detail.endswith(", and without content-encoding")
    assert sqlite_rec.log.head().position == 0


def test_a_body_whose_encoding_is_none_is_taken(http: httpx.Client) -> None:
    headers = {"content-type": "application/x-ndjson", "content-encoding": "identity"}
    sent = http.post("/api/v1/runs/run/events", content=run_lines(RUN), headers=headers)
    assert sent.status_code == 200


def test_a_stream_s_parameters_make_no_sense_with_lines(http: httpx.Client) -> None:
    for query in ("workflow=w", "first_seq=2"):
        response = http.post(
            f"/api/v1/runs/run/events?{query}", content=run_lines(RUN), headers=NDJSON
        )
        assert wrong_fields(response) == [query.partition("=")[0]]


def test_a_body_beyond_the_limit_is_refused(http: httpx.Client, sqlite_rec: Recorder) -> None:
    padding = b" " * (MAX_BODY_BYTES - len(run_lines(RUN)))
    problem(send(http, run_lines(RUN) + padding + b" "), 413, "body-too-large")
    problem(send_many(http, b" " * (MAX_BODY_BYTES + 1)), 413, "body-too-large")
    assert sqlite_rec.log.head().position == 0
    assert send(http, run_lines(RUN) + padding).status_code == 200


@pytest.fixture
def watched(sqlite_rec: Recorder) -> Iterator[tuple[httpx.Client, WatchedLog]]:
    """A client of an API whose log writer's log can be held up."""
    log = WatchedLog(sqlite_rec.log)
    sqlite_rec.writer.close()
    sqlite_rec.writer = LogWriter(log)
    with ApiServer(sqlite_rec) as server, client_of(server) as client:
        yield client, log


def test_an_answer_comes_after_the_commit(watched: tuple[httpx.Client, WatchedLog]) -> None:
    http, log = watched
    log.hold()
    answers: list[httpx.Response] = []
    sending = threading.Thread(target=lambda: answers.append(send(http, RUN)))
    sending.start()
    log.wait_for_append()
    assert http.get("/healthz").status_code == 200, "nobody else waits"
    assert answers == []
    log.release()
    sending.join()
    assert [answer.status_code for answer in answers] == [200]


def test_a_log_that_does_not_take_events_in_time_is_unavailable(
    watched: tuple[httpx.Client, WatchedLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    http, log = watched
    monkeypatch.setattr("api.ingest.ACKNOWLEDGE_S", 0.0)
    log.hold()
    problem(send(http, RUN), 503, "log-unavailable")
    log.release()


def test_while_the_log_is_away_nothing_piles_up(
    watched: tuple[httpx.Client, WatchedLog], sqlite_rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    http, log = watched
    log.away = LogUnavailable("away")
    with monkeypatch.context() as impatient:
        impatient.setattr("api.ingest.ACKNOWLEDGE_S", 0.0)
        problem(send(http, RUN), 503, "log-unavailable")
    while not sqlite_rec.writer.is_behind:
        log.wait_for_append()
    answer = problem(send(http, RUN), 503, "log-unavailable")
    assert answer["detail"] == "The database does not answer or cannot commit."
    log.away = None
    assert sqlite_rec.writer.flush()
    assert log.batches == [RUN], "what was refused at once was not queued"
    assert send(http, RUN).status_code == 200
    assert recorded(sqlite_rec) == RUN


def beat(http: httpx.Client, instance: str) -> Any:
    return http.put(f"/api/v1/recorders/{instance}")


def test_the_manual_s_lines_are_taken_as_they_stand_there(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    [shown] = re.findall(r"<<'END'\n(.*?)\n +END\n", manual, re.DOTALL)
    assert send(http, textwrap.dedent(shown).encode(), "my-run-2").status_code == 200
    run = sqlite_rec.run("my-run-2")
    assert (run.status, run.workflow, run.source) == ("completed", "workflows/o/n", "ingest")


def test_a_sign_of_life_is_taken_any_number_of_times(
    http_on_both: httpx.Client, rec: Recorder
) -> None:
    send(http_on_both, history("run", document=opened("run", recorder="sender"), reason=None))
    for _ in range(2):
        assert beat(http_on_both, "sender").json() == {
            "instance": "sender",
            "lease_s": rec.settings.lease_s,
        }
    problem(beat(http_on_both, "x" * 101), 422, "invalid-request")
    problem(beat(http_on_both, "a%20b"), 422, "invalid-request")
