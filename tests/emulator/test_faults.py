from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from starlette.types import Message

from emulator.app import create_app
from emulator.faults import draw_latency, draw_step, step_random
from emulator.problems import Invalid
from emulator.settings import (
    AppFaults,
    EmulatorSettings,
    Faults,
    FixedLatency,
    LognormalLatency,
    StreamFaults,
    UniformLatency,
    read_faults,
)
from tests.emulator.builders import (
    EXECUTE,
    STICKER,
    execute,
    fault_header,
    play,
    refuse,
    run_node,
    slow,
)

CHAIN = {"a": run_node("x"), "b": run_node("x", ["a"]), "c": run_node("x", ["b"])}
EVENTS = 7


@pytest.mark.parametrize("events", range(EVENTS))
def test_a_cut_breaks_the_stream_after_exactly_so_many_events(
    client: httpx.Client, events: int
) -> None:
    played = execute(client, CHAIN, stream={"cut_after_events": events})
    assert (len(played.events), played.broken) == (events, True)
    assert played.body == b"" or played.body.endswith(b"\r\n\r\n")


def test_a_cut_can_leave_part_of_an_event_behind(client: httpx.Client) -> None:
    played = execute(client, CHAIN, stream={"cut_after_events": 2, "cut_extra_bytes": 9})
    assert (len(played.events), played.broken) == (2, True)
    assert played.body.endswith(b'\r\n\r\ndata: {"t')


def test_a_cut_beyond_the_end_does_nothing(client: httpx.Client) -> None:
    played = execute(client, CHAIN, stream={"cut_after_events": EVENTS + 1})
    assert (len(played.events), played.broken) == (EVENTS, False)


@pytest.mark.parametrize("extra", [0, 5])
def test_a_cut_leaves_a_plain_call_without_an_answer(client: httpx.Client, extra: int) -> None:
    headers = fault_header(stream={"cut_after_events": 1, "cut_extra_bytes": extra})
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(EXECUTE, json={"workflow": CHAIN}, headers=headers)


def test_a_stall_delays_and_loses_nothing(client: httpx.Client) -> None:
    stall = {"stall_after_events": 2, "stall_s": 0.01}
    played = execute(client, CHAIN, stream=stall)
    assert (len(played.events), played.broken) == (EVENTS, False)


@pytest.mark.parametrize("suffix", ["", "/stream"])
def test_a_status_can_be_answered_in_place_of_the_run(client: httpx.Client, suffix: str) -> None:
    headers = fault_header(stream={"http_status": 503})
    answer = client.post(f"{EXECUTE}{suffix}", json={"workflow": CHAIN}, headers=headers)
    assert (answer.status_code, answer.json()) == (503, {"detail": "Service Unavailable"})
    headers = fault_header(stream={"http_status": 599, "http_body": "upstream is gone"})
    answer = client.post(f"{EXECUTE}{suffix}", json={"workflow": CHAIN}, headers=headers)
    assert (answer.status_code, answer.text) == (599, "upstream is gone")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_an_app_can_be_made_to_fail_with_any_status_and_body(client: httpx.Client) -> None:
    faults = {"x": {"error_rate": 1, "error_status": 504, "error_body": "timed out"}}
    played = execute(client, CHAIN, apps=faults)
    assert played.order == [("submit", "a"), ("error", "a")]
    assert played.events[-1]["error"] == {"status": 504, "body": "timed out"}


def test_faults_of_an_app_win_over_those_of_every_app(client: httpx.Client) -> None:
    nodes = {"a": run_node("x"), "b": run_node("y", ["a"])}
    played = execute(client, nodes, apps={"*": {"error_rate": 1}, "x": {}})
    assert played.order[-1] == ("error", "b")
    assert played.events[-1]["error"] == {"status": 500, "body": {"detail": "Injected error"}}


def test_a_request_overrides_the_settings_part_by_part() -> None:
    settings = EmulatorSettings(
        apps={"x": AppFaults(error_rate=1), "y": AppFaults(error_rate=0.5)},
        stream=StreamFaults(cut_after_events=1),
        seed=4,
    )
    header = read_faults(b'{"apps": {"x": {}}, "stream": {}}')
    assert settings.faults.overridden_by(header) == Faults(
        apps={"x": AppFaults(), "y": AppFaults(error_rate=0.5)}, stream=StreamFaults(), seed=4
    )
    assert settings.faults.overridden_by(Faults()) == settings.faults


