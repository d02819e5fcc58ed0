"""A fail point at every call from a capture path into the recorder, walked one by one."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from recorder.bootstrap import Recorder
from recorder.clock import SystemClock
from recorder.errors import LogUnavailable
from recorder.recording import Recording, record_async_items, record_items
from recorder.runner import WorkflowRun
from recorder.sources.http import resolve
from recorder.store.engine import connect
from recorder.store.log import SqlLog
from recorder.writer import LogWriter
from tests.builders import completion, opened, output, submit
from tests.core.raw_server import chunked, head, serving
from tests.logs import WAIT_S
from tests.trust.outage.pausing import FlakySpool

BODY = [submit("a"), b": ping\n\n" + completion("a")[:9], completion("a")[9:], output()]
ITEMS: list[Any] = [*BODY, {"type": "output"}, {"odd": object}]

Fault = Callable[[], None]


class FailPoints:
    """Counts every call of what it stands before; the n-th one goes wrong.

    Attributes:
        reached: Whether there was an n-th one.
    """

    def __init__(self, number: int, fault: Fault) -> None:
        self.reached = False
        self._left = number
        self._fault = fault
        self._counting = threading.Lock()

    def before(self, real: object) -> Any:
        """The object, with a fail point at each of its methods."""
        return _Proxy(self, real)

    def count(self) -> None:
        with self._counting:
            self._left -= 1
            now = self._left == 0
            self.reached = self.reached or now
        if now:
            self._fault()


class _Proxy:
    def __init__(self, points: FailPoints, real: object) -> None:
        self._points = points
        self._real = real

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self._points.count()
            return value(*args, **kwargs)

        return call


def raises(error: Exception) -> Fault:
    def fault() -> None:
        raise error

    return fault


FAULTS = [RuntimeError("a bug"), OSError("no such disk"), LogUnavailable("away"), MemoryError()]

# What a caller sees: the items, and how it ended.
Seen = tuple[list[Any], str]
Source = Callable[[], Iterator[Any]]


def whole() -> Iterator[Any]:
    yield from ITEMS


def cut() -> Iterator[Any]:
    yield from ITEMS[:3]
    raise ConnectionResetError("peer left")


def seen_of(stream: Iterator[Any], until: int | None = None) -> Seen:
    """Takes a stream's items, all or the first few."""
    items: list[Any] = []
    try:
        for item in stream:
            items.append(item)
            if len(items) == until:
                cast("Any", stream).close()
                return items, "left"
    except Exception as error:
        return items, repr(error)
    return items, "end"


async def _asynchronous(source: Source) -> AsyncIterator[Any]:
    for item in source():
        yield item


def seen_async(source: Source, recording: Recording) -> Seen:
    async def take() -> Seen:
        items: list[Any] = []
        try:
            async for item in record_async_items(_asynchronous(source), recording):
                items.append(item)  # noqa: PERF401  # what came before an error counts too
        except Exception as error:
            return items, repr(error)
        return items, "end"

    return asyncio.run(take())


def walk(attempt: Callable[[FailPoints], None], fault: Fault) -> int:
    """Fails at call 1, 2, 3 and so on, up to a pass in which nothing went wrong."""
    number = 0
    while True:
        number += 1
        points = FailPoints(number, fault)
        attempt(points)
        if not points.reached:
            return number - 1


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
@pytest.mark.parametrize("source", [whole, cut])
@pytest.mark.parametrize("until", [None, 2])
def test_items_are_the_same_wherever_the_recorder_fails(
    sqlite_rec: Recorder, fault: Exception, source: Source, until: int | None
) -> None:
    expected = seen_of(source(), until)

    def attempt(points: FailPoints) -> None:
        writer = points.before(sqlite_rec.writer)
        recording = Recording(writer, clock=points.before(SystemClock()))
        recording.open(opened(f"run-{uuid.uuid4()}"))
        assert seen_of(record_items(source(), recording), until) == expected
        if points.reached:
            assert recording.fault is not None

    assert walk(attempt, raises(fault)) > 10


