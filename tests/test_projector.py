"""The projector: what it writes is the fold of the log, however it came to write it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.errors import ProjectionFailed
from recorder.events import LoggedEvent, NewEvent
from recorder.projections.runs import Run, fold, new_run
from recorder.projector import Projector, rebuild
from recorder.store.engine import Database, connect
from recorder.store.log import EventLog, SqlLog, all_events
from recorder.store.views import RunFilter, Views
from tests import histories
from tests.builders import as_new, history, interleaved, one_step_run, place, plain_run, submit
from tests.logs import WAIT_S
from tests.raw import RawDatabase

_examples = count()


def projected(database: Database) -> dict[str, Run]:
    """What the tables say."""
    views = Views(database)
    found: dict[str, Run] = {}
    before = None
    while True:
        page = views.page(RunFilter(), limit=1_000, before=before)
        found |= {run.request_id: run for run in page.runs}
        before = page.next_before
        if before is None:
            return found


def folded(log: EventLog, until: int | None = None) -> dict[str, Run]:
    """What the log says, folded event by event."""
    states: dict[str, Run] = {}
    for event in all_events(log, until=until):
        before = states.get(event.request_id, new_run(event.request_id))
        states[event.request_id] = fold(before, [event])
    return states


def tables(raw: RawDatabase) -> tuple[list[tuple[object, ...]], ...]:
    """Every row of `runs` and `steps`, generations left out."""
    return (
        raw.execute(
            "SELECT request_id, workflow, source, status, opened_at, closed_at, duration_us, "
            "first_event_us, close_reason, timed, events, first_position, as_of_position, "
            "anomalies, error FROM runs ORDER BY generation, request_id"
        ),
        raw.execute(
            "SELECT request_id, node_id, attempt, first_seq, app_id, step_request_id, status, "
            "submitted_us, finished_us, inference_us, error FROM steps "
            "ORDER BY generation, request_id, node_id, attempt"
        ),
    )


def generations(raw: RawDatabase) -> list[tuple[object, ...]]:
    """Which generations have rows, and what `projections` knows of."""
    return [
        *raw.execute("SELECT DISTINCT generation FROM runs ORDER BY generation"),
        *raw.execute("SELECT name, generation FROM projections ORDER BY name"),
    ]


class FussyFold:
    """The fold, but for nodes it cannot stand."""

    def __init__(self, *nodes: str) -> None:
        self.nodes = set(nodes)

    def __call__(self, run: Run, events: Iterable[LoggedEvent]) -> Run:
        return fold(run, self._checked(events))

    def _checked(self, events: Iterable[LoggedEvent]) -> Iterator[LoggedEvent]:
        for event in events:
            if event.node_id in self.nodes:
                raise ValueError(f"cannot stand {event.node_id}")
            yield event


# Incremental = rebuilt


@given(
    events=histories.logs(),
    steps=st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from([1, 2, 3, 2_000]), st.integers(0, 2)),
        min_size=1,
        max_size=6,
    ),
)
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_history_in_any_batches_gives_the_fold_of_the_log(
    database: Database,
    raw: RawDatabase,
    events: list[NewEvent],
    steps: list[tuple[int, int, int]],
) -> None:
    """Each step appends some events, then one of two old projectors or a new one catches up."""
    # One database serves all examples; each has its own runs.
    prefix = f"{next(_examples)}/"
    mine = [_renamed(event, prefix) for event in events]
    log = SqlLog(database)
    projectors = [Projector(database, log, batch_events=steps[0][1]) for _ in range(2)]
    while mine:
        for size, batch_events, whose in steps:
            log.append(mine[:size])
            mine = mine[size:]
            fresh = Projector(database, log, batch_events=batch_events)
            [*projectors, fresh][whose].catch_up()
    assert projected(database) == folded(log)
    before = tables(raw)
    assert rebuild(database, log).differences == 0
    assert tables(raw) == before


def _renamed(event: NewEvent, prefix: str) -> NewEvent:
    fields = {name: getattr(event, name) for name in NewEvent.__struct_fields__}
    return NewEvent(**fields | {"request_id": prefix + event.request_id})


def test_an_empty_log_is_projected_at_once(database: Database, log: SqlLog) -> None:
    assert place(Projector(database, log).catch_up()) == (1, 0)
    assert projected(database) == {}


def test_a_projector_tells_its_progress_batch_by_batch(database: Database, log: SqlLog) -> None:
    log.append(plain_run("a", 7))
    reached: list[int] = []
    checkpoint = Projector(database, log, batch_events=3).catch_up(progress=reached.append)
    assert (reached, place(checkpoint)) == ([3, 6, 7], (1, 7))


def test_a_projector_that_died_between_batches_is_taken_over(
    database: Database, log: SqlLog
) -> None:
    log.append(interleaved(*(one_step_run(f"run-{number}") for number in range(4))))

    def die(position: int) -> None:
        if position >= 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Projector(database, log, batch_events=3).catch_up(progress=die)
    assert projected(database) == folded(log, until=9)
    assert place(Projector(database, log, batch_events=2).catch_up()) == (1, 20)
    assert projected(database) == folded(log)


def test_a_run_evicted_from_memory_is_folded_again_from_the_log(
    database: Database, log: SqlLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recorder.projector._MAX_RUNS_IN_MEMORY", 1)
    projector = Projector(database, log)
    runs = [one_step_run(f"run-{number}") for number in range(3)]
    for event in interleaved(*runs):
        log.append([event])
        projector.catch_up()
    assert projected(database) == folded(log)


def test_two_projectors_at_once_write_what_one_would(
    database_url: str, database: Database, log: SqlLog, raw: RawDatabase
) -> None:
    others = [connect(database_url) for _ in range(2)]
    projectors = [Projector(each, SqlLog(each), batch_events=7) for each in others]
    stop = threading.Event()
    threads = [threading.Thread(target=each.run, args=(stop,)) for each in projectors]
    for thread in threads:
        thread.start()
    runs = [one_step_run(f"run-{number}") for number in range(30)]
    for first in range(0, 30, 10):
        for event in interleaved(*runs[first : first + 10]):
            log.append([event])
    with ThreadPoolExecutor(2) as pool:
        ends = [each.result(WAIT_S) for each in [pool.submit(p.catch_up) for p in projectors]]
    stop.set()
    for thread in threads:
        thread.join(WAIT_S)
    for each in others:
        each.close()
    assert [place(end) for end in ends] == [(1, 150)] * 2
    assert projected(database) == folded(log)
    before = tables(raw)
    assert rebuild(database, log).differences == 0
    assert tables(raw) == before


# A fold that fails


def test_a_failing_fold_stops_at_its_event_with_all_before_it_written(
    database: Database, log: SqlLog
) -> None:
    runs = [history(name, submit(f"{name}1"), submit(f"{name}2")) for name in ("x", "y")]
    log.append(interleaved(*runs))
    projector = Projector(database, log, fold=FussyFold("y2"))
    for _ in range(2):
        with pytest.raises(ProjectionFailed) as caught:
            projector.catch_up()
        failure = caught.value
        assert (failure.name, failure.position, failure.reason) == (
            "runs", 6, "ValueError: cannot stand y2",
        )  # fmt: skip
        assert projector.failure is failure
        assert place(Views(database).checkpoint()) == (1, 5)
        assert projected(database) == folded(log, until=5)


@pytest.mark.parametrize("batch_events", [1, 2, 3, 100])
def test_with_several_failing_events_it_stops_at_the_first(
    database: Database, log: SqlLog, batch_events: int
) -> None:
    # Runs are folded one by one, so the last of the four is met before the second.
    x = history("x", submit("x1"), submit("bad"))
    y = history("y", submit("bad"), submit("y2"))
    log.append([x[0], y[0], y[1], x[1], x[2], y[2]])
    projector = Projector(database, log, batch_events=batch_events, fold=FussyFold("bad"))
    with pytest.raises(ProjectionFailed, match=r"^projection runs stopped at position 3: "):
        projector.catch_up()
    assert place(Views(database).checkpoint()) == (1, 2)
    assert projected(database) == folded(log, until=2)


def test_recording_goes_on_beside_a_failed_projection_and_it_recovers_once_mended(
    database: Database, log: SqlLog
) -> None:
    fussy = FussyFold("bad")
    projector = Projector(database, log, fold=fussy)
    log.append(history("x", submit("bad")))
    with pytest.raises(ProjectionFailed):
        projector.catch_up()
    log.append(one_step_run("y"))
    fussy.nodes.clear()
    assert place(projector.catch_up()) == (1, 8)
    assert projector.failure is None
    assert projected(database) == folded(log)


def test_a_fold_that_cannot_take_what_was_projected_before_stops_too(
    database: Database, log: SqlLog
) -> None:
    run = history("x", submit("bad"), submit("fine"))
    log.append(run[:2])
    Projector(database, log).catch_up()
    log.append([*one_step_run("y"), *run[2:]])
    projector = Projector(database, log, fold=FussyFold("bad"))
    with pytest.raises(ProjectionFailed, match=r"position 8: ValueError: cannot stand bad$"):
        projector.catch_up()
    assert place(Views(database).checkpoint()) == (1, 7)
    assert projected(database) == folded(log, until=7)


def test_a_projector_in_a_thread_survives_a_fold_that_fails_for_a_while(
    database: Database, log: SqlLog
) -> None:
    stop, failed = threading.Event(), threading.Event()
    fussy = FussyFold("bad")

    def fold_fussily(run: Run, events: Iterable[LoggedEvent]) -> Run:
        try:
            return fussy(run, events)
        except ValueError:
            failed.set()
            raise

    log.append(history("x", submit("bad")))
    projector = Projector(database, log, fold=fold_fussily)
    thread = threading.Thread(target=projector.run, args=(stop,))
    thread.start()
    assert failed.wait(WAIT_S)
    fussy.nodes.clear()
    log.append(one_step_run("y"))
    assert place(projector.catch_up()) == (1, 8)
    stop.set()
    log.commits.nudge()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert projector.failure is None
    assert projected(database) == folded(log)


def test_a_projector_in_a_thread_keeps_up_until_it_is_told_to_stop(
    database: Database, log: SqlLog
) -> None:
    stop, seen = threading.Event(), threading.Event()

    def fold_and_tell(run: Run, events: Iterable[LoggedEvent]) -> Run:
        seen.set()
        return fold(run, events)

    projector = Projector(database, log, fold=fold_and_tell)
    thread = threading.Thread(target=projector.run, args=(stop,))
    thread.start()
    for number in range(3):
        seen.clear()
        log.append(one_step_run(f"run-{number}"))
        assert seen.wait(WAIT_S)
    stop.set()
    log.commits.nudge()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert projected(database) == folded(log)
    assert as_new(all_events(log))  # the log is as readable as before
