"""Random histories: runs that go well, and runs no workflow would ever make."""

from __future__ import annotations

from hypothesis import strategies as st

from recorder.bodies import Part
from recorder.events import Closed, CloseReason, Exchange, NewEvent, Opened
from tests.builders import (
    Happening,
    answer,
    completion,
    error,
    exchange,
    frame,
    new_event,
    output,
    submit,
)

_nodes = st.sampled_from(["a", "b", None, "x" * 600, "n\0l"])
_steps = st.sampled_from([None, None, "s1", "s2"])
_inferences = st.sampled_from(
    [None, 0.0, 0.25, 1e9, -1.0, float("nan"), float("inf"), "soon", 10**30]
)
_odd_frames = st.sampled_from(
    [
        b"",
        b": ping\n\n",
        b"data: [DONE]\n\n",
        b"data: \xff\n\n",
        b'data: {"type": "submit", "node_id": 7}\n\n',
        b'data: {"type": "error", "error": NaN}\n\n',
        b'data: {"type": "error", "node_id": "a", "type": "submit"}\n\n',
        b'data: {"type": "output", "output": NaN, "output": 1}\n\n',
        b'data: {"type": "error", "error": {"status": 404, "body": "\\ud800\\u0000"}}\n\n',
        frame("[]"),
        frame("{}"),
        frame({"type": "progress"}),
    ]
)
wire_frames: st.SearchStrategy[bytes] = st.one_of(
    st.builds(submit, _nodes, step=_steps),
    st.builds(completion, _nodes, inference_s=_inferences, step=_steps),
    st.builds(submit, st.just("a")),
    st.builds(completion, st.just("a"), inference_s=st.just(0.01)),
    st.builds(output, st.integers()),
    st.builds(error, _nodes, body=st.sampled_from([None, {"detail": "x"}, "y" * 70_000])),
    _odd_frames,
)
"""Frames as they come, and as they never should."""

_openings: st.SearchStrategy[Opened] = st.builds(
    Opened,
    workflow=st.sampled_from(["workflows/a/b", "", "w\0", "w" * 600]),
    source=st.sampled_from(["http", "transcript", "iterator"]),
    upstream_request_id=st.sampled_from([None, "other"]),
    status=st.sampled_from([None, 200, 404]),
    timed=st.booleans(),
    mode=st.sampled_from(["stream", "stream", "call", "queue"]),
    input=st.sampled_from([None, "{}", '{"b": 1.0, "a": [NaN]}', "no JSON"]),
    definition=st.sampled_from([None, "d" * 64]),
    parent=st.sampled_from([None, "parent", "p\0"]),
)
_exchanges: st.SearchStrategy[Exchange] = st.builds(
    exchange,
    st.sampled_from(["submit", "status", "status_stream", "result", "cancel", "webhook"]),
    st.sampled_from([None, 200, 202, 400, 404, 422, 500]),
    st.sampled_from(
        [
            None,
            "",
            "<html>",
            {"status": "IN_QUEUE", "queue_position": 3},
            {"status": "IN_PROGRESS", "queue_position": True},
            {"status": "COMPLETED", "metrics": {"inference_time": 1.5}},
            {"status": "COMPLETED", "metrics": []},
            'data: {"status": "COMPLETED"}\r\n\r\n',
            {"status": "OK", "payload": {}},
            {"status": "ERROR", "error": "it broke"},
        ]
    ),
)
_answers: st.SearchStrategy[Part] = st.builds(
    answer, st.sampled_from([None, 1, {"timings": {"inference": 0.5}}, {"timings": "soon"}])
)
_reasons: list[CloseReason] = ["eof", "cut", "client_gone", "timeout", "refused", "error"]
_endings: st.SearchStrategy[Closed] = st.builds(
    Closed,
    reason=st.sampled_from(_reasons),
    detail=st.sampled_from([None, "why\0"]),
    trailing=st.sampled_from([None, "rest"]),
    left_us=st.sampled_from([None, None, 150_000]),
)


@st.composite
def runs(draw: st.DrawFn, request_id: str) -> list[NewEvent]:
    """A run, its opening and its end perhaps missing."""
    happenings = st.one_of(wire_frames, wire_frames, _exchanges, _answers)
    whats: list[Happening] = list(draw(st.lists(happenings, max_size=8)))
    if draw(st.integers(0, 5)):
        whats.insert(0, draw(_openings))
    if draw(st.integers(0, 3)):
        whats.append(draw(_endings))
    return [
        new_event(request_id, seq, what, elapsed_us=draw(st.integers(0, 10**6)))
        for seq, what in enumerate(whats)
    ]


@st.composite
def logs(draw: st.DrawFn, max_runs: int = 4) -> list[NewEvent]:
    """The events of a few runs, each run's in order, the runs in any."""
    left = [draw(runs(f"run-{number}")) for number in range(draw(st.integers(1, max_runs)))]
    events: list[NewEvent] = []
    while left := [run for run in left if run]:
        events.append(draw(st.sampled_from(left)).pop(0))
    return events
