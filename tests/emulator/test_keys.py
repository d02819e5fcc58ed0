"""Keys: what answers without one, and how a missing or unknown one is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import fal_client
import httpx
import pytest

from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings
from tests.emulator.builders import EXECUTE, STICKER, run_node
from tests.emulator.queueing import QUEUE, SMALL, follow, submit

ASKED_FOR = f"{QUEUE}/requests/00000000-0000-4000-8000-000000000000"

GUARDED = [
    ("POST", STICKER, "workflows/fal-ai/sdxl-sticker"),
    ("POST", f"{STICKER}/stream", "workflows/fal-ai/sdxl-sticker"),
    ("POST", EXECUTE, "workflows/execute"),
    ("POST", f"{EXECUTE}/stream", "workflows/execute"),
    ("POST", QUEUE, "workflows/fal-ai/sdxl-sticker"),
    ("GET", ASKED_FOR, "workflows/fal-ai/sdxl-sticker"),
    ("GET", f"{ASKED_FOR}/status", "workflows/fal-ai/sdxl-sticker"),
    ("GET", f"{ASKED_FOR}/status/stream", "workflows/fal-ai/sdxl-sticker"),
    ("PUT", f"{ASKED_FOR}/cancel", "workflows/fal-ai/sdxl-sticker"),
]
BODY = {**SMALL, "workflow": {"a": run_node("x")}}


@pytest.fixture(scope="module")
def guarded() -> Iterator[httpx.Client]:
    """A client of an emulator that knows two keys."""
    settings = EmulatorSettings(require_key=("id:secret", "other"))
    with EmulatorServer(settings) as server, httpx.Client(base_url=server.url) as client:
        yield client


@pytest.mark.parametrize(("method", "path", "application"), GUARDED)
def test_without_a_key_nothing_runs(
    guarded: httpx.Client, method: str, path: str, application: str
) -> None:
    needed = f'Cannot access application "{application}". '
    for headers in ({}, {"authorization": "Key"}, {"authorization": "Basic id:secret"}):
        answer = guarded.request(method, path, json=BODY, headers=headers)
        assert (answer.status_code, answer.json()) == (
            401,
            {"detail": f"{needed}Authentication is required to access this application."},
        )


@pytest.mark.parametrize(("method", "path", "application"), GUARDED)
def test_an_unknown_key_is_refused_and_a_known_one_passes(
    guarded: httpx.Client, method: str, path: str, application: str
) -> None:
    unknown = guarded.request(method, path, json=BODY, headers={"authorization": "Key id:wrong"})
    assert (unknown.status_code, unknown.json()) == (
        401,
        {"detail": "No user found for Key ID and Secret"},
    )
    known = [{"authorization": "Key id:secret"}, {"authorization": "Bearer other"}]
    passed = [guarded.request(method, path, json=BODY, headers=each) for each in known]
    by_token = guarded.request(method, f"{path}?fal_jwt_token=other", json=BODY)
    expected = 404 if path.startswith(ASKED_FOR) else 200
    assert {answer.status_code for answer in (*passed, by_token)} == {expected}


@pytest.mark.parametrize("path", ["/", "/.well-known/jwks.json"])
def test_what_is_public_needs_no_key(guarded: httpx.Client, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_pictures_need_no_key(guarded: httpx.Client) -> None:
    headers = {"authorization": "Key other"}
    output = guarded.post(STICKER, json=SMALL, headers=headers).json()
    assert guarded.get(output["images"][0]["url"]).status_code == 200


def test_any_key_will_do_where_one_is_just_required() -> None:
    with EmulatorServer(EmulatorSettings(require_key=True)) as server:
        url = f"{server.url}{STICKER}"
        answers = [
            httpx.post(url, json=SMALL, headers=headers)
            for headers in ({}, {"authorization": "Key whatever"})
        ]
    assert [answer.status_code for answer in answers] == [401, 200]


def test_by_default_nobody_is_asked(client: httpx.Client) -> None:
    follow(client, submit(client))
    assert client.post(STICKER, json=SMALL).status_code == 200


@pytest.fixture
def python_client(
    guarded: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], fal_client.SyncClient]]:
    """Makes fal's client for a key."""
    monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{guarded.base_url}/")
    with ExitStack() as stack:

        def make(key: str) -> fal_client.SyncClient:
            client = fal_client.SyncClient(key=key)
            stack.callback(client._client.close)
            return client

        yield make


def test_the_python_client_says_why_its_key_does_not_pass(
    python_client: Callable[[str], fal_client.SyncClient],
) -> None:
    application = STICKER.strip("/")
    assert "images" in python_client("id:secret").run(application, SMALL)
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        python_client("id:wrong").run(application, SMALL)
    assert (caught.value.status_code, str(caught.value)) == (
        401,
        "No user found for Key ID and Secret",
    )
