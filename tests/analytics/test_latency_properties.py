"""Latency of random histories, against percentiles computed another way."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.latency import LatencyQuery, Measure, latency
from recorder.bootstrap import Recorder
from recorder.events import NewEvent, Opened
from recorder.projections.runs import Run
from recorder.projections.steps import Step
from recorder.store.views import RunFilter
from tests.builders import completion, error, new_event, opened, output, submit

_numbers = count()

nodes = st.sampled_from(["a", "b"])
apps = st.sampled_from([None, "fal-ai/one", "fal-ai/two"])
inferences = st.none() | st.floats(0, 0.01)
frames = st.one_of(
    st.builds(lambda node, app: submit(node, app_id=app), nodes, apps),
    st.builds(lambda node, s: completion(node, inference_s=s, app_id=None), nodes, inferences),
    st.builds(error, nodes),
    st.builds(output),
)
timelines = st.lists(st.tuples(frames, st.integers(0, 5_000)), max_size=12)


def run_of(timeline: list[tuple[bytes, int]], document: Opened) -> list[NewEvent]:
    """A run whose events come after the given pauses, still going on."""
    request_id = cast("str", document.upstream_request_id)
    events = [new_event(request_id, 0, document)]
    elapsed_us = 0
    for seq, (frame, pause_us) in enumerate(timeline, 1):
        elapsed_us += pause_us
        events.append(new_event(request_id, seq, frame, elapsed_us=elapsed_us))
    return events


def percentile(values: Sequence[int], share: float) -> float:
    place = (len(values) - 1) * share
    below, above = math.floor(place), math.ceil(place)
    return values[below] + (values[above] - values[below]) * (place - below)


def assert_measures(given: Measure, values: Sequence[int | None]) -> None:
    known = sorted(value for value in values if value is not None)
    assert (given.count, given.max_us) == (len(known), known[-1] if known else None)
    quantiles = (given.p50_us, given.p90_us, given.p95_us, given.p99_us)
    if not known:
        assert quantiles == (None, None, None, None)
        return
    expected = [percentile(known, share) for share in (0.5, 0.9, 0.95, 0.99)]
    assert quantiles == pytest.approx(expected, rel=0, abs=0.001)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(timelines, max_size=5))
def test_every_group_equals_the_steps_of_its_runs(
    sqlite_rec: Recorder, histories: list[list[tuple[bytes, int]]]
) -> None:
    workflow = f"workflows/random/{next(_numbers)}"
    for number, timeline in enumerate(histories):
        document = opened(f"{workflow}-{number}", workflow=workflow)
        sqlite_rec.log.append(run_of(timeline, document))
    runs = sqlite_rec.runs(RunFilter(workflow=workflow)).runs
    report = latency(sqlite_rec.database, LatencyQuery(workflow=workflow))
    groups = grouped(runs)
    assert {(row.node, row.app) for row in report.steps} == set(groups)
    for row in report.steps:
        steps = groups[row.node, row.app]
        completed = [step for step in steps if step.status == "completed"]
        assert row.completed == len(completed)
        assert row.completed + row.failed + row.unfinished + row.running == len(steps)
        assert_measures(row.duration, [step.duration_us for step in completed])
        assert_measures(row.inference, [step.inference_us for step in completed])
        assert_measures(row.overhead, [step.overhead_us for step in completed])


def grouped(runs: list[Run]) -> dict[tuple[str | None, str | None], list[Step]]:
    groups: dict[tuple[str | None, str | None], list[Step]] = defaultdict(list)
    for run in runs:
        for step in run.steps.values():
            groups[step.node_id, step.app_id].append(step)
    return groups
