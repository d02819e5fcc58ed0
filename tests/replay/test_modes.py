"""Requests answered from what was recorded: by fal's own client, without an endpoint or a coin."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fal_client
import httpx
import pytest

import recorder
from api.server import ApiServer
from emulator.server import EmulatorServer
from recorder.bootstrap import Recorder
from recorder.settings import ProxySettings, Settings

STICKER = "workflows/fal-ai/sdxl-sticker"
GOOD = {"prompt": "a cute puppy", "seed": 6252023}
BAD = {"prompt": "a cute puppy", "num_images": 9}
REPLAY = {"x-recorder-mode": "replay", "x-recorder-speed": "max"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer() as running:
        yield running


@pytest.fixture
def rec(sqlite_url: str, emulator: EmulatorServer) -> Iterator[Recorder]:
    settings = Settings(
        database_url=sqlite_url,
        fal_url=emulator.url,
        fal_key=None,
        proxy=ProxySettings(replay_speed="max"),
    )
    with recorder.open(sqlite_url, settings=settings) as opened:
        yield opened


@pytest.fixture
def server(rec: Recorder, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """A served proxy that fal's client calls."""
    monkeypatch.setenv("FAL_KEY", "any:key")
    with ApiServer(rec) as running:
        monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{running.url}/fal/")
        monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{running.url}/fal/queue/")
        yield running


def post(server: ApiServer, path: str, arguments: Any, **headers: str) -> httpx.Response:
    told = REPLAY | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{server.url}{path}", json=arguments, headers=told, trust_env=False)


def runs_of(rec: Recorder) -> int:
    return len(rec.runs(limit=1000).runs)


@contextmanager
def fal() -> Iterator[fal_client.SyncClient]:
    """fal's client, which leaves its connections to whoever ends the process."""
    client = fal_client.SyncClient()
    try:
        yield client
    finally:
        client._client.close()


def stream(arguments: dict[str, Any]) -> list[Any]:
    with fal() as client:
        return list(client.stream(STICKER, arguments=arguments))


async def stream_async(arguments: dict[str, Any]) -> list[Any]:
    client = fal_client.AsyncClient()
    try:
        return [event async for event in client.stream(STICKER, arguments=arguments)]
    finally:
        await (await client._client).aclose()


