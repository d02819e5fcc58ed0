"""Numbers for a monitor: what they are, and what they never hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

import recorder
from api.metrics import Family, exposition
from api.server import ApiServer
from recorder.bootstrap import Recorder
from recorder.documents import Gap
from recorder.events import UNRECOGNISED
from recorder.settings import Settings
from tests.api.conftest import client_of
from tests.builders import frame, history, new_event, one_step_run, opened, submit

MANUAL = Path(__file__).parents[2] / "docs" / "api.md"
_SAMPLE = re.compile(r'([a-z_]+)(\{[a-z]+="[^"\\]*"\})? (-?[0-9.e+]+)')


def metrics(http: httpx.Client) -> dict[str, float]:
    """The samples, by name and label; every line has to be one the format knows."""
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.endswith("\n")
    told: dict[str, float] = {}
    named: list[str] = []
    for line in answer.text.splitlines():
        if line.startswith("# "):
            named = line.split(" ", 3)[1:3]
            continue
        found = _SAMPLE.fullmatch(line)
        assert found is not None, line
        assert named == ["TYPE", found[1]], line
        told[found[1] + (found[2] or "")] = float(found[3])
    return told


def test_they_tell_counts_and_lags(http_on_both: httpx.Client, rec: Recorder) -> None:
    rec.log.append(one_step_run("good"))
    rec.log.append(history("under-way", submit("a"), reason=None))
    rec.log.append(
        [
            new_event("lossy", 0, opened("lossy")),
            new_event("lossy", 1, Gap(lost_events=3, lost_bytes=9, reason="no room")),
        ]
    )
    rec.projector.catch_up()
    told = metrics(http_on_both)
    [build] = [name for name in told if name.startswith("recorder_build_info")]
    assert told == {
        build: 1,
        "recorder_proxy_requests": 0,
        "recorder_streams": 0,
        "recorder_followers": 0,
        "recorder_backlog": 0,
        "recorder_projection_failed": 0,
        "recorder_segments_failed": 0,
        "recorder_log_up": 1,
        "recorder_events_total": 9,
        "recorder_projection_lag_events": 0,
        "recorder_segments_lag_events": 9,
        'recorder_spool_files{state="waiting"}': 0,
        'recorder_spool_files{state="refused"}': 0,
        'recorder_spool_files{state="damaged"}': 0,
        "recorder_spool_waiting_bytes": 0,
        'recorder_runs{status="running"}': 2,
        'recorder_runs{status="completed"}': 1,
        'recorder_runs{status="failed"}': 0,
        'recorder_runs{status="interrupted"}': 0,
        'recorder_runs{status="cancelled"}': 0,
        "recorder_runs_with_gaps": 1,
        **{f'recorder_quarantined_payloads_total{{reason="{each}"}}': 0 for each in UNRECOGNISED},
    }


def test_payloads_in_quarantine_are_counted_by_reason(
    http_on_both: httpx.Client, rec: Recorder
) -> None:
    odd = [frame(each) for each in ("[DONE]", "{", "{", "[]", "{}", '{"type": "odd"}')]
    read = frame('{"type": "submit", "node_id": "a", "type": "submit", "x": NaN}')
    for number in range(2):
        rec.log.append(history(f"odd-{number}", *odd, read))
    rec.projector.catch_up()
    told = metrics(http_on_both)
    assert {
        reason: told[f'recorder_quarantined_payloads_total{{reason="{reason}"}}']
        for reason in UNRECOGNISED
    } == {
        "done_marker": 2,
        "erased": 0,
        "invalid_json": 4,
        "no_type": 2,
        "not_an_object": 2,
        "oversize": 0,
        "unknown_type": 2,
    }


def test_they_tell_how_many_events_wait_for_the_log(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    with sqlite_rec.database.writing():  # nobody else can commit now
        sent = sqlite_rec.writer.submit(one_step_run("good"))
        while metrics(http)["recorder_backlog"] != 5:  # the writer may just be taking them
            assert not sent.done()
    assert len(sent.result()) == 5
    assert metrics(http)["recorder_backlog"] == 0


def test_they_tell_who_follows_and_what_lies_in_the_spool(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    sqlite_rec.log.append(one_step_run("good"))
    sqlite_rec.spool_folder.mkdir(parents=True, exist_ok=True)
    left = [sqlite_rec.spool_folder / name for name in ("a.refused", "b.refused", "c.damaged")]
    for path in left:
        path.write_bytes(b"x")
    with http.stream("GET", "/api/v1/events?after=0") as stream:
        lines = stream.iter_lines()
        next(lines)
        told = metrics(http)
    assert (told["recorder_followers"], told["recorder_streams"]) == (1, 1)
    assert told['recorder_spool_files{state="refused"}'] == 2
    assert told['recorder_spool_files{state="damaged"}'] == 1
    for path in left:
        path.unlink()


def test_a_silent_log_leaves_what_the_process_knows(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    with sqlite_rec.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE log_head RENAME TO elsewhere")
    told = metrics(http)
    assert told["recorder_log_up"] == 0
    assert told["recorder_backlog"] == 0
    assert [name for name in told if name.startswith(("recorder_runs", "recorder_events"))] == []


@pytest.fixture
def with_secrets(sqlite_url: str) -> Iterator[Recorder]:
    settings = Settings(
        database_url=sqlite_url,
        fal_key=SecretStr("id:canary"),
        hosts=("recorder.example",),
    )
    with recorder.open(sqlite_url, settings=settings) as rec:
        yield rec


def test_they_hold_no_secret_and_nothing_of_runs_and_answer_to_the_same_names(
    with_secrets: Recorder,
) -> None:
    document = opened("canary", workflow="canary", input="canary")
    with_secrets.log.append(history("canary", submit("canary"), document=document))
    with ApiServer(with_secrets) as server, client_of(server) as http:
        assert "canary" not in http.get("/metrics").text
        refused = http.get("/metrics", headers={"host": "elsewhere.example"})
        assert refused.status_code == 421


def test_texts_are_escaped() -> None:
    family = Family("a_total", "counter", "one\\two\nlines", {'"\\\n': 2.5}, "of")
    assert exposition(iter([family])) == (
        '# HELP a_total one\\\\two\\nlines\n# TYPE a_total counter\na_total{of="\\"\\\\\\n"} 2.5\n'
    )


def test_the_manual_names_every_metric(http: httpx.Client) -> None:
    manual = MANUAL.read_text(encoding="utf-8")
    names = {name.partition("{")[0] for name in metrics(http)}
    assert {name for name in names if f"`{name}`" not in manual} == set()
