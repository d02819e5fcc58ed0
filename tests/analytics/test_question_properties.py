"""Questions about random histories, against pandas and brute force over the raw events."""

from __future__ import annotations

import json
import math
from itertools import count
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.face import Analytics
from recorder.bootstrap import Recorder
from recorder.documents import Closed
from recorder.events import NewEvent
from tests.analytics.by_hand import Row, columns
from tests.builders import completion, error, new_event, opened, output, submit
from tests.clocks import NOVEMBER_2023_US

_numbers = count()

NODES = ["a", "b", "c"]
moments = st.integers(0, 5_000)
steps: st.SearchStrategy[Row] = st.builds(
    dict,
    node=st.sampled_from(NODES),
    app=st.sampled_from([None, "fal-ai/one", "fal-ai/two"]),
    begin=moments,
    lasts=st.none() | moments,
    inference=st.none() | st.integers(0, 6_000),
    fails=st.booleans(),
)
runs: st.SearchStrategy[Row] = st.builds(
    dict,
    steps=st.lists(steps, max_size=3, unique_by=lambda step: step["node"]),
    ends=st.sampled_from(["completed", "closed", "open"]),
    opened=st.integers(0, 20_000_000),
)
SLOW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def events_of(run: Row, request_id: str, workflow: str) -> list[NewEvent]:
    """The run's events in the order of their times."""
    timed: list[tuple[int, bytes]] = []
    for step in run["steps"]:
        timed.append((step["begin"], submit(step["node"], app_id=step["app"])))
        if step["lasts"] is not None:
            seconds = None if step["inference"] is None else step["inference"] / 1_000_000
            ended = (
                error(step["node"])
                if step["fails"]
                else completion(step["node"], inference_s=seconds, app_id=None)
            )
            timed.append((step["begin"] + step["lasts"], ended))
    timed.sort(key=lambda each: each[0])
    if run["ends"] == "completed":
        timed.append((10_000, output()))
    document = opened(request_id, workflow=workflow)
    events = [new_event(request_id, 0, document, elapsed_us=0)]
    events += [
        new_event(request_id, seq, frame, elapsed_us=at) for seq, (at, frame) in enumerate(timed, 1)
    ]
    if run["ends"] != "open":
        events.append(new_event(request_id, len(events), Closed(reason="eof"), elapsed_us=10_500))
    return [_moved(event, run["opened"]) for event in events]


def _moved(event: NewEvent, by_us: int) -> NewEvent:
    return msgspec.structs.replace(event, received_at=event.received_at + by_us)


