"""Hundreds of values that are none, at every place a replay takes one: a problem of the client's, never ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx

from api.app import create_app
from recorder.bootstrap import Recorder
from tests.builders import one_step_run

STREAM = "/api/v1/runs/run/stream"
EVENTS = "/api/v1/events"


def words(text: str) -> list[str]:
    return text.split()


NO_NUMBERS = words("""
nan NaN +nan -nan inf Infinity -inf infinity 1e400 -1e400 1e-400 1e1 1E1 1e+1 .5e1 -0 -0.0 +0 +1
--1 -1 -1.5 - + . .. , 1, 1. .1 1.. 1.2.3 1,5 1.000,5 1_0 _1 1_ 1__0 0x10 0X1F 0b11 0o17 1f 1d
1L 1j 1+1 1-1 1/1 1*1 1%1 1e 1x x1 2x max1 1max MAX Max maximum min none None null NULL nil
undefined true false True yes on [] [1] [1,2] (1) {} {"a":1} "1" '1' `1` 1;2 1;speed=2 1&2 1=1
$1 ${1} %31 %00 \\0 \\x31 \\u0031 # 1#2 ? / ../1 ~1 @1 !1 <1> 1|2 1^2 1e9 9e99 0e0 00x 1h 1s 1ms
٣ ١٢ ۴ १ ১ ௧ １ １２ 𝟏 𝟙 ① ² ³ ¹ ½ ¼ Ⅷ 一 壱 ৴ −1 1\u2060 1\u202e \u200f1 é ß 😀 �
""")
ODD = [
    "",
    " ",
    "  ",
    "\t",
    "1 2",
    " 1",
    "1 ",
    "\n",
    "1\n",
    "1\r\n",
    "\x00",
    "1\x00",
    "\x001",
    "\x7f",
    "\x1b[1m1",
]
LONG = ["9" * length for length in (20, 21, 32, 33, 64, 309, 400, 4_300, 4_301, 8_000)]
BEYOND = [str(2**63), str(2**63 + 1), str(2**64), str(2**64 + 1), "0" * 20, "-" + "9" * 40]
WITHIN = [
    text
    for sign in "!\"#$%&'()*+,-/:;<=>?@[\\]^_`{|}~abcdefghijxyzABCDEFXYZ \t\x00\x01\x1f\x7f\xa0\u00b2\u2003\u0661\uff11\ufeff"
    for text in (f"{sign}1", f"1{sign}", f"1{sign}1")
]
BAD = [*NO_NUMBERS, *ODD, *LONG, *BEYOND, *WITHIN]
BAD_SPEEDS = [*BAD, "0", "0.0", "0.0009", "1000001", "1000000.1", "00", "-max", "max,1"]
NO_LAST_ID = [value for value in BAD if value]  # with an empty one a client forgets its last
TWICE = ["speed=1&speed=1", "speed=max&speed=nan", "from_seq=0&from_seq=1", "raw=1&raw=0"]


def asked() -> Iterator[tuple[str, httpx.Request]]:
    """What is asked, and the field that has to be named."""

    def request(
        path: str, told: dict[str, str] | str, last: list[bytes] | None = None
    ) -> httpx.Request:
        headers = [(b"last-event-id", value) for value in last or []]
        return httpx.Request("GET", httpx.URL(f"http://test{path}", params=told), headers=headers)

    for value in BAD_SPEEDS:
        yield "speed", request(STREAM, {"speed": value})
    for value in BAD:
        yield "from_seq", request(STREAM, {"from_seq": value})
        yield "after", request(EVENTS, {"after": value})
    for value in NO_LAST_ID:
        for path in (STREAM, EVENTS):
            yield "last-event-id", request(path, {}, [value.encode()])
    for query in TWICE:
        yield query.partition("=")[0], request(STREAM, query)
    for path in (STREAM, EVENTS):
        yield "last-event-id", request(path, {}, [b"1", b"1"])


def test_no_bad_value_is_taken_or_makes_the_service_fail(sqlite_rec: Recorder) -> None:
    """Past the sockets, where even what no header may hold arrives."""
    sqlite_rec.log.append(one_step_run("run"))
    app = create_app(sqlite_rec)

    async def answers() -> list[tuple[str, httpx.Response]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            return [(field, await client.send(request)) for field, request in asked()]

    seen = asyncio.run(answers())
    wrong = [
        (str(response.request.url), response.request.headers.raw, response.status_code)
        for field, response in seen
        if response.status_code != 422 or response.json()["errors"][0]["field"] != field
    ]
    assert wrong == []
    assert len(seen) > 1_000
