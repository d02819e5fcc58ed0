"""Runs on their way: out of one log, into another, or refused."""

from __future__ import annotations

import io

import pytest

from recorder.bootstrap import Recorder
from recorder.errors import BadRunFile, RunConflict
from recorder.portable.copying import Copied
from tests.builders import history, interleaved, one_step_run

HOSTILE = [b"data: \xff\x00\n\n", b": ping\r\n\r\ndata: \xe2\x80\xa8\r\n\r\n", b"\x00" * 5_000, b""]


def exported(rec: Recorder, *request_ids: str) -> bytes:
    return b"".join(rec.export(request_ids))


def taken_in(rec: Recorder, data: bytes) -> list[Copied]:
    return rec.import_runs(io.BytesIO(data), "x.run.zip")


def refusal(rec: Recorder, data: bytes) -> str:
    """Why a file is not taken in; nothing of it may have been."""
    before = rec.log.head()
    with pytest.raises(BadRunFile) as raised:
        taken_in(rec, data)
    assert rec.log.head() == before
    said = str(raised.value)
    assert said.startswith("x.run.zip: ")
    assert "\n" not in said
    return said.removeprefix("x.run.zip: ")


def conflict(rec: Recorder, data: bytes) -> tuple[str, int, str]:
    before = rec.log.head()
    with pytest.raises(RunConflict) as raised:
        taken_in(rec, data)
    assert rec.log.head() == before
    return raised.value.request_id, raised.value.seq, raised.value.reason


def two_runs(rec: Recorder) -> None:
    """Two runs that take turns in the log, one of them still going on."""
    going_on = history("b/2", *HOSTILE, reason=None)
    rec.log.append(interleaved(one_step_run("a"), going_on))