@pytest.mark.parametrize("source", [whole, cut])
def test_asynchronous_items_are_the_same_wherever_the_recorder_fails(
    sqlite_rec: Recorder, source: Source
) -> None:
    expected = seen_of(source())
    fault = RuntimeError("a bug")

    def attempt(points: FailPoints) -> None:
        writer = points.before(sqlite_rec.writer)
        recording = Recording(writer, clock=points.before(SystemClock()))
        recording.open(opened(f"run-{uuid.uuid4()}"))
        assert seen_async(source, recording) == expected

    assert walk(attempt, raises(fault)) > 10


@pytest.mark.parametrize("ending", ["whole", "cut", "refused"])
def test_a_workflow_run_tells_the_same_wherever_the_recorder_fails(
    sqlite_rec: Recorder, ending: str
) -> None:
    status = "200 OK" if ending != "refused" else "422 Unprocessable Entity"
    answer = head(
        status, "X-Fal-Request-Id: run-1", "Transfer-Encoding: chunked", "Connection: close"
    )
    steps = [answer + chunked(*BODY, complete=ending != "cut")]
    with serving(steps) as server, httpx.Client(trust_env=False, timeout=WAIT_S) as client:

        def seen(points: FailPoints) -> tuple[Any, ...]:
            target = resolve("workflows/o/n", fal_url=server.url)
            writer = points.before(sqlite_rec.writer)
            clock = points.before(SystemClock())
            running = WorkflowRun(writer, target, b"{}", client, clock=clock)
            return seen_of(iter(running)), running.status, running.end

        def attempt(points: FailPoints) -> None:
            assert seen(points) == expected

        expected = seen(FailPoints(0, lambda: None))
        assert walk(attempt, raises(RuntimeError("a bug"))) > 5


def kinds_of_fault(released: threading.Event) -> dict[str, Fault]:
    def hang() -> None:
        assert released.wait(WAIT_S)

    return {repr(each): raises(each) for each in FAULTS} | {"hangs": hang}


@pytest.mark.parametrize("kind", [*kinds_of_fault(threading.Event())])
def test_items_go_on_while_log_or_spool_fails_or_hangs_behind_them(
    sqlite_url: str, tmp_path: Path, kind: str
) -> None:
    """What hangs is let go only after the last item: a capture path that waited would not end."""
    expected = seen_of(whole())
    database = connect(sqlite_url)
    released = threading.Event()
    log = SqlLog(database)

    def attempt(points: FailPoints) -> None:
        released.clear()
        spool = FlakySpool(tmp_path / "spool")
        writer = LogWriter(
            points.before(log),
            spool=points.before(spool),
            pause=lambda _: writer._set_aside_queue(),
        )
        recording = Recording(writer)
        recording.open(opened(f"run-{uuid.uuid4()}"))
        assert seen_of(record_items(whole(), recording)) == expected
        released.set()
        writer.close()

    try:
        assert walk(attempt, kinds_of_fault(released)[kind]) >= 3
    finally:
        database.close()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_is_not_swallowed(
    sqlite_rec: Recorder, interruption: type[BaseException]
) -> None:
    def fault() -> None:
        raise interruption

    points = FailPoints(9, fault)
    recording = Recording(points.before(sqlite_rec.writer), clock=points.before(SystemClock()))
    recording.open(opened(f"run-{uuid.uuid4()}"))
    with pytest.raises(interruption):
        list(record_items(whole(), recording))


def test_a_closed_recorder_still_hands_items_on(sqlite_rec: Recorder) -> None:
    sqlite_rec.close()
    assert seen_of(sqlite_rec.record(whole(), workflow="w")) == seen_of(whole())


def test_a_machine_without_threads_to_spare_still_hands_items_on(
    sqlite_rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as machine:
        machine.setattr("threading.Thread.start", lambda _: raises(RuntimeError("no thread"))())
        assert seen_of(sqlite_rec.record(whole(), workflow="w")) == seen_of(whole())