@pytest.mark.parametrize(
    ("header", "loc"),
    [
        ("{", [1]),
        ("[]", []),
        ('{"cut": 1}', ["cut"]),
        ('{"stream": {"http_status": 200}}', ["stream", "http_status"]),
        ('{"apps": {"x": {"latency": {"kind": "slow"}}}}', ["apps", "x", "latency"]),
    ],
)
def test_a_wrong_fault_header_is_refused(client: httpx.Client, header: str, loc: list[Any]) -> None:
    answer = client.post(EXECUTE, json={"workflow": CHAIN}, headers={"x-emulator-fault": header})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["header", "x-emulator-fault", *loc]


def test_settings_are_read_from_a_json_file(tmp_path: Any) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"apps": {"*": {"latency": {"kind": "lognormal", "median_s": 2}}}, "seed": 1}')
    assert EmulatorSettings.from_file(path) == EmulatorSettings(
        apps={"*": AppFaults(latency=LognormalLatency(median_s=2))}, seed=1
    )
    path.write_text('{"latency": 1}')
    with pytest.raises(Invalid, match=r"^latency: Extra inputs are not permitted$"):
        EmulatorSettings.from_file(path)


def test_latencies_are_drawn_from_their_distribution() -> None:
    random = Random(1)
    assert draw_latency(FixedLatency(seconds=3), random) == 3
    uniform = [draw_latency(UniformLatency(low_s=1, high_s=2), random) for _ in range(1000)]
    assert 1 <= min(uniform) < 1.1
    assert 1.9 < max(uniform) <= 2
    latency = LognormalLatency(median_s=2, sigma=0.5)
    lognormal = sorted(draw_latency(latency, random) for _ in range(1001))
    assert 1.8 < lognormal[500] < 2.2
    assert lognormal[-1] > 4


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="low_s is above high_s"):
        UniformLatency(low_s=2, high_s=1)


def test_draws_repeat_with_a_seed_and_differ_by_step_and_run() -> None:
    seeded = Faults(apps={"x": AppFaults(latency=UniformLatency(low_s=0, high_s=1))}, seed=7)

    def draw(run_number: int, node: str) -> float:
        return draw_step(seeded.of_app("x"), step_random(seeded, run_number, node)).latency_s

    assert draw(0, "a") == draw(0, "a")
    assert len({draw(0, "a"), draw(0, "b"), draw(1, "a")}) == 3


def test_a_client_that_leaves_cancels_the_run_and_leaves_nothing_behind() -> None:
    app = create_app()
    body = b'{"workflow": {"a": {"type": "run", "app": "x"}}}'
    headers = [
        (name.encode(), value.encode()) for name, value in fault_header(apps=slow(60)).items()
    ]

    async def leave_after_the_first_event() -> tuple[int, int]:
        first_event = asyncio.Event()
        asked = 0
        sent = 0

        async def receive() -> Message:
            nonlocal asked
            asked += 1
            if asked == 1:
                return {"type": "http.request", "body": body, "more_body": False}
            await first_event.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            nonlocal sent
            sent += message["type"] == "http.response.body"
            if message.get("body"):
                first_event.set()

        scope = {
            "type": "http",
            "method": "POST",
            "path": f"{EXECUTE}/stream",
            "query_string": b"",
            "headers": headers,
        }
        await app(scope, receive, send)
        return sent, len(asyncio.all_tasks())

    assert asyncio.run(leave_after_the_first_event()) == (1, 1)


def test_a_client_that_leaves_is_not_logged(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    headers = fault_header(apps=slow(60))
    with client.stream("POST", f"{STICKER}/stream", json={"prompt": "p"}, headers=headers) as left:
        assert next(left.iter_raw()).startswith(b'data: {"type": "submit"')
    assert not play(client, STICKER, {"prompt": "p"}).broken
    complaints = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert [each for each in complaints if each.name.startswith(("uvicorn", "emulator"))] == []


def test_a_definition_is_refused_before_its_faults_play(client: httpx.Client) -> None:
    assert [problem["loc"] for problem in refuse(client, {"a": run_node("x", ["b"])})] == [
        ["body", "workflow", "a", "depends", 0]
    ]
