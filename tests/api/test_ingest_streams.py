"""The body of a stream sent in as it comes."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import select

import recorder
from api.ingest_models import ReceiptsModel
from api.server import ApiServer
from recorder.bootstrap import Recorder
from recorder.clock import Clock
from recorder.events import Closed, LoggedEvent, Opened
from recorder.lease import Watch
from recorder.recording import body_part
from recorder.settings import Settings
from recorder.store.log import SqlLog, run_events
from recorder.store.tables import recorders
from recorder.upload import Upload, find
from tests.api.asserts import problem, wrong_fields
from tests.api.conftest import client_of
from tests.builders import WORKFLOW, completion, history, opened, output, submit
from tests.clocks import ManualClock
from tests.logs import WAIT_S

EVENTS = "/api/v1/runs/run/events"
STREAM = {"content-type": "text/event-stream; charset=utf-8"}
FRAMES = [submit("a"), b": ping\n\n" + completion("a"), output()]
BODY = b"\xef\xbb\xbf" + b"".join(FRAMES) + b": the end"


def send(http: httpx.Client, body: bytes | Iterator[bytes], **query: str | int) -> httpx.Response:
    return http.post(EVENTS, params={"workflow": WORKFLOW, **query}, content=body, headers=STREAM)


def rows(rec: Recorder) -> list[LoggedEvent]:
    return list(run_events(rec.log, "run"))


def body_of(rec: Recorder) -> bytes:
    return b"".join(map(body_part, rows(rec)))


class LiveBody:
    """A body whose sender sends, ends or breaks it off as told."""

    def __init__(self) -> None:
        self._chunks: queue.Queue[bytes | None] = queue.Queue()

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._chunks.get(timeout=WAIT_S):
            yield chunk
        if chunk is None:
            raise ConnectionResetError("the sender is gone")

    def send(self, chunk: bytes) -> None:
        self._chunks.put(chunk)

    def end(self) -> None:
        self._chunks.put(b"")

    def break_off(self) -> None:
        self._chunks.put(None)


@contextmanager
def sending(http: httpx.Client, **query: str | int) -> Iterator[tuple[LiveBody, list[object]]]:
    """A body being sent beside the test, and what came of it."""
    body = LiveBody()
    came: list[object] = []

    def call() -> None:
        try:
            came.append(send(http, iter(body), **query))
        except (ConnectionResetError, httpx.TransportError) as error:
            came.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield body, came
    finally:
        body.break_off()
        thread.join(WAIT_S)


def wait_for_events(rec: Recorder, count: int) -> None:
    """Returns once the run has so many events in the log."""
    while len(rows(rec)) < count:
        rec.log.commits.wait_beyond(rec.log.head().position, 0.05)


def test_a_body_is_recorded_byte_for_byte_and_its_run_is_closed(
    http_on_both: httpx.Client, rec: Recorder
) -> None:
    answer = ReceiptsModel.model_validate(send(http_on_both, BODY).json())
    assert body_of(rec) == BODY
    first, *events = rows(rec)
    assert [row.type for row in events] == ["submit", "completion", "output", "closed"]
    assert answer.model_dump() == {
        "request_id": "run",
        "receipts": [
            {"seq": row.seq, "position": row.position, "chain": row.chain.hex()} for row in events
        ],
        "next_seq": None,
    }
    assert isinstance(first.event, Opened)
    assert (first.event.source, first.event.workflow) == ("ingest", WORKFLOW)
    run = rec.run("run")
    assert (run.status, run.close_reason, dict(run.anomalies)) == (
        "completed",
        "eof",
        {"trailing_bytes": 1},
    )


def test_events_are_recorded_and_stamped_as_they_come(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    with sending(http) as (body, came):
        for count, frame in enumerate(FRAMES, 2):
            body.send(frame[:5])
            body.send(frame[5:])
            wait_for_events(sqlite_rec, count)
        assert came == []
        body.end()
        wait_for_events(sqlite_rec, 5)
    stamps = [row.elapsed_us for row in rows(sqlite_rec)]
    assert stamps == sorted(set(stamps))
    assert body_of(sqlite_rec) == b"".join(FRAMES)


def test_a_body_sent_again_whole_changes_nothing(http: httpx.Client, sqlite_rec: Recorder) -> None:
    first = send(http, BODY).json()
    assert send(http, BODY).json() == first
    assert sqlite_rec.log.head().position == 5


def broken_off(http: httpx.Client, rec: Recorder, *frames: bytes) -> None:
    """A body that breaks off once these frames are in the log."""
    with sending(http) as (body, came):
        for frame in frames:
            body.send(frame)
        wait_for_events(rec, 1 + len(frames))
        body.break_off()
    assert len(came) == 1
    assert not isinstance(came[0], httpx.Response)


def test_a_body_that_broke_off_is_gone_on_with_by_sending_it_again(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    broken_off(http, sqlite_rec, *FRAMES[:2])
    assert sqlite_rec.run("run").status == "running"
    assert send(http, b"".join(FRAMES)).json()["next_seq"] is None
    assert body_of(sqlite_rec) == b"".join(FRAMES)
    stamps = [row.elapsed_us for row in rows(sqlite_rec)]
    assert stamps == sorted(stamps), "what comes later is later"


def test_a_body_that_broke_off_is_gone_on_with_from_where_it_did(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    broken_off(http, sqlite_rec, *FRAMES[:2])
    rest = send(http, FRAMES[2], first_seq=3).json()
    assert [each["seq"] for each in rest["receipts"]] == [3, 4]
    assert body_of(sqlite_rec) == b"".join(FRAMES)


def test_another_body_in_a_run_s_place_is_a_conflict(http: httpx.Client) -> None:
    send(http, BODY)
    document = problem(send(http, submit("other")), 409, "sequence-conflict")
    assert document["next_seq"] == 5
    problem(send(http, BODY[3:-9] + submit("more")), 409, "sequence-conflict")


def test_what_goes_on_after_the_end_is_refused(http: httpx.Client) -> None:
    send(http, BODY)
    problem(send(http, submit("late"), first_seq=5), 409, "run-closed")


def test_a_body_that_begins_in_the_middle_of_nothing_is_a_conflict(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    document = problem(send(http, FRAMES[2], first_seq=3), 409, "sequence-conflict")
    assert document["next_seq"] == 0
    assert sqlite_rec.log.head().position == 0


def test_a_run_recorded_otherwise_is_the_same_if_its_bytes_are(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    sqlite_rec.log.append(history("run", *FRAMES))
    assert send(http, b"".join(FRAMES)).status_code == 200
    assert sqlite_rec.log.head().position == 5


def test_parameters_that_make_no_sense_are_refused(http: httpx.Client) -> None:
    assert wrong_fields(send(http, BODY, first_seq=0)) == ["first_seq"]
    assert wrong_fields(send(http, BODY, other="x")) == ["other"]


def watch_of_a_peer(rec: Recorder, clock: Clock) -> Watch:
    log = SqlLog(rec.database, instance="a peer")
    return Watch(rec.database, log, clock=clock, lease_s=rec.settings.lease_s)


@pytest.fixture
def often_beating(sqlite_url: str) -> Iterator[tuple[httpx.Client, Recorder]]:
    """A service whose lease time is short, so that signs of life come often."""
    settings = Settings(database_url=sqlite_url, lease_s=1.0)
    with (
        recorder.open(settings=settings) as rec,
        ApiServer(rec) as server,
        client_of(server) as client,
    ):
        yield client, rec


def test_a_silent_body_keeps_its_run_while_it_lasts_and_then_loses_it(
    often_beating: tuple[httpx.Client, Recorder],
) -> None:
    http, rec = often_beating
    clock = ManualClock()
    peer = watch_of_a_peer(rec, clock)
    with sending(http) as (body, _):
        body.send(FRAMES[0])
        wait_for_events(rec, 2)
        [owner] = {row.event.recorder for row in rows(rec) if isinstance(row.event, Opened)}
        for _ in range(3):
            seen = beats(rec, owner)
            assert peer.close_lost_runs() == []
            while beats(rec, owner) == seen:
                pass
            clock.advance(1_000_000)
        body.break_off()
    while True:
        clock.advance(1_000_000)
        if peer.close_lost_runs() or isinstance(rows(rec)[-1].event, Closed):
            break
    run = rec.run("run")
    assert (run.status, run.close_reason) == ("interrupted", "recorder_lost")


def beats(rec: Recorder, instance: str) -> int | None:
    """The beat of a recorder, None before its first."""
    query = select(recorders.c.beat).where(recorders.c.instance == instance)
    with rec.database.reading() as connection:
        return connection.execute(query).scalar()


def test_a_body_taken_whole_leaves_no_sign_of_life_behind(
    often_beating: tuple[httpx.Client, Recorder],
) -> None:
    http, rec = often_beating
    with sending(http) as (body, _):
        body.send(FRAMES[0])
        wait_for_events(rec, 2)
        [owner] = {row.event.recorder for row in rows(rec) if isinstance(row.event, Opened)}
        while beats(rec, owner) is None:
            pass
        body.end()
        wait_for_events(rec, 3)
    assert beats(rec, owner) is None


def test_an_upload_that_goes_on_is_stamped_after_what_is_there(sqlite_rec: Recorder) -> None:
    log, writer = sqlite_rec.log, sqlite_rec.writer
    log.append(history("run", FRAMES[0], document=opened("run", source="ingest"), reason=None))
    begun = find(log, "run")
    assert begun is not None
    assert (begun.owner, begun.elapsed_us) == ("tests", 100_000)
    clock = ManualClock()

    async def upload_more() -> None:
        upload = Upload(writer.submit_async, "run", first_seq=2, begun=begun, clock=clock)
        clock.advance(5)
        upload.open("ignored")
        upload.feed(FRAMES[1])
        assert len(await upload.sent.pop().acknowledged) == 1

    asyncio.run(upload_more())
    assert rows(sqlite_rec)[-1].elapsed_us == 100_005
