"""Input that means no good gets an answer of the 4xx, or an empty one; on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import httpx

from recorder.bootstrap import Recorder
from recorder.events import lift
from tests.builders import history, one_step_run, opened

TEXTS = [
    "%00",
    "a%00b",
    "%FF%FE",
    "%ED%A0%80",
    "%C0%80",
    "%F4%90%80%80",
    "%",
    "%zz",
    quote("'; DROP TABLE runs; --"),
    quote("\\"),
    quote('%_"'),
    quote("\N{PILE OF POO}\u202e\ufeff\uffff"),
    "x" * 10_000,
    quote("é" * 2_000),
    "%00" * 5_000,
    "..%2F..%2Fetc",
    "-1",
    "9" * 30,
    "1e400",
    "NaN",
    "null",
    "[]",
    "",
]
FILTERS = {
    "/api/v1/runs": [
        *("workflow", "app", "status", "since", "until", "request_id", "anomaly", "limit"),
        *("cursor", "no_such"),
    ],
    "/api/v1/runs/run/events": ["after", "limit", "frames"],
    "/api/v1/latency": ["workflow", "node", "app", "since", "until", "by"],
}


def addresses() -> Iterator[str]:
    for text in TEXTS:
        for path, names in FILTERS.items():
            yield from (f"{path}?{name}={text}" for name in names)
            yield f"{path}?{text}={text}"
        yield from (f"/api/v1/runs/{text}{tail}" for tail in ("", "/events", "/body"))


def test_no_address_gets_a_server_error(http_on_both: httpx.Client, rec: Recorder) -> None:
    rec.log.append(one_step_run("run"))
    answers = {address: _status(http_on_both, address) for address in addresses()}
    assert {a[:200]: s for a, s in answers.items() if s not in (200, 404, 422)} == {}
    assert len(http_on_both.get("/api/v1/runs").json()["runs"]) == 1


def _status(http: httpx.Client, address: str) -> int:
    # As it is written: httpx would encode once more what it takes for unencoded.
    url = http.base_url.copy_with(raw_path=address.encode())
    return http.send(httpx.Request("GET", url)).status_code


def test_ids_that_no_database_can_hold_are_found_all_the_same(
    http_on_both: httpx.Client, rec: Recorder
) -> None:
    ids = ["nul\0", "x" * 10_000, "é" * 1_000]
    for request_id in ids:
        document = opened(lift(request_id) or "", workflow="workflows/\0")
        rec.log.append(history(lift(request_id) or "", document=document))
    listed = http_on_both.get("/api/v1/runs", params={"workflow": "workflows/\0"}).json()["runs"]
    assert len(listed) == 3
    for request_id in ids:
        shown = http_on_both.get(f"/api/v1/runs/{quote(request_id)}")
        assert shown.json()["request_id"] == lift(request_id)
