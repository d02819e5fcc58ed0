"""A service that is killed in the middle of a replay, and a client that comes back to the next one."""

from __future__ import annotations

import subprocess

import httpx
from httpx_sse import connect_sse

import recorder
from recorder import sse
from tests.builders import frame, history
from tests.cli.builders import free_port, serving

EVENTS = 256
FRAMES = [frame({"type": "progress", "n": n, "text": "x" * 65_536}) for n in range(EVENTS)]
"""More than the system takes on its way: the service is still sending when the client has read a few."""

Seen = list[tuple[str, str]]
Service = subprocess.Popen[bytes]


def read_on(http: httpx.Client, seen: Seen, kill_after: int | None, process: Service) -> bool:
    """Goes on after the last event seen; returns whether the stream came to its end."""
    headers = {"last-event-id": seen[-1][0]} if seen else {}
    url = "/api/v1/runs/run/stream?speed=max"
    try:
        with connect_sse(http, "GET", url, headers=headers) as source:
            for number, event in enumerate(source.iter_sse(), 1):
                seen.append((event.id, event.data))
                if number == kill_after:
                    process.kill()
    except httpx.TransportError:
        return False
    return True


def test_each_event_comes_once_to_a_client_that_resumes(sqlite_url: str) -> None:
    port = free_port()
    events = history("run", *FRAMES)
    seen: Seen = []
    ended: list[bool] = []
    with (
        recorder.open(sqlite_url) as rec,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http,
    ):
        rec.log.append(events[:200])  # still going on, and more of it comes while nobody serves
        for kill_after, more in ((3, events[200:]), (5, []), (None, [])):
            process = serving(port, "--db", sqlite_url)
            ended.append(read_on(http, seen, kill_after, process))
            process.kill()
            process.communicate(timeout=30)
            rec.log.append(more)
    assert ended == [False, False, True]
    assert seen == [(str(seq), sse.decode_data(each)) for seq, each in enumerate(FRAMES, 1)]