class TestInReplayMode:
    def test_a_client_sees_the_recorded_stream_again_and_nothing_is_called(
        self, rec: Recorder, server: ApiServer
    ) -> None:
        seen = stream(GOOD)
        before = runs_of(rec)
        response = post(server, f"/fal/{STICKER}/stream", dict(reversed(GOOD.items())))
        original = httpx.get(
            f"{server.url}/api/v1/runs/{response.headers['x-fal-request-id']}/body"
        )
        assert response.content == original.content
        assert len(seen) == response.text.count("data:")
        assert runs_of(rec) == before

    def test_a_failing_run_fails_again(self, server: ApiServer) -> None:
        with fal() as client, pytest.raises(fal_client.client.FalClientHTTPError):
            client.run(STICKER, arguments=BAD)
        response = post(server, f"/fal/{STICKER}", BAD)
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"] == ["body", "num_images"]

    def test_a_plain_call_is_answered_from_a_recorded_stream(self, server: ApiServer) -> None:
        seen = stream(GOOD)
        response = post(server, f"/fal/{STICKER}", GOOD)
        assert (response.status_code, response.json()) == (200, seen[-1]["output"])

    def test_a_plain_call_is_answered_from_a_recorded_call_rather_than_a_later_stream(
        self, rec: Recorder, server: ApiServer
    ) -> None:
        with fal() as client:
            client.run(STICKER, arguments=GOOD)
        stream(GOOD)
        streamed, called = [run.request_id for run in rec.runs().runs]
        told = [post(server, f"/fal/{STICKER}", GOOD, x_recorder_match=which) for which in "12"]
        assert [response.headers["x-fal-request-id"] for response in told] == [called, streamed]
        assert post(server, f"/fal/{STICKER}", GOOD, x_recorder_match="3").status_code == 404

    def test_a_plain_call_is_refused_as_the_stream_was(self, server: ApiServer) -> None:
        asked = {"input": GOOD}  # and no workflow to execute
        path = "/fal/workflows/execute"
        refused = post(server, f"{path}/stream", asked, x_recorder_mode="record")
        again = post(server, path, asked)
        assert (again.status_code, again.content) == (refused.status_code, refused.content)
        assert again.status_code == 422

    def test_what_was_never_recorded_is_a_404_that_says_what_is_there(
        self, server: ApiServer
    ) -> None:
        stream(GOOD)
        response = post(server, f"/fal/{STICKER}/stream", {"prompt": "another"})
        assert (response.status_code, response.json()["type"]) == (
            404,
            "/problems/nothing-recorded",
        )
        assert response.json()["detail"] == (
            "no recorded run of workflows/fal-ai/sdxl-sticker has this input"
            " (1 with another, looking at stream runs that ended completed or failed)"
        )

    def test_fields_can_be_left_out_of_account(self, server: ApiServer) -> None:
        stream(GOOD)
        other = GOOD | {"seed": 7}
        path = f"/fal/{STICKER}/stream"
        assert post(server, path, other).status_code == 404
        assert post(server, path, other, x_recorder_ignore="seed").status_code == 200

    def test_the_newest_fits_first_and_the_nth_can_be_asked_for(
        self, rec: Recorder, server: ApiServer
    ) -> None:
        stream(GOOD)
        stream(GOOD)
        newest, older = [run.request_id for run in rec.runs().runs]
        path = f"/fal/{STICKER}/stream"
        told = [post(server, path, GOOD, x_recorder_match=which) for which in ("newest", "1", "2")]
        ids = [response.headers["x-fal-request-id"] for response in told]
        assert ids == [newest, newest, older]
        assert post(server, path, GOOD, x_recorder_match="3").status_code == 404

    def test_of_a_header_sent_twice_the_first_counts(self, server: ApiServer) -> None:
        stream(GOOD)
        twice = [("x-recorder-mode", "replay"), ("x-recorder-mode", "nonsense")]
        response = httpx.post(
            f"{server.url}/fal/{STICKER}/stream", json=GOOD, headers=twice, trust_env=False
        )
        assert response.status_code == 200

    def test_only_runs_of_the_wanted_outcome_are_taken(self, server: ApiServer) -> None:
        stream(BAD)
        path = f"/fal/{STICKER}/stream"
        assert post(server, path, BAD, x_recorder_outcome="completed").status_code == 404
        assert post(server, path, BAD, x_recorder_outcome="failed").status_code == 200

    def test_a_queued_run_is_submitted_and_fetched_again(self, server: ApiServer) -> None:
        with fal() as client:
            result = client.subscribe(STICKER, arguments=GOOD)
        submitted = post(server, f"/fal/queue/{STICKER}", GOOD)
        urls = submitted.json()
        assert urls["response_url"].startswith(f"{server.url}/fal/queue/{STICKER}/requests/")
        fetched = httpx.get(urls["response_url"], headers=REPLAY, trust_env=False)
        status = httpx.get(urls["status_url"], headers=REPLAY, trust_env=False)
        assert (fetched.json(), status.json()["status"]) == (result, "COMPLETED")

    def test_requests_that_are_no_runs_are_not_answered(self, server: ApiServer) -> None:
        response = httpx.get(f"{server.url}/fal/{STICKER}", headers=REPLAY, trust_env=False)
        assert response.status_code == 404

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("x-recorder-mode", "play"),
            ("x-recorder-speed", "0"),
            ("x-recorder-outcome", "good"),
            ("x-recorder-match", "last"),
        ],
    )
    def test_a_wish_that_makes_no_sense_is_named(
        self, server: ApiServer, name: str, value: str
    ) -> None:
        response = httpx.post(
            f"{server.url}/fal/{STICKER}", json={}, headers=REPLAY | {name: value}, trust_env=False
        )
        assert response.status_code == 422
        assert response.json()["errors"][0]["field"] == name


def test_auto_records_once_and_replays_from_then_on(rec: Recorder, server: ApiServer) -> None:
    first, second = (
        post(server, f"/fal/{STICKER}/stream", GOOD, x_recorder_mode="auto") for _ in range(2)
    )
    assert first.content == second.content
    assert runs_of(rec) == 1


def test_auto_does_not_take_a_failure_for_an_answer(rec: Recorder, server: ApiServer) -> None:
    for _ in range(2):
        post(server, f"/fal/{STICKER}/stream", BAD, x_recorder_mode="auto")
    assert runs_of(rec) == 2


class TestARunNamedInTheAddress:
    def test_is_what_an_unmodified_client_sees_again(
        self, rec: Recorder, server: ApiServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for arguments in (GOOD, BAD):
            seen = stream(arguments)
            run_id = rec.runs().runs[0].request_id
            with monkeypatch.context() as patched:
                base = f"{server.url}/replay/{run_id}/"
                patched.setattr(fal_client.client, "RUN_URL_FORMAT", base)
                assert stream({}) == seen
                assert asyncio.run(stream_async({})) == seen

    def test_of_another_workflow_or_of_none_is_a_404(
        self, rec: Recorder, server: ApiServer
    ) -> None:
        stream(GOOD)
        run_id = rec.runs().runs[0].request_id
        other = post(server, f"/replay/{run_id}/workflows/o/n/stream", {})
        nobody = post(server, f"/replay/nobody/{STICKER}/stream", {})
        assert [other.json()["type"], nobody.json()["type"]] == [
            "/problems/nothing-recorded",
            "/problems/run-not-found",
        ]
