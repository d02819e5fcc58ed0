"""Exports: all rows, in every format, however many there are."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet
import pytest

from analytics.asking import snapshot
from analytics.exporting import Export, Format, Relation
from analytics.schema import EVENTS, RUNS, STEPS
from analytics.selection import Selection
from recorder.bootstrap import Recorder
from recorder.events import NewEvent
from tests.builders import completion, error, history, new_event, opened, output, submit
from tests.clocks import NOVEMBER_2023_US
from tests.trust.hostile.cases import MIB
from tests.trust.hostile.test_memory import peak

SCHEMAS: dict[Relation, pa.Schema] = {"runs": RUNS, "steps": STEPS, "events": EVENTS}
FORMULAS = ["=1+1", "+1", "-1", "@x", "\tx", "\rx"]
DOCS = Path(__file__).parents[2] / "docs" / "exports.md"


def record(rec: Recorder, *runs: list[NewEvent]) -> None:
    for run in runs:
        rec.log.append(run)
    rec.projector.catch_up()


def exported(
    rec: Recorder, relation: Relation, form: Format, selection: Selection | None = None
) -> bytes:
    return b"".join(Export(rec.database, relation, form, selection or Selection()).pieces())


def rows_of(data: bytes, form: Format) -> list[dict[str, Any]]:
    match form:
        case "parquet":
            return list(pa.parquet.read_table(io.BytesIO(data)).to_pylist())
        case "arrow":
            return list(pa.ipc.open_stream(data).read_all().to_pylist())
        case "ndjson":
            return [json.loads(line) for line in data.splitlines()]
        case "csv":
            return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def two_runs() -> tuple[list[NewEvent], list[NewEvent]]:
    return (
        history("run-1", submit("a"), completion("a", inference_s=0.05), output()),
        history("run-2", submit("b", app_id="fal-ai/b"), error("b", status=503)),
    )


def test_every_format_holds_every_row_with_the_columns_of_the_relation(rec: Recorder) -> None:
    record(rec, *two_runs())
    for relation, schema in SCHEMAS.items():
        parquet = rows_of(exported(rec, relation, "parquet"), "parquet")
        assert len(parquet) == {"runs": 2, "steps": 2, "events": 9}[relation]
        assert rows_of(exported(rec, relation, "arrow"), "arrow") == parquet
        assert [list(row) for row in parquet] == [schema.names] * len(parquet)
        for row, told, cells in zip(
            parquet,
            rows_of(exported(rec, relation, "ndjson"), "ndjson"),
            rows_of(exported(rec, relation, "csv"), "csv"),
            strict=True,
        ):
            assert told == {name: as_json(value) for name, value in row.items()}
            assert cells == {name: as_cell(value) for name, value in row.items()}


def as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds") + "Z"
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def as_cell(value: Any) -> str:
    told = as_json(value)
    return "" if told is None else str(told).lower() if isinstance(told, bool) else str(told)


def test_runs_and_steps_are_what_questions_see(rec: Recorder) -> None:
    record(rec, *two_runs())
    with snapshot(rec.database, Selection()) as asked:
        seen = {
            name: asked._connection.sql(f"FROM {name}").to_arrow_table().to_pylist()
            for name in ("runs", "steps")
        }
    assert rows_of(exported(rec, "runs", "arrow"), "arrow") == seen["runs"]
    assert rows_of(exported(rec, "steps", "arrow"), "arrow") == seen["steps"]


def test_events_are_the_log_byte_for_byte(rec: Recorder) -> None:
    record(rec, *two_runs())
    rows = rows_of(exported(rec, "events", "parquet"), "parquet")
    assert [(row["position"], row["frame"]) for row in rows] == [
        (logged.position, logged.frame) for logged in rec.log.read()
    ]


def test_selections_narrow_every_relation(rec: Recorder) -> None:
    first, second = two_runs()
    record(rec, first, second)
    cases: list[tuple[Selection, tuple[int, int, int]]] = [
        (Selection(status="failed"), (1, 1, 4)),
        (Selection(workflow="workflows/none"), (0, 0, 0)),
        (Selection(node="a"), (1, 1, 2)),
        (Selection(app="fal-ai/b"), (1, 1, 1)),
        (Selection(node="a", status="failed"), (0, 0, 0)),
        (Selection(since=NOVEMBER_2023_US), (2, 2, 9)),
        (Selection(until=NOVEMBER_2023_US), (0, 0, 0)),
        (Selection(definition="d" * 64), (0, 0, 0)),
    ]
    for selection, expected in cases:
        found = tuple(
            len(rows_of(exported(rec, relation, "ndjson", selection), "ndjson"))
            for relation in get_args(Relation)
        )
        assert found == expected, selection


def test_an_export_says_what_it_is_as_of_and_holds_nothing_later(rec: Recorder) -> None:
    first, second = two_runs()
    record(rec, first)
    export = Export(rec.database, "events", "parquet", Selection())
    record(rec, second)
    file = pa.parquet.ParquetFile(io.BytesIO(b"".join(export.pieces())))
    assert export.as_of_position == 5
    assert file.schema_arrow.metadata[b"as_of_position"] == b"5"
    assert file.metadata.num_rows == 5


def test_nothing_is_a_file_too(sqlite_rec: Recorder) -> None:
    for relation, schema in SCHEMAS.items():
        for form in get_args(Format):
            data = exported(sqlite_rec, relation, form)
            assert rows_of(data, form) == []
            if form == "csv":
                assert data.decode() == ",".join(f'"{name}"' for name in schema.names) + "\n"


def test_csv_holds_nothing_a_spreadsheet_takes_for_a_formula(sqlite_rec: Recorder) -> None:
    for number, formula in enumerate(FORMULAS):
        record(
            sqlite_rec,
            history(
                f"run-{number}", submit(formula), document=opened(f"run-{number}", workflow=formula)
            ),
        )
    cells = rows_of(exported(sqlite_rec, "steps", "csv"), "csv")
    assert [row["node_id"] for row in cells] == [f"'{formula}" for formula in FORMULAS]
    assert [row["workflow"] for row in cells] == [f"'{formula}" for formula in FORMULAS]
    every = rows_of(exported(sqlite_rec, "events", "csv"), "csv")
    texts = {cell for row in every for cell in row.values()}
    assert not [cell for cell in texts if re.match(r"[=+@\t\r-]", cell)]


def test_an_erased_frame_is_unknown(rec: Recorder) -> None:
    record(rec, two_runs()[0])
    with rec.database.writing() as connection:
        connection.exec_driver_sql("UPDATE events SET frame = NULL, salt = NULL WHERE position = 2")
    rows = rows_of(exported(rec, "events", "parquet"), "parquet")
    assert (rows[1]["frame"], rows[1]["frame_bytes"]) == (None, None)


def test_an_export_needs_no_more_memory_for_more_rows(sqlite_rec: Recorder) -> None:
    frames = 120
    sqlite_rec.log.append([new_event("a", 0, opened("a"))])
    for seq in range(1, frames + 1):
        sqlite_rec.log.append([new_event("a", seq, submit("x" * MIB))])
    sqlite_rec.projector.catch_up()
    for form in get_args(Format):
        before = pa.total_allocated_bytes()
        with peak() as taken:
            size = sum(map(len, Export(sqlite_rec.database, "events", form, Selection()).pieces()))
        allocated = pa.default_memory_pool().max_memory() - before
        assert form == "parquet" or size > frames * MIB
        assert (taken.value < 64 * MIB, allocated < 100 * MIB) == (True, True), (form, taken.value)


@pytest.mark.parametrize("library", ["pandas", "polars", "duckdb"])
def test_the_manuals_examples_read_the_file(
    rec: Recorder, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(rec, *two_runs())
    (tmp_path / "steps.parquet").write_bytes(exported(rec, "steps", "parquet"))
    monkeypatch.chdir(tmp_path)
    [code] = [
        block
        for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
        if f"import {library}" in block
    ]
    names: dict[str, Any] = {}
    exec(code, names)  # the manual's own words
    steps = names["steps"]
    rows = steps.fetchall() if library == "duckdb" else steps["node_id"].to_list()
    assert sorted(rows) == (
        [("a", 100_000.0), ("b", 100_000.0)] if library == "duckdb" else ["a", "b"]
    )
    if library == "pandas":
        assert steps["opened_at"][0].tz_localize(UTC) == datetime.fromtimestamp(
            NOVEMBER_2023_US / 1e6, UTC
        )
    assert library in sys.modules
