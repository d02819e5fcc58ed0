"""`recorder tail --url`: a service's log followed from afar, over whatever happens to the connection."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from itertools import islice

import httpx
import pytest

import recorder
from api import events_json
from api.server import ApiServer
from cli.errors import CliError
from cli.remote import RemoteEvent, RemoteLog, logged
from recorder.bootstrap import Recorder
from recorder.events import LoggedEvent
from tests import builders
from tests.builders import frame, history, interleaved, one_step_run, plain_run, submit
from tests.cli.builders import Cli, free_port, serving, start

ROWS = builders.logged(one_step_run("run"))
BLOCKS = [events_json.encode_block(row) for row in ROWS]


class Script:
    """A transport whose connections go as written, one after another.

    Attributes:
        asked: The last id each connection asked to go on after.
    """

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.asked: list[str] = []
        self._answers = iter(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.headers["last-event-id"])
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Cut(httpx.SyncByteStream):
    """A body that breaks off after some bytes."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        raise httpx.RemoteProtocolError("peer closed connection")


def streamed(*pieces: bytes, cut: bool = True) -> httpx.Response:
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    if cut:
        return httpx.Response(200, headers=headers, stream=Cut(*pieces))
    return httpx.Response(200, headers=headers, content=b"".join(pieces))


class Tail:
    """A remote log over a script, and what it said and waited."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.script = Script(*answers)
        self.paused: list[float] = []
        self.said: list[str] = []
        self.log = RemoteLog(
            "http://recorder/",
            client=httpx.Client(transport=httpx.MockTransport(self.script)),
            pause=self.paused.append,
            tell=self.said.append,
        )

    def positions(self, after: int, count: int) -> list[int]:
        return [event.position for event in islice(self.log.follow(after), count)]

    def refusal(self) -> str:
        with pytest.raises(CliError) as raised:
            list(self.log.follow(0))
        assert raised.value.code == 2
        return str(raised.value)


def test_a_cut_connection_is_taken_up_after_the_last_event_that_came() -> None:
    tail = Tail(
        streamed(BLOCKS[0], BLOCKS[1], BLOCKS[2][:-1]),
        streamed(b": ping\n\n"),
        streamed(*BLOCKS[2:]),
    )
    assert tail.positions(0, 5) == [1, 2, 3, 4, 5]
    assert tail.script.asked == ["0", "2", "2"]
    assert tail.said == ["http://recorder: connection lost (peer closed connection); trying again"]


@pytest.mark.parametrize("at", range(0, len(b"".join(BLOCKS)), 9))
def test_wherever_it_is_cut_each_event_comes_once(at: int) -> None:
    whole = [index for index in range(5) if len(b"".join(BLOCKS[:index])) <= at][-1]
    tail = Tail(streamed(b"".join(BLOCKS)[:at]), streamed(*BLOCKS[whole:]))
    assert tail.positions(0, 5) == [1, 2, 3, 4, 5]
    assert tail.script.asked == ["0", str(whole)]


def test_what_comes_twice_is_told_once() -> None:
    tail = Tail(streamed(*BLOCKS[:3]), streamed(*BLOCKS))
    assert tail.positions(0, 5) == [1, 2, 3, 4, 5]


def test_pings_are_no_events_even_after_an_id() -> None:
    tail = Tail(streamed(b": ping\n\n", BLOCKS[0], b": ping\n\n: ping\n\n", BLOCKS[1]))
    assert tail.positions(0, 2) == [1, 2]


def test_the_pauses_grow_to_a_limit_and_begin_anew_once_an_event_has_come() -> None:
    away: list[httpx.Response | Exception] = [httpx.ConnectError("no"), httpx.Response(503)]
    tail = Tail(streamed(BLOCKS[0]), *away * 4, streamed(BLOCKS[1]), streamed(BLOCKS[2]))
    assert tail.positions(0, 3) == [1, 2, 3]
    assert tail.paused == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 0.25]
    assert len(tail.said) == 2


def test_a_service_that_ends_the_stream_is_asked_again() -> None:
    tail = Tail(streamed(BLOCKS[0], cut=False), streamed(BLOCKS[1]))
    assert tail.positions(0, 2) == [1, 2]
    assert tail.said == ["http://recorder: connection lost (it ended the stream); trying again"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.ConnectError("[Errno 111] Connection refused"), "[Errno 111] Connection refused"),
        (httpx.Response(503), "it answers 503"),
        (httpx.Response(404), "answers 404"),
        (httpx.Response(200, html="<p>"), "is no recorder service"),
        (streamed(b"id: x\ndata: {}\n\n"), "is no recorder service"),
    ],
)
def test_a_service_that_is_none_or_was_never_there_is_told(
    answer: httpx.Response | Exception, said: str
) -> None:
    assert Tail(answer).refusal() == f"http://recorder: {said}"


def shown(row: LoggedEvent) -> LoggedEvent:
    """An event as it is shown after it came over the wire."""
    (data,) = (
        line[6:] for line in events_json.encode_block(row).splitlines() if line[:6] == b"data: "
    )
    return logged(RemoteEvent(row.position, data.decode()))


@pytest.mark.parametrize(
    "what",
    [
        submit("a"),
        frame('{"type": "output", "output": {"a": NaN}}'),
        frame({"type": "output", "output": {"é": "\u2028"}}),
        builders.answer({"a": 1}),
        builders.exchange("submit", 200, "x"),
        builders.opened("run"),
    ],
    ids=repr,
)
def test_an_event_says_from_afar_what_it_says_at_home(what: builders.Happening) -> None:
    [row] = builders.logged([builders.new_event("run", 1, what)])
    assert shown(row).event == row.event
    assert (shown(row).received_at, shown(row).elapsed_us) == (row.received_at, row.elapsed_us)


@pytest.fixture
def rec(database: str) -> Iterator[Recorder]:
    with recorder.open(database) as opened:
        yield opened


@pytest.fixture
def server(rec: Recorder) -> Iterator[str]:
    with ApiServer(rec) as running:
        yield running.url


def test_it_looks_as_at_home_and_begins_ten_events_back(
    cli: Cli, rec: Recorder, server: str
) -> None:
    queued = builders.exchange("submit", 200, "x")
    odd = history("odd", submit("é"), queued, frame({"type": "ping"}))
    rec.log.append([*plain_run("plain", 8), *odd])
    assert (
        cli.ok("tail", "--url", server, "--limit", "10").out == cli.ok("tail", "--limit", "10").out
    )


def test_json_is_what_the_service_tells_digit_by_digit(
    cli: Cli, rec: Recorder, server: str
) -> None:
    told = '{"type": "output", "output": {"n": 1.10, "text": "é😀\x7f"}}'
    rec.log.append(history("run", frame(told)))
    lines = cli.ok("tail", "--url", server, "--after", "1", "--limit", "1", "--json").out
    assert lines.isascii()
    assert '"n": 1.10' in lines
    assert json.loads(lines)["payload"]["output"] == {"n": 1.1, "text": "é😀\x7f"}


def test_ctrl_c_says_where_to_go_on(rec: Recorder, server: str) -> None:
    rec.log.append(plain_run("run", 2))
    with start("tail", "--url", server, "--after", "0", "--json") as process:
        assert process.stdout is not None
        assert [position(process.stdout.readline()) for _ in range(2)] == [1, 2]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert re.fullmatch(rb"recorder: go on with --after [12]\n", err)


def position(line: bytes) -> int:
    found: int = json.loads(line)["position"]
    return found


def test_a_service_that_is_killed_and_comes_back_loses_and_doubles_nothing(rec: Recorder) -> None:
    port = free_port()
    events = interleaved(*(one_step_run(f"run-{number}") for number in range(4)))
    rec.log.append(events[:6])
    first = serving(port)
    tail = start("tail", "--url", f"http://127.0.0.1:{port}", "--after", "0", "--json")
    assert tail.stdout is not None
    try:
        seen = [position(tail.stdout.readline()) for _ in range(6)]
        first.kill()
        first.communicate(timeout=30)
        rec.log.append(events[6:12])
        second = serving(port)
        try:
            seen += [position(tail.stdout.readline()) for _ in range(6)]
            rec.log.append(events[12:])
            seen += [position(tail.stdout.readline()) for _ in range(8)]
        finally:
            second.kill()
            second.communicate(timeout=30)
    finally:
        tail.kill()
        rest, err = tail.communicate(timeout=30)
    assert (seen, rest) == (list(range(1, 21)), b"")
    assert err.startswith(b"recorder: http://127.0.0.1:")
