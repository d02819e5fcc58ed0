"""`GET /api/v1/events`: the log, followed live."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse, connect_sse

from api.live import BATCH, Live
from api.server import ApiServer
from recorder.bootstrap import Recorder
from tests.builders import history, one_step_run, output, submit

EVENTS = "/api/v1/events"


def followed(
    http: httpx.Client,
    count: int,
    params: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    then: Callable[[int], object] = lambda _: None,
) -> list[tuple[str, str, str]]:
    """Id, type and run of so many events; `then` is told each one's place as it arrives."""
    seen = []
    with connect_sse(http, "GET", EVENTS, params=params, headers=dict(headers or {})) as source:
        for number, event in enumerate(islice(source.iter_sse(), count)):
            seen.append((event.id, event.event, json.loads(event.data)["request_id"]))
            then(number)
    return seen


def test_what_is_there_comes_first_and_then_what_is_committed(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    sqlite_rec.log.append(one_step_run("one"))

    def commit_more(number: int) -> None:
        if number == 4:
            sqlite_rec.log.append(one_step_run("two"))

    types = ["opened", "submit", "completion", "output", "closed"]
    assert followed(http, 10, {"after": 0}, then=commit_more) == [
        (str(position), types[(position - 1) % 5], "one" if position <= 5 else "two")
        for position in range(1, 11)
    ]


def test_an_event_is_told_as_in_the_runs_own_list(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(one_step_run("one"))
    listed = http.get("/api/v1/runs/one/events").json()["events"]
    with connect_sse(http, "GET", EVENTS, params={"after": 0}) as source:
        told = [event.json() for event in islice(source.iter_sse(), 5)]
    assert told == [event | {"request_id": "one"} for event in listed]


@pytest.mark.parametrize(
    ("params", "positions"),
    [
        ({"request_id": "two"}, ["6", "7", "8", "9", "10"]),
        ({"type": "output"}, ["4", "9"]),
        ({"node": "b", "type": "completion"}, ["8"]),
        ({"app": "fal-ai/app"}, ["2", "3", "7", "8"]),
    ],
)
def test_filters_narrow_and_all_have_to_hold(
    http: httpx.Client, sqlite_rec: Recorder, params: dict[str, str], positions: list[str]
) -> None:
    sqlite_rec.log.append([*one_step_run("one"), *one_step_run("two", "b")])
    seen = followed(http, len(positions), {"after": 0, **params})
    assert [position for position, _, _ in seen] == positions


def test_reconnecting_after_every_single_event_yields_each_exactly_once(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    sqlite_rec.log.append(one_step_run("one"))
    last = "0"
    seen = []
    for number in range(10):
        if number == 5:
            sqlite_rec.log.append(one_step_run("two"))
        [(last, kind, _)] = followed(http, 1, {}, {"last-event-id": last})
        seen.append((int(last), kind))
    assert [position for position, _ in seen] == list(range(1, 11))


def test_without_a_position_only_what_comes_is_told(
    http: httpx.Client, sqlite_rec: Recorder, server: ApiServer
) -> None:
    sqlite_rec.log.append(one_step_run("before"))
    seen: list[str] = []
    begun = threading.Event()

    def read() -> None:
        with connect_sse(http, "GET", EVENTS) as source:
            begun.set()
            seen.extend(event.id for event in islice(source.iter_sse(), 2))

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(30)
    sqlite_rec.log.append(history("after", submit("a"), output()))
    reader.join(30)
    assert seen == ["6", "7"]


def test_a_follower_far_behind_misses_nothing_and_gets_nothing_twice(
    sqlite_rec: Recorder,
) -> None:
    """Over the edges of batches and of the window, while the log grows."""

    async def run() -> list[int]:
        live = Live(sqlite_rec.log)
        seen: list[int] = []
        async for batch in live.follow(0):
            seen += [logged.position for logged in batch]
            if len(seen) < 3 * BATCH:
                sqlite_rec.log.append(history(f"run-{len(seen)}", *[output()] * (BATCH // 2)))
            elif seen[-1] == sqlite_rec.log.head().position:
                return seen
        raise AssertionError("a follower never ends by itself")

    sqlite_rec.log.append(one_step_run("first"))
    seen = asyncio.run(run())
    assert seen == list(range(1, len(seen) + 1))


def test_a_hundred_followers_get_every_event_each_once(
    sqlite_rec: Recorder, server: ApiServer
) -> None:
    async def follow(client: httpx.AsyncClient, ready: asyncio.Semaphore) -> list[str]:
        async with aconnect_sse(client, "GET", EVENTS) as source:
            ready.release()
            ids = []
            async for event in source.aiter_sse():
                ids.append(event.id)
                if len(ids) == 50:
                    return ids
        raise AssertionError("the stream ended")

    async def run() -> list[list[str]]:
        ready = asyncio.Semaphore(0)
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=server.url, timeout=30, trust_env=False, limits=limits
        ) as client:
            followers = [asyncio.create_task(follow(client, ready)) for _ in range(100)]
            for _ in followers:
                await ready.acquire()
            for number in range(10):
                await asyncio.to_thread(sqlite_rec.log.append, one_step_run(f"run-{number}"))
            return await asyncio.gather(*followers)

    assert asyncio.run(run()) == [[str(position) for position in range(1, 51)]] * 100


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9" * 30])
def test_a_last_id_that_is_none_is_a_problem_of_the_clients(http: httpx.Client, value: str) -> None:
    response = http.get(EVENTS, headers={"last-event-id": value})
    assert response.status_code == 422


def test_a_served_stream_ends_when_the_service_does(sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(one_step_run("one"))
    with ApiServer(sqlite_rec) as server, httpx.Client(base_url=server.url, timeout=30) as http:
        stream = connect_sse(http, "GET", EVENTS, params={"after": 0})
        source = stream.__enter__()
        events = source.iter_sse()
        assert [next(events).id for _ in range(5)] == ["1", "2", "3", "4", "5"]
        stopping = threading.Thread(target=server.__exit__, args=(None, None, None))
        stopping.start()
        with pytest.raises(httpx.RemoteProtocolError):
            next(events)
        stopping.join(30)
        assert not stopping.is_alive()
