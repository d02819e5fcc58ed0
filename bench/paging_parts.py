"""The servers of `bench.paging`: `python -m bench.paging_parts recorder|bare DATABASE`.

Each prints its base URL and serves until its standard input ends.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import threading

RUN_COLUMNS = (
    "request_id, workflow, status, source, mode, opened_at, closed_at, duration_us, events, anomalies, "
    "error, as_of_position, first_event_us, close_reason, queue, definition, input_digest, parent, "
    "first_position"
)
STEP_COLUMNS = (
    "request_id, node_id, attempt, app_id, step_request_id, status, submitted_us, finished_us, "
    "inference_us, error"
)


def recorder(path: str) -> None:
    """Ours."""
    from api.server import serve
    from recorder.bootstrap import open as open_recorder

    with open_recorder(f"sqlite:///{path}") as rec:
        serve(rec, port=0, on_ready=lambda url: print(url, flush=True))


def bare(path: str) -> None:
    """The least that answers the same: the same two queries and columns, rows as they are, no checks.

    FastAPI, sqlite3 and msgspec's JSON, as orjson is none of our dependencies; on the event loop, which
    spares it the way through a thread.
    """
    import msgspec
    import uvicorn
    from fastapi import FastAPI, Response

    connection = sqlite3.connect(path, check_same_thread=False)
    run_names, step_names = RUN_COLUMNS.split(", "), STEP_COLUMNS.split(", ")
    page_of_runs = (
        f"SELECT {RUN_COLUMNS} FROM runs WHERE generation = 1 AND first_position < ? "
        "ORDER BY first_position DESC LIMIT ?"
    )
    encode = msgspec.json.Encoder().encode
    app = FastAPI()

    @app.get("/api/v1/runs")
    async def runs(limit: int = 50, before: int = 2**62) -> Response:
        rows = connection.execute(page_of_runs, (before, limit)).fetchall()
        found = {row[0]: dict(zip(run_names, row, strict=True), steps=[]) for row in rows}
        marks = ", ".join("?" * len(rows))
        steps = connection.execute(
            f"SELECT {STEP_COLUMNS} FROM steps WHERE generation = 1 AND request_id IN ({marks})",
            list(found),
        )
        for step in steps:
            found[step[0]]["steps"].append(dict(zip(step_names, step, strict=True)))
        answer = {"runs": list(found.values()), "next_before": rows[-1][-1]}
        return Response(encode(answer), media_type="application/json")

    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, http="httptools", log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


def end_with_stdin() -> None:
    """Ends the process with its standard input."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_stdin, daemon=True).start()
    {"recorder": recorder, "bare": bare}[sys.argv[1]](sys.argv[2])
