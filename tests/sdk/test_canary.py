"""A key is in none of what the recorder keeps or says, however it travels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fal_client
import pytest

from recorder.instrumentation import instrument
from recorder.settings import Settings
from tests.core.raw_server import serving
from tests.logs import WAIT_S
from tests.sdk.calls import INPUT, STICKER, TINY, TOO_MANY, sync_client
from tests.sdk.conftest import KEY, call_fal_at
from tests.sdk.test_endings import CUT

SECRET = "canary-4711"
assert SECRET in KEY


def files_holding(folder: Path, secret: str) -> list[str]:
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    ]


def call_everything() -> None:
    """Every kind of call, some of which go wrong."""
    with sync_client(key=KEY) as client:
        list(client.stream(TINY, INPUT))
        client.run(TINY, INPUT, path=f"?fal_jwt_token={SECRET}")
        client.subscribe(TINY, INPUT)
        client.submit(TINY, INPUT, webhook_url=f"http://127.0.0.1:9/?token={SECRET}")
        with pytest.raises(fal_client.FalClientHTTPError):
            client.run(STICKER, TOO_MANY)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """What the recorder says to the program's log, tracebacks included."""
    with caplog.at_level(logging.DEBUG):
        # What httpx says of requests it says with us and without.
        yield lambda: "\n".join(
            caplog.handler.format(each)
            for each in caplog.records
            if each.name.partition(".")[0] in ("recorder", "api")
        )


def test_a_key_reaches_no_log_no_spool_and_no_line(
    sqlite_url: str, settings: Settings, tmp_path: Path, said: Any
) -> None:
    with instrument(sqlite_url, record="all", settings=settings) as instrumentation:
        call_everything()
        assert instrumentation.flush(WAIT_S)
    assert files_holding(tmp_path, SECRET) == []
    assert files_holding(tmp_path, "fal_jwt_token=[redacted]") != []
    assert SECRET not in said()


def test_a_key_reaches_no_spool_while_the_service_is_away(
    settings: Settings, tmp_path: Path, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with instrument("http://127.0.0.1:9", settings=settings) as instrumentation:
        call_everything()
        with serving([CUT]) as server, sync_client(key=KEY) as client:
            call_fal_at(server.url, monkeypatch)
            with pytest.raises(Exception, match="peer closed"):
                list(client.stream(TINY, INPUT))
        instrumentation.uninstrument(timeout_s=0)
    assert settings.spool is not None
    assert any(settings.spool.rglob("*.spool"))
    assert files_holding(tmp_path, SECRET) == []
    assert SECRET not in said()
