"""What changes after it was exported: late events, erasures, other logs; numbers stay right throughout."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import update

from analytics.segments.catalog import EVENTS
from recorder import chain
from recorder.bootstrap import Recorder
from recorder.events import NewEvent
from recorder.store.tables import segments
from tests.analytics.segments.conftest import Segmented, moved
from tests.builders import completion, history, new_event, output, submit
from tests.raw import RawDatabase


def step(request_id: str, days: float = 0) -> list[NewEvent]:
    return moved(history(request_id, submit("a"), completion("a"), output()), days)


def append_past_the_log(rec: Recorder, raw: RawDatabase, event: NewEvent) -> None:
    """Adds an event the log would refuse, chained as if it had not."""
    head = rec.log.head()
    digest = chain.frame_digest(b"s" * chain.SALT_BYTES, event.frame)
    value = chain.link(head.epoch, head.chain, head.position + 1, event, digest)
    known = msgspec.structs.asdict(event) | {
        "position": head.position + 1,
        "salt": b"s" * chain.SALT_BYTES,
        "frame_digest": digest,
        "chain": value,
    }
    places = ", ".join("?" for _ in known)
    raw.execute(f"INSERT INTO events ({', '.join(known)}) VALUES ({places})", *known.values())
    raw.execute("UPDATE log_head SET position = ?, chain = ?", head.position + 1, value)
    rec.projector.catch_up()


@pytest.mark.parametrize("events", [False, True])
def test_a_late_event_supersedes_what_was_exported(
    segmented: Segmented, raw: RawDatabase, events: bool
) -> None:
    segmented.append(step("a"), step("b"), step("c", 1))
    segmented.export(events=events)
    append_past_the_log(segmented.rec, raw, new_event("a", 5, submit("late")))
    told = segmented.told()
    assert told == segmented.told_by_sql()
    assert [(row["request_id"], row["node_id"]) for row in told["steps"]] == [
        ("a", "a"), ("a", "late"), ("b", "a"), ("c", "a"),
    ]  # fmt: skip
    segmented.export(events=events)
    assert segmented.in_files("runs") == ["a", "b", "c"]
    assert segmented.in_files("steps") == ["a", "a", "b", "c"]
    assert segmented.told() == told
    assert segmented.files() == segmented.listed_files()


def test_a_run_whose_late_event_comes_between_rounds_is_never_counted_twice(
    segmented: Segmented, raw: RawDatabase
) -> None:
    segmented.append(step("a"), step("b"))
    segmented.export()
    append_past_the_log(segmented.rec, raw, new_event("a", 5, submit("late")))
    exporter = segmented.exporter(round_rows=1)
    while (done := exporter.round()) != "nothing":
        assert segmented.told() == segmented.told_by_sql(), done
    assert segmented.in_files("steps") == ["a", "a", "b"]


def erase(raw: RawDatabase, request_id: str) -> None:
    raw.execute(
        "UPDATE events SET frame = NULL, salt = NULL WHERE request_id = ? AND type = 'completion'",
        request_id,
    )


def test_erased_frames_vanish_from_answers_at_once_and_from_files_with_the_next_round(
    segmented: Segmented, raw: RawDatabase
) -> None:
    secret = b"the secret of a"
    private = history("a", submit("a"), completion("a", app_id=secret.decode()), output())
    segmented.append(private, step("b"), step("c", 1))
    segmented.export(events=True)
    untouched = {name for name in segmented.listed_files() if "2023-11-15" in name}
    erase(raw, "a")
    told = segmented.told()
    assert told == segmented.told_by_sql()
    assert [row["frame_bytes"] for row in told["events"]].count(None) == 1
    segmented.export(events=True)
    assert segmented.told() == told
    assert raw.execute("SELECT * FROM erased_runs") == []
    assert untouched < segmented.listed_files()
    assert segmented.files() == segmented.listed_files()
    import pyarrow.parquet as pq

    frames = [
        frame
        for name in segmented.listed_files()
        if name.startswith("events/")
        for frame in pq.read_table(segmented.root / name, partitioning=None)["frame"].to_pylist()
    ]
    assert len(frames) == 15
    assert [frame for frame in frames if frame is not None and secret in frame] == []


def test_an_erased_frame_stays_away_though_runs_and_steps_are_exported_before_events(
    segmented: Segmented, raw: RawDatabase
) -> None:
    segmented.append(step("a"))
    segmented.export(events=True)
    erase(raw, "a")
    segmented.append(step("b"))
    segmented.export()
    assert segmented.told() == segmented.told_by_sql()
    segmented.export(events=True)
    assert raw.execute("SELECT * FROM erased_runs") == []
    assert segmented.told() == segmented.told_by_sql()


def test_an_erasure_while_a_round_is_under_way_is_not_forgotten(
    segmented: Segmented, raw: RawDatabase
) -> None:
    segmented.append(step("a"))
    segmented.export(events=True)
    erase(raw, "a")
    exporter = segmented.exporter(EVENTS)
    commit = exporter._commit

    def erase_more_first(change: object) -> None:
        raw.execute("UPDATE events SET frame = NULL, salt = NULL WHERE type = 'submit'")
        exporter._commit = commit  # type: ignore[method-assign]
        commit(change)  # type: ignore[arg-type]

    exporter._commit = erase_more_first  # type: ignore[method-assign]
    assert exporter.round() == "rewritten"
    assert raw.execute("SELECT request_id, times FROM erased_runs") == [("a", 2)]
    assert segmented.told() == segmented.told_by_sql()
    segmented.export(events=True)
    assert raw.execute("SELECT request_id, times FROM erased_runs") == []
    assert segmented.told() == segmented.told_by_sql()


def test_erasing_what_is_in_no_file_leaves_nothing_to_do(
    segmented: Segmented, raw: RawDatabase
) -> None:
    run = step("a")
    segmented.append(run[:3], step("b"))
    erase(raw, "a")
    erase(raw, "b")
    segmented.export(events=True)
    segmented.append(run[3:])
    segmented.export(events=True)
    assert raw.execute("SELECT * FROM erased_runs") == []
    assert segmented.told() == segmented.told_by_sql()


def test_a_rebuild_after_an_erasure_is_told_from_then_on(
    segmented: Segmented, raw: RawDatabase
) -> None:
    telling = history("a", submit("a"), completion("a", inference_s=0.5), output())
    segmented.append(telling)
    segmented.export(events=True)
    erase(raw, "a")
    segmented.rec.rebuild()
    (row,) = segmented.told()["steps"]
    assert row["inference_us"] is None
    segmented.export(events=True)
    assert segmented.told() == segmented.told_by_sql()


def test_segments_of_another_log_do_not_count(segmented: Segmented, raw: RawDatabase) -> None:
    """As after restoring an older backup of the log below a newer list of segments."""
    segmented.append(step("a"))
    segmented.export()
    raw.execute("UPDATE projections SET chain = ? WHERE name = 'columns'", b"another" * 4)
    assert segmented.exporter().listed().segments == []
    assert segmented.told() == segmented.told_by_sql()
    assert segmented.exporter().round() == "started over"
    segmented.export()
    assert segmented.in_files("runs") == ["a"]
    assert segmented.files() == segmented.listed_files()


def test_segments_ahead_of_the_projection_do_not_count(
    segmented: Segmented, raw: RawDatabase
) -> None:
    segmented.append(step("a"))
    segmented.export()
    raw.execute("DELETE FROM steps")
    raw.execute("DELETE FROM runs")
    raw.execute("UPDATE projections SET position = 0, chain = NULL WHERE name = 'runs'")
    assert segmented.told()["runs"] == []
    raw.execute("UPDATE projections SET position = 0, chain = NULL WHERE name = 'columns'")
    segmented.rec.projector.catch_up()
    assert segmented.told() == segmented.told_by_sql()
    segmented.export()
    assert segmented.in_files("runs") == ["a"]
    assert segmented.told() == segmented.told_by_sql()


def test_files_of_an_earlier_format_are_read_no_more_and_written_anew(segmented: Segmented) -> None:
    segmented.append(step("a"), step("b", 1))
    segmented.export()
    before = segmented.files()
    first_day = {name for name in before if "2023-11-14" in name}
    with segmented.rec.database.writing() as connection:
        connection.execute(update(segments).where(segments.c.name.in_(first_day)).values(format=1))
    assert segmented.told() == segmented.told_by_sql()
    assert segmented.exporter().round() == "rewritten"
    segmented.export()
    after = segmented.files()
    assert len(after) == len(before)
    assert after & before == before - first_day
    assert segmented.told() == segmented.told_by_sql()
