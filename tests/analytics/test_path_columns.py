"""What paths tell of steps, as columns: random runs, their frames replayed by hand, step by step."""

from __future__ import annotations

import hashlib
import json
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.asking import snapshot
from analytics.selection import Selection
from recorder.bootstrap import Recorder
from recorder.documents import Closed
from recorder.events import NewEvent
from recorder.store.definitions import DefinitionStore
from tests.analytics.by_hand import Row
from tests.builders import completion, error, new_event, opened, output, submit

_numbers = count()

NODES = ["a", "b", "c", "d"]
COLUMNS = ("graph", "waited_for", "gap_us", "critical", "node_critical", "ends_run", "saved_us")
times = st.integers(0, 40)
attempts = st.lists(st.tuples(times, times | st.none(), st.booleans()), max_size=2)
graphs = st.none() | st.dictionaries(
    st.sampled_from([*NODES, "silent"]), st.sets(st.sampled_from([*NODES, "silent"])), min_size=3
)
runs = st.tuples(st.fixed_dictionaries(dict.fromkeys(NODES, attempts)), graphs)


def definition_of(graph: dict[str, set[str]]) -> bytes:
    nodes = {
        name: {"type": "run", "app": "x", "depends": sorted(wanted & set(graph)), "input": {}}
        for name, wanted in graph.items()
    }
    return json.dumps({"nodes": nodes, "output": {}}).encode()


def steps_of(tried: dict[str, list[tuple[int, int | None, bool]]]) -> list[Row]:
    """The steps of a run: every attempt begins after the one before has ended; None never ends."""
    steps: list[Row] = []
    for node, each in tried.items():
        at = 0
        for attempt, (pause, lasts, fails) in enumerate(each, 1):
            begin = at + pause
            end = None if lasts is None else begin + lasts
            steps.append({"node": node, "attempt": attempt, "begin": begin, "end": end} | {"fails": fails})  # fmt: skip
            if end is None:
                break
            at = end
    return sorted(steps, key=lambda each: (each["begin"], each["end"] or 0, each["node"]))


def events_of(
    request_id: str, workflow: str, steps: list[Row], digest: str | None
) -> list[NewEvent]:
    timed: list[tuple[int, bytes]] = []
    for step in sorted(steps, key=lambda step: (step["node"], step["attempt"])):
        timed.append((step["begin"], submit(step["node"])))
        if step["end"] is not None:
            ended = error if step["fails"] else completion
            timed.append((step["end"], ended(step["node"])))
    timed.sort(key=lambda each: each[0])
    frames = [*timed, (200, output())]
    document = opened(request_id, workflow=workflow, definition=digest)
    events = [new_event(request_id, 0, document, elapsed_us=0)]
    events += [new_event(request_id, n, frame, elapsed_us=at) for n, (at, frame) in enumerate(frames, 1)]  # fmt: skip
    return [*events, new_event(request_id, len(events), Closed(reason="eof"), elapsed_us=210)]


def before(graph: dict[str, set[str]], node: str) -> set[str]:
    """All a node waits for, be it through others."""
    found: set[str] = set()
    left = [node]
    while left:
        for each in graph[left.pop()] & set(graph):
            if each not in found:
                found.add(each)
                left.append(each)
    return found


def expected(steps: list[Row], graph: dict[str, set[str]] | None) -> dict[tuple[str, int], Row]:
    """The columns of each step, one step after the other."""
    if any(step["end"] is None for step in steps):
        return {(step["node"], step["attempt"]): dict.fromkeys(COLUMNS) for step in steps}
    if graph is not None and not {step["node"] for step in steps} <= set(graph):
        graph = None
    waited: list[list[int]] = []
    for place, step in enumerate(steps):
        over = [n for n, other in enumerate(steps[:place]) if other["end"] <= step["begin"]]
        if graph is not None:
            allowed = before(graph, step["node"]) | {step["node"]}
            over = [n for n in over if steps[n]["node"] in allowed]
        waited.append(over)
    last = [max(over, key=lambda n: (steps[n]["end"], -n), default=None) for over in waited]
    gaps = [
        step["begin"] - (0 if n is None else steps[n]["end"])
        for step, n in zip(steps, last, strict=True)
    ]
    ends = max(range(len(steps)), key=lambda n: (steps[n]["end"], -n), default=None)
    path, here = set(), ends
    while here is not None:
        path.add(here)
        here = last[here]
    on_path = {steps[n]["node"] for n in path}
    found = {}
    for place, step in enumerate(steps):
        finished: list[int] = []
        for n, each in enumerate(steps):
            length = each["end"] - each["begin"]
            length = length // 2 if each["node"] == step["node"] else length
            finished.append(max([0, *(finished[o] for o in waited[n])]) + gaps[n] + length)
        of = last[place]
        found[step["node"], step["attempt"]] = {
            "graph": "observed" if graph is None else "definition",
            "waited_for": None if of is None else steps[of]["node"],
            "gap_us": gaps[place],
            "critical": place in path,
            "node_critical": step["node"] in on_path,
            "ends_run": place == ends,
            "saved_us": max(each["end"] for each in steps) - max(finished),
        }
    return found


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(runs, min_size=1, max_size=4))
def test_columns_are_what_replaying_a_run_by_hand_tells(
    sqlite_rec: Recorder,
    given: list[tuple[dict[str, list[tuple[int, int | None, bool]]], dict[str, set[str]] | None]],
) -> None:
    workflow = f"workflows/random/{next(_numbers)}"
    wanted = {}
    for number, (tried, graph) in enumerate(given):
        digest = None
        if graph is not None:
            definition = definition_of(graph)
            digest = hashlib.sha256(definition).hexdigest()
            DefinitionStore(sqlite_rec.database).keep(digest, definition)
        steps = steps_of(tried)
        request_id = f"{workflow}-{number}"
        sqlite_rec.log.append(events_of(request_id, workflow, steps, digest))
        for (node, attempt), row in expected(steps, graph).items():
            wanted[request_id, node, attempt] = row
    sqlite_rec.projector.catch_up()
    assert found(sqlite_rec, workflow) == wanted


def found(rec: Recorder, workflow: str) -> dict[tuple[str, str, int], Row]:
    with snapshot(rec.database, Selection(workflow=workflow)) as opened:
        rows = opened._connection.sql("FROM steps").to_arrow_table().to_pylist()
    return {
        (row["request_id"], row["node_id"], row["attempt"]): {name: row[name] for name in COLUMNS}
        for row in rows
    }
