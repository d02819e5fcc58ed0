"""The pytest plugin, in a project of its own: cassettes are recorded once, and nothing is called again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.server import EmulatorServer

pytest_plugins = ["pytester"]

TEST_STICKER = """
import asyncio
import fal_client
import pytest

STICKER = "workflows/fal-ai/sdxl-sticker"


def close(client):
    client._client.close()


def stream(arguments):
    client = fal_client.SyncClient()
    try:
        return list(client.stream(STICKER, arguments=arguments))
    finally:
        close(client)


def test_sync(fal_replay):
    events = stream({"prompt": PROMPT, "seed": SEED})
    assert [event["type"] for event in events] == ["submit", "completion"] * 3 + ["output"]


def test_async(fal_replay):
    async def run():
        client = fal_client.AsyncClient()
        try:
            return [event async for event in client.stream(STICKER, arguments={"prompt": "async"})]
        finally:
            await (await client._client).aclose()

    assert asyncio.run(run())[-1]["type"] == "output"


def test_queue(fal_replay):
    client = fal_client.SyncClient()
    try:
        assert "images" in client.subscribe(STICKER, arguments={"prompt": "queued"})
    finally:
        close(client)


@pytest.mark.fal_replay(cassette="shared/sticker.run.zip", ignore=["seed"])
def test_marked():
    assert stream({"prompt": "marked", "seed": SEED})[-1]["type"] == "output"
"""


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatorServer]:
    monkeypatch.setenv("FAL_KEY", "any:key")
    with EmulatorServer() as running:
        monkeypatch.setenv("RECORDER_FAL_URL", running.url)
        yield running


def project(pytester: pytest.Pytester, *, prompt: str = "a cute puppy", seed: int = 1) -> None:
    text = TEST_STICKER.replace("PROMPT", json.dumps(prompt)).replace("SEED", str(seed))
    pytester.makepyfile(test_sticker=text)


def outcomes(pytester: pytest.Pytester, *arguments: str) -> dict[str, int]:
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments).parseoutcomes()


def cassettes(pytester: pytest.Pytester) -> dict[str, bytes]:
    root: Path = pytester.path
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.run.zip"))
    }


def test_cassettes_are_recorded_once_and_from_then_on_nothing_is_called(
    pytester: pytest.Pytester, emulator: EmulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(pytester)
    assert outcomes(pytester, "--fal-replay=once") == {"passed": 4}
    recorded = cassettes(pytester)
    assert list(recorded) == [
        "cassettes/test_sticker/test_async.run.zip",
        "cassettes/test_sticker/test_queue.run.zip",
        "cassettes/test_sticker/test_sync.run.zip",
        "shared/sticker.run.zip",
    ]
    monkeypatch.setenv("RECORDER_FAL_URL", "http://127.0.0.1:9")  # nobody is there
    monkeypatch.delenv("FAL_KEY")
    assert outcomes(pytester) == {"passed": 4}
    assert outcomes(pytester, "--fal-replay=once") == {"passed": 4}
    assert cassettes(pytester) == recorded


def test_another_input_fails_with_how_it_differs(
    pytester: pytest.Pytester, emulator: EmulatorServer
) -> None:
    project(pytester)
    outcomes(pytester, "--fal-replay=once")
    project(pytester, prompt="a grumpy cat", seed=2)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-k", "sync or marked")
    result.assert_outcomes(
        passed=2, failed=1, errors=1
    )  # async and marked, for its seed is ignored
    result.stdout.fnmatch_lines(
        [
            "not on the cassette *test_sync.run.zip:",
            "workflows/fal-ai/sdxl-sticker was called with another input than any on the cassette:",
            '-  "prompt": "a cute puppy",',
            '-  "seed": 1',
            '+  "prompt": "a grumpy cat",',
            '+  "seed": 2',
        ]
    )


def test_without_a_cassette_nothing_is_called_and_the_input_is_shown(
    pytester: pytest.Pytester, emulator: EmulatorServer
) -> None:
    project(pytester)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-k", "test_sync")
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["no run of workflows/fal-ai/sdxl-sticker is on the cassette; it was called with"]
    )
    assert cassettes(pytester) == {}


def test_all_records_anew(pytester: pytest.Pytester, emulator: EmulatorServer) -> None:
    project(pytester)
    outcomes(pytester, "--fal-replay=once", "-k", "test_sync")
    before = cassettes(pytester)
    assert outcomes(pytester, "--fal-replay=all", "-k", "test_sync") == {
        "passed": 1,
        "deselected": 3,
    }
    after = cassettes(pytester)
    assert (before.keys(), before == after) == (after.keys(), False)


def test_a_mode_that_is_none_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nfal_replay = sometimes\n")
    pytester.makepyfile("def test_it(fal_replay): pass")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the mode is one of none, once, all, not 'sometimes'*"])