def read_back(histories: list[list[NewEvent]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs and steps straight from the raw frames, with none of the recorder's own reading."""
    run_rows, step_rows = [], []
    for events in histories:
        run: Row = {"request_id": events[0].request_id, "opened": events[0].received_at}
        of_run: dict[str, Row] = {}
        status, ended = "running", math.nan
        for event in events[1:]:
            text = (event.frame or b"").decode()
            if event.type == "closed":
                ended = event.elapsed_us
                status = "interrupted" if status == "running" else status
                continue
            payload = json.loads(text.removeprefix("data: ").strip())
            _take(of_run, payload, event.elapsed_us)
            if payload["type"] == "output":
                status = "completed"
            elif payload["type"] == "error" and status == "running":
                status = "failed"
        run_rows.append(run | {"status": status, "duration": ended})
        for node, step in of_run.items():
            if step["status"] == "running" and not math.isnan(ended):
                step["status"] = "unfinished"
            step_rows.append(
                step
                | {
                    "request_id": run["request_id"],
                    "node": node,
                    "opened": run["opened"],
                    "run_status": status,
                    "run_ended": ended,
                }
            )
    names = [
        "request_id",
        "node",
        "app",
        "status",
        "begin",
        "end",
        "inference",
        "opened",
        "run_status",
        "run_ended",
    ]
    return pd.DataFrame(run_rows), pd.DataFrame(step_rows, columns=names)


def _take(steps: dict[str, Row], payload: Row, at: int) -> None:
    node = payload.get("node_id", "")
    if payload["type"] == "submit":
        steps[node] = {
            "app": payload.get("app_id"),
            "status": "running",
            "begin": at,
            "end": math.nan,
            "inference": math.nan,
        }
    elif payload["type"] in ("completion", "error"):
        failed = payload["type"] == "error"
        steps[node] |= {"status": "failed" if failed else "completed", "end": at}
        told = {} if failed else payload["output"].get("timings", {})
        if "inference" in told:
            steps[node]["inference"] = round(told["inference"] * 1_000_000)


class Told:
    """What was recorded of a random history, both ways."""

    def __init__(self, rec: Recorder, given: list[Row]) -> None:
        self.workflow = f"workflows/random/{next(_numbers)}"
        histories = [
            events_of(run, f"{self.workflow}-{number}", self.workflow)
            for number, run in enumerate(given)
        ]
        for events in histories:
            rec.log.append(events)
        self.runs, self.steps = read_back(histories)
        self._analytics = Analytics(rec)

    def ask(self, question: str, **parameters: Any) -> list[Row]:
        asked = getattr(self._analytics, question)(workflow=self.workflow, **parameters)
        rows: list[Row] = asked.to_pylist()
        return rows

    @property
    def measured(self) -> pd.DataFrame:
        """Completed steps with their durations."""
        done = self.steps[self.steps["status"] == "completed"]
        duration = done["end"] - done["begin"]
        return done.assign(duration=duration, overhead=duration - done["inference"])


histories = st.lists(runs, min_size=1, max_size=5)


@SLOW
@given(histories)
def test_percentiles_are_pandas(sqlite_rec: Recorder, given: list[Row]) -> None:
    told = Told(sqlite_rec, given)
    rows = told.ask("latency", by=["node", "app"], percentiles=[25, 99])
    groups = dict(list(told.measured.groupby(["node", "app"], dropna=False)))
    seen = set()
    for row in rows:
        (group,) = (
            frame
            for (node, app), frame in groups.items()
            if node == row["node"] and (app == row["app"] or (pd.isna(app) and row["app"] is None))
        )
        values = group[row["measure"]].dropna()
        assert row["n"] == len(values)
        if len(values):
            assert row["value_us"] == pytest.approx(
                values.quantile(row["percentile"] / 100), abs=0.01
            )
            assert row["max_us"] == values.max()
        seen.add((row["node"], row["app"]))
    assert len(seen) == len(groups)


@SLOW
@given(histories)
def test_the_time_spent_is_pandas(sqlite_rec: Recorder, given: list[Row]) -> None:
    told = Told(sqlite_rec, given)
    done = told.measured[told.measured["run_status"] == "completed"]
    whole = told.runs.loc[told.runs["status"] == "completed", "duration"].sum()
    rows = told.ask("time_spent")
    assert sorted(row["node"] for row in rows) == sorted(done["node"].unique())
    for row in rows:
        mine = done[done["node"] == row["node"]]
        for part in ("duration", "inference", "overhead"):
            known = mine[part].dropna()
            assert row[f"{part}_total_us"] == (known.sum() if len(known) else None)
            assert row[f"{part}_p50_us"] == (pytest.approx(known.median()) if len(known) else None)
        assert row["share"] == (pytest.approx(mine["duration"].sum() / whole) if whole else None)


@SLOW
@given(histories)
def test_throughput_heatmap_and_errors_count_what_pandas_counts(
    sqlite_rec: Recorder, given: list[Row]
) -> None:
    told = Told(sqlite_rec, given)
    second = told.ask("throughput", bucket="minute")
    assert sum(row["opened"] for row in second) == len(told.runs)
    minutes = told.runs.groupby(told.runs["opened"] // 60_000_000).size()
    assert {row["opened"] for row in second} - {0} == set(minutes)
    assert sum(row["finished"] for row in second) == told.runs["duration"].notna().sum()
    heat = told.ask("heatmap")
    durations = told.measured["duration"].to_numpy()
    for row in heat:
        assert row["n"] == ((durations >= row["low_us"]) & (durations < row["high_us"])).sum()
    assert sum(row["n"] for row in heat) == len(durations)
    failed = told.steps[told.steps["status"] == "failed"]
    rows = [row for row in told.ask("errors") if row["of"] == "steps"]
    assert sum(row["failures"] for row in rows) == len(failed)
    for row in rows:
        mine = failed["app"].isna() if row["app"] is None else failed["app"] == row["app"]
        assert row["failures"] == mine.sum()
        assert row["share"] == pytest.approx(mine.sum() / len(told.steps))


def at_work(told: Told) -> pd.DataFrame:
    """The closed intervals of steps, in microseconds since 1970."""
    ends = told.steps["end"].where(told.steps["status"] != "unfinished", told.steps["run_ended"])
    begin = told.steps["opened"] + told.steps["begin"]
    known = told.steps.assign(since=begin, till=told.steps["opened"] + ends)
    return known[known["till"].notna()]


@SLOW
@given(histories)
def test_concurrency_and_load_are_what_counting_finds(
    sqlite_rec: Recorder, given: list[Row]
) -> None:
    closed = [run for run in given if run["ends"] != "open"]  # the others depend on now
    told = Told(sqlite_rec, [*closed, {"steps": [], "ends": "completed", "opened": 0}])
    work = at_work(told)
    rows = told.ask("concurrency", bucket="hour")
    assert len(rows) == 1  # all of it within an hour

    def under_way(at: float) -> int:
        return int(((work["since"] <= at) & (work["till"] > at)).sum())

    assert rows[0]["steps_max"] == max([0, *map(under_way, work["since"])])
    area = (work["till"] - work["since"]).sum()
    assert rows[0]["steps_mean"] == pytest.approx(area / 3_600_000_000)
    loads: dict[tuple[str | None, int], int] = {}
    for _, step in work[work["status"] == "completed"].iterrows():
        mine = work["app"].isna() if pd.isna(step["app"]) else work["app"] == step["app"]
        at = step["since"]
        others = int((mine & (work["since"] <= at) & (work["till"] > at)).sum()) - (
            step["till"] > at
        )
        key = (None if pd.isna(step["app"]) else step["app"], others)
        loads[key] = loads.get(key, 0) + 1
    found = columns(told.ask("load", percentiles=[50]), "app", "others_from", "n")
    assert {
        (app, others): n for app, others, n in found
    } == loads  # never more than 2 others: ranges of one number


@SLOW
@given(histories)
def test_halving_a_node_ends_runs_when_replaying_them_so_does(
    sqlite_rec: Recorder, given: list[Row]
) -> None:
    told = Told(sqlite_rec, given)
    expected: dict[str, list[float]] = {}
    for _, steps in told.steps[told.steps["run_status"] == "completed"].groupby("request_id"):
        if steps["end"].isna().any():
            continue
        begin, end = steps["begin"].to_numpy(), steps["end"].to_numpy()
        ready = np.zeros(len(begin))
        for place, at in enumerate(begin):
            before = [over for other, over in enumerate(end) if other != place and over <= at]
            ready[place] = max([0, *before])
        for place, node in enumerate(steps["node"]):
            length = end - ready
            length[place] -= end[place] - begin[place] - (end[place] - begin[place]) // 2
            finish = _finishes(begin, end, length)
            expected.setdefault(node, []).append(end.max() - max(finish))
    rows = told.ask("critical_path")
    assert {row["node"] for row in rows} == set(expected)
    for row in rows:
        assert row["runs_of_node"] == len(expected[row["node"]])
        assert row["saved_mean_us"] * row["runs"] == pytest.approx(sum(expected[row["node"]]))


def _finishes(begin: Any, end: Any, length: Any) -> list[float]:
    """When each step finishes, by waiting for those that had finished when it was submitted."""
    order = sorted(range(len(begin)), key=lambda place: (begin[place], end[place]))
    finish: dict[int, float] = {}
    for number, place in enumerate(order):
        before = [finish[other] for other in order[:number] if end[other] <= begin[place]]
        finish[place] = max([0.0, *before]) + length[place]
    return list(finish.values())


def test_the_histories_begin_when_they_are_thought_to() -> None:
    run = {"steps": [], "ends": "open", "opened": 7}
    assert events_of(run, "run", "w")[0].received_at == NOVEMBER_2023_US + 7
