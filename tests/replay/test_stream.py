"""`GET /api/v1/runs/{request_id}/stream`: a run played again."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder import sse
from recorder.bootstrap import Recorder
from recorder.events import OWN_TYPES, Closed
from recorder.recording import Recording
from tests.builders import (
    answer,
    completion,
    exchange,
    frame,
    history,
    new_event,
    one_step_run,
    opened,
    output,
    submit,
)
from tests.trust.hostile.cases import CASES

STREAM = "/api/v1/runs/run/stream"
FOUR = [submit("a"), completion("a", inference_s=0.01), submit("b"), output({"n": 1})]
AT_ONCE = {"speed": "max"}


def played(
    http: httpx.Client,
    params: Mapping[str, Any] = AT_ONCE,
    headers: Mapping[str, str] | None = None,
) -> list[tuple[str, str]]:
    """Id and data of every event of the stream."""
    with connect_sse(http, "GET", STREAM, params=params, headers=dict(headers or {})) as source:
        return [(event.id, event.data) for event in source.iter_sse()]


def expected(frames: list[bytes], first: int = 1) -> list[tuple[str, str]]:
    return [(str(seq), sse.decode_data(each) or "") for seq, each in enumerate(frames, first)]


def raw_until_cut(http: httpx.Client) -> tuple[bytes, bool]:
    """What came of the exact bytes, and whether the answer was cut."""
    received = b""
    try:
        with http.stream("GET", STREAM, params={"raw": "1", "speed": "max"}) as response:
            for chunk in response.iter_raw():
                received += chunk
    except httpx.RemoteProtocolError:
        return received, True
    return received, False


class TestAWellFormedReplay:
    def test_is_a_block_an_event_with_its_seq_and_lf_line_ends(
        self, http: httpx.Client, sqlite_rec: Recorder
    ) -> None:
        crlf = b': ping\r\n\r\ndata: {"type": "output"}\r\n\r\n'
        sqlite_rec.log.append(history("run", submit("a"), crlf))
        response = http.get(STREAM, params=AT_ONCE)
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.content == (
            b'id: 1\ndata: {"type": "submit", "node_id": "a", "app_id": "fal-ai/app"}\n\n'
            b'id: 2\ndata: {"type": "output"}\n\n'
        )

    def test_keeps_lines_and_event_types_of_odd_blocks(
        self, http: httpx.Client, sqlite_rec: Recorder
    ) -> None:
        odd = b"event: progress\rid: x\rdata: one\rdata:two\r\r"
        sqlite_rec.log.append(history("run", odd, b"data: \xff\n\n"))
        assert http.get(STREAM, params=AT_ONCE).content == (
            b"event: progress\nid: 1\ndata: one\ndata: two\n\n" + "id: 2\ndata: \ufffd\n\n".encode()
        )

    def test_tells_what_is_missing_in_comments(
        self, http: httpx.Client, sqlite_rec: Recorder
    ) -> None:
        sqlite_rec.log.append(one_step_run("run"))
        with sqlite_rec.database.writing() as connection:
            connection.exec_driver_sql("UPDATE events SET frame = NULL, salt = NULL WHERE seq = 2")
        body = http.get(STREAM, params=AT_ONCE).text
        assert ": the frame of event 2 has been erased\n\n" in body
        assert [line for line in body.splitlines() if line.startswith("id:")] == ["id: 1", "id: 3"]

    def test_of_a_plain_call_is_its_answer_as_one_event(
        self, http: httpx.Client, sqlite_rec: Recorder
    ) -> None:
        sqlite_rec.log.append(history("run", answer({"a": 1}), document=opened("run", mode="call")))
        assert played(http) == [("1", '{"a": 1}')]

    def test_of_a_queued_run_has_no_events(self, http: httpx.Client, sqlite_rec: Recorder) -> None:
        document = opened("run", mode="queue")
        sqlite_rec.log.append(history("run", exchange("result", 200, "{}"), document=document))
        assert played(http) == []


class TestResuming:
    def test_after_every_event_in_turn_gives_each_exactly_once(
        self, http: httpx.Client, sqlite_rec: Recorder
    ) -> None:
        sqlite_rec.log.append(history("run", *FOUR))
        for seen in range(5):
            assert played(http, headers={"last-event-id": str(seen)}) == expected(FOUR)[seen:]

    def test_begins_with_a_given_event(self, http: httpx.Client, sqlite_rec: Recorder) -> None:
        sqlite_rec.log.append(history("run", *FOUR))
        assert played(http, {**AT_ONCE, "from_seq": 3}) == expected(FOUR)[2:]
        assert played(http, {**AT_ONCE, "from_seq": 99}) == []

    def test_prefers_the_last_id_to_the_parameter(
        self, http: httpx.Client, sqlite_rec: Recorder
    ) -> None:
        sqlite_rec.log.append(history("run", *FOUR))
        told = played(http, {**AT_ONCE, "from_seq": 1}, {"last-event-id": "3"})
        assert told == expected(FOUR)[3:]


class TestTheExactBytes:
    @pytest.mark.parametrize("name", CASES)
    def test_of_every_hostile_stream_come_back(
        self, http: httpx.Client, sqlite_rec: Recorder, name: str
    ) -> None:
        body = CASES[name].make()
        recording = Recording(sqlite_rec.writer)
        recording.open(opened("run"))
        recording.feed(body)
        recording.close("eof")
        recording.wait()
        replayed = http.get(STREAM, params={"raw": "1", "speed": "max"}).content
        assert hashlib.sha256(replayed).digest() == hashlib.sha256(body).digest()

    def test_come_with_status_and_headers_of_a_refusal(
        self, http: httpx.Client, sqlite_rec: Recorder
    ) -> None:
        headers = {"content-type": "application/json", "x-fal-error-type": "bad", "server": "x"}
        document = opened("run", status=422, response_headers=headers)
        refused = Closed(reason="refused", detail="upstream answered 422", trailing='{"d": 1}')
        sqlite_rec.log.append([new_event("run", 0, document), new_event("run", 1, refused)])
        response = http.get(STREAM, params={"raw": "true"})
        assert (response.status_code, response.content) == (422, b'{"d": 1}')
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-fal-error-type"] == "bad"
        assert "server" not in response.headers

    @pytest.mark.parametrize("reason", ["cut", "timeout", "error", "recorder_lost", "client_gone"])
    def test_end_in_a_cut_where_the_original_did(
        self, http: httpx.Client, sqlite_rec: Recorder, reason: Any
    ) -> None:
        sqlite_rec.log.append(history("run", *FOUR, reason=reason))
        received, was_cut = raw_until_cut(http)
        assert was_cut
        assert received == b"".join(FOUR)
        assert played(http) == expected(FOUR)

    def test_break_off_where_an_event_is_missing(
        self, http: httpx.Client, sqlite_rec: Recorder
    ) -> None:
        sqlite_rec.log.append(history("run", *FOUR))
        with sqlite_rec.database.writing() as connection:
            connection.exec_driver_sql("UPDATE events SET frame = NULL, salt = NULL WHERE seq = 3")
        received, was_cut = raw_until_cut(http)
        assert was_cut
        assert received == b"".join(FOUR[:2])


class TestARunStillGoingOn:
    def test_is_followed_to_its_end(self, http: httpx.Client, sqlite_rec: Recorder) -> None:
        events = history("run", *FOUR)
        sqlite_rec.log.append(events[:2])
        seen: list[ServerSentEvent] = []
        first = threading.Event()

        def read() -> None:
            with connect_sse(http, "GET", STREAM, params=AT_ONCE) as source:
                for event in source.iter_sse():
                    seen.append(event)
                    first.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert first.wait(30)
        for event in events[2:]:
            sqlite_rec.log.append([event, *one_step_run(f"other-{event.seq}")])
        reader.join(30)
        assert [(event.id, event.data) for event in seen] == expected(FOUR)

    def test_cannot_be_cached_and_a_closed_one_for_ever(
        self, http: httpx.Client, sqlite_rec: Recorder
    ) -> None:
        events = history("run", *FOUR)
        sqlite_rec.log.append(events[:-1])
        with http.stream("GET", STREAM, params=AT_ONCE) as response:
            assert response.headers["cache-control"] == "no-store"
        sqlite_rec.log.append(events[-1:])
        closed = http.get(STREAM, params=AT_ONCE)
        assert closed.headers["cache-control"] == "private, max-age=31536000, immutable"
        again = http.get(STREAM, params=AT_ONCE, headers={"if-none-match": closed.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        other = http.get(STREAM, params={**AT_ONCE, "from_seq": 2})
        assert other.headers["etag"] != closed.headers["etag"]

    def test_changes_its_tag_when_a_frame_is_erased(
        self, http: httpx.Client, sqlite_rec: Recorder
    ) -> None:
        sqlite_rec.log.append(history("run", *FOUR))
        before = http.get(STREAM, params=AT_ONCE).headers["etag"]
        with sqlite_rec.database.writing() as connection:
            connection.exec_driver_sql("UPDATE events SET frame = NULL, salt = NULL WHERE seq = 2")
        response = http.get(STREAM, params=AT_ONCE, headers={"if-none-match": before})
        assert response.status_code == 200


class TestRhythm:
    def test_is_the_originals_divided_by_the_speed_and_cut_at_the_gap(
        self, http: httpx.Client, sqlite_rec: Recorder
    ) -> None:
        """Told by what the server waits for, not by a stopwatch: an hour takes no time."""
        hour_us = 3_600_000_000
        sqlite_rec.log.append(history("run", *FOUR, every_us=hour_us))
        assert played(http, {"speed": "1", "max_gap": "0"}) == expected(FOUR)
        assert played(http, {"speed": "1000000", "max_gap": "0.5"}) == expected(FOUR)


def test_a_run_nobody_knows_is_a_404(http: httpx.Client) -> None:
    response = http.get(STREAM)
    assert (response.status_code, response.json()["type"]) == (404, "/problems/run-not-found")


_junk = st.one_of(
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=24),
    st.sampled_from(["nan", "inf", "-1", "1e9", "0", "0.0", "٣", "1_0", " 1", "max ", "9" * 30]),
    st.integers(min_value=-(2**70), max_value=-1).map(str),
    st.integers(min_value=2**63, max_value=2**70).map(str),
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=_junk, where=st.sampled_from(["speed", "from_seq", "max_gap", "raw", "last-event-id"]))
def test_nonsense_is_a_problem_of_the_clients_and_never_ours(
    http: httpx.Client, sqlite_rec: Recorder, value: str, where: str
) -> None:
    if not sqlite_rec.log.read_run("run", limit=1):
        sqlite_rec.log.append(one_step_run("run"))
    params = dict(AT_ONCE)
    headers: dict[bytes, bytes] = {}
    if where == "last-event-id":
        headers = {where.encode(): value.strip().encode()}
    else:
        params[where] = value
    response = http.get(STREAM, params=params, headers=headers)
    assert response.status_code in (200, 422)
    if response.status_code == 422:
        assert response.json()["errors"][0]["field"] == where


def test_what_is_no_part_of_the_stream_is_not_played(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    events = history("run", frame("[DONE]"), *FOUR)
    sqlite_rec.log.append(events)
    played_seqs = [int(seq) for seq, _ in played(http)]
    assert played_seqs == [event.seq for event in events if event.type not in OWN_TYPES]
