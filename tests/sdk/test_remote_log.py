"""A log behind a recorder service, seen by a log writer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import httpx
import msgspec
import pytest

from api.server import ApiServer
from recorder import remote
from recorder.bootstrap import Recorder
from recorder.errors import EventRefused, LogError, LogUnavailable, RunClosed, SequenceConflict
from recorder.events import Answer, NewEvent, Opened
from recorder.remote import RemoteLog, RemoteWatch
from recorder.store.log import Receipt, run_events
from tests.builders import (
    as_new,
    history,
    interleaved,
    new_event,
    one_step_run,
    opened,
    output,
    submit,
)
from tests.core.raw_server import head, serving


@pytest.fixture
def service(sqlite_rec: Recorder) -> Iterator[str]:
    """A service over `sqlite_rec`."""
    with ApiServer(sqlite_rec) as server:
        yield server.url


@pytest.fixture
def log(service: str) -> Iterator[RemoteLog]:
    with closing(RemoteLog(service, instance="sender")) as remote_log:
        yield remote_log


def recorded(rec: Recorder, run: str) -> list[NewEvent]:
    return as_new(run_events(rec.log, run))


def test_what_is_appended_is_in_the_service_s_log_with_the_receipts_told(
    log: RemoteLog, sqlite_rec: Recorder
) -> None:
    runs = [one_step_run("a/b~2"), history("ü", (Answer(), b"\xff\0"), reason=None)]
    sent = interleaved(*runs)
    receipts = log.append(sent)
    assert [recorded(sqlite_rec, run[0].request_id) for run in runs] == runs
    logged = {(row.request_id, row.seq): row for row in sqlite_rec.log.read()}
    rows = [logged[event.request_id, event.seq] for event in sent]
    assert receipts == [Receipt(row.position, row.chain) for row in rows]
    assert log.append(sent) == receipts


def test_an_empty_batch_asks_nobody() -> None:
    with closing(RemoteLog("http://127.0.0.1:9")) as log:
        assert log.append([]) == []


def test_refusals_are_told_event_by_event_and_touch_no_other(log: RemoteLog) -> None:
    log.append([*one_step_run("closed"), *history("open", submit("a"), reason=None)])
    late, other, hole, fine = log.append(
        [
            new_event("closed", 5, submit("late")),
            new_event("open", 1, submit("other")),
            new_event("open", 4, output()),
            new_event("open", 2, output()),
        ]
    )
    assert isinstance(late, RunClosed)
    assert (late.request_id, late.seq) == ("closed", 5)
    assert isinstance(other, SequenceConflict)
    assert (other.request_id, other.seq, other.next_seq) == ("open", 1, 3)
    assert isinstance(hole, SequenceConflict)
    assert (hole.seq, hole.next_seq) == (4, 3)
    assert isinstance(fine, Receipt)


def test_the_beginning_of_a_run_is_read_back(log: RemoteLog) -> None:
    document = opened("run/1", recording="mine")
    log.append(history("run/1", submit("a"), document=document))
    [first] = log.read_run("run/1", limit=1)
    assert isinstance(first.event, Opened)
    assert first.event == document
    assert [row.seq for row in log.read_run("run/1", after_seq=0)] == [1, 2]
    assert log.read_run("none", limit=1) == []


def test_a_long_batch_goes_out_in_several_requests(
    log: RemoteLog, sqlite_rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "MAX_REQUEST_BYTES", 2_000)
    run = history("run", *(submit(f"{number:0>300}") for number in range(20)), output("x" * 5_000))
    positions = [each.position for each in log.append(run) if isinstance(each, Receipt)]
    assert len(positions) == len(run)
    assert all(later == earlier + 1 for earlier, later in pairwise(positions))
    assert recorded(sqlite_rec, "run") == run


@pytest.mark.parametrize("odd", [0, 3, 7])
def test_an_event_the_service_does_not_take_costs_the_others_nothing(
    log: RemoteLog, sqlite_rec: Recorder, odd: int
) -> None:
    """As one of a kind that only a later version of the recorder knows."""
    runs = [history(f"run-{number}", reason=None) for number in range(8)]
    sent = [event for run in runs for event in run]
    unknown = new_event("odd", 1, submit("a"))
    sent.insert(odd, msgspec.structs.replace(unknown, type="invented"))
    outcomes = log.append(sent)
    refused = outcomes.pop(odd) if isinstance(outcomes, list) else None
    assert isinstance(refused, EventRefused)
    assert "Invalid enum value 'invented'" in str(refused)
    assert all(isinstance(each, Receipt) for each in outcomes)
    assert [recorded(sqlite_rec, f"run-{number}") for number in range(8)] == runs


def test_an_event_too_large_for_the_service_is_refused_alone(
    log: RemoteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.ingest.MAX_BODY_BYTES", 4_000)
    [fine, large] = log.append(
        [
            *history("a", reason=None),
            *history("b", reason=None, document=opened("b", input="x" * 5_000)),
        ]
    )
    assert isinstance(fine, Receipt)
    assert isinstance(large, EventRefused)
    assert str(large).startswith("the recorder service answered 413: a request body has at most")


JSON = "application/json"
AWAY = {
    "not there": (head("404 Not Found", "Content-Length: 0"), "answered 404"),
    "failing": (head("500 Internal Server Error", "Content-Length: 0"), "answered 500"),
    "away itself": (
        head("503 Service Unavailable", "Content-Length: 20", media_type=JSON)
        + b'{"detail": "a word"}',
        "answered 503: a word",
    ),
    "another's": (
        head("200 OK", "Content-Length: 6", media_type="text/html") + b"<html>",
        "makes no sense",
    ),
    "short of an outcome": (
        head("200 OK", "Content-Length: 15", media_type=JSON) + b'{"outcomes":[]}',
        "makes no sense",
    ),
    "without an outcome": (
        head("200 OK", "Content-Length: 17", media_type=JSON) + b'{"outcomes":[{}]}',
        "makes no sense",
    ),
    "cut": (head("200 OK", "Content-Length: 99") + b"x", "does not answer"),
    "silent": (b"", "does not answer"),
}


@pytest.mark.parametrize("how", AWAY)
def test_a_service_that_does_not_answer_as_one_is_away(how: str) -> None:
    reply, told = AWAY[how]
    with serving([reply]) as server:
        assert told in why_away(server.url)


def why_away(url: str) -> str:
    """What a log says that is away."""
    with closing(RemoteLog(url)) as log, pytest.raises(LogUnavailable) as away:
        log.append(history("run"))
    return str(away.value)


def test_a_service_that_takes_too_long_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_TIMEOUT", httpx.Timeout(0.05))
    released = threading.Event()
    with serving([released]) as server:
        assert "does not answer" in why_away(server.url)
        released.set()


def test_where_nobody_listens_the_log_is_away(service: str) -> None:
    assert "does not answer" in why_away("http://127.0.0.1:9")
    assert "answered 404" in why_away(f"{service}/elsewhere")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "runs.db",
        "ftp://h",
        "http://",
        "http://h:0",
        "http://h:x",
        "http://u:p@h",
        "http://h?a=b",
        "http://h#f",
        "http://[h",
    ],
)
def test_what_is_no_address_of_a_service_is_told_without_its_credentials(url: str) -> None:
    with pytest.raises(LogError, match="is no address of a recorder service") as refused:
        RemoteLog(url)
    assert "u:p" not in str(refused.value)


def test_nothing_is_written_into_the_program_s_log(
    log: RemoteLog, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "httpx"):
        log.append(history("run"))
    assert [each for each in caplog.records if each.name in ("httpx", "recorder.remote")] == []


def test_signs_of_life_keep_the_runs_of_a_sender(log: RemoteLog, sqlite_rec: Recorder) -> None:
    adopted: list[bool] = []
    watch = RemoteWatch(log, adopt=lambda: adopted.append(True))
    document = opened("run", recorder=log.instance)
    log.append(history("run", document=document, reason=None))
    watch.look()
    assert adopted == [True]
    with sqlite_rec.database.reading() as connection:
        beats = connection.exec_driver_sql("SELECT instance, beat FROM recorders").all()
    assert (log.instance, 1) in [tuple(row) for row in beats]


def test_the_service_says_how_long_a_sender_may_be_silent(
    log: RemoteLog, sqlite_rec: Recorder
) -> None:
    assert log.beat() == sqlite_rec.settings.lease_s
