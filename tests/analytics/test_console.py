"""The SQL console: what it answers, and what it refuses to do."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest

from analytics.archive import Archive
from analytics.console import engine
from analytics.console.asked import Answer, Limits, Needed, Query
from analytics.console.console import Console
from analytics.console.pipe import hear, say
from analytics.console.process import Worker
from analytics.schema import EVENTS, RUNS, STEPS
from analytics.segments.folder import LocalFolder
from recorder.bootstrap import Recorder
from recorder.errors import BadSql, SqlCrashed, SqlLimit
from tests.builders import error, history, one_step_run, submit

Ask = Callable[..., Any]
TIGHT = Limits(memory_bytes=300 * 2**20, time_s=4, cpu_s=4)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console over nothing, with a secret in the environment."""
    import recorder

    url = f"sqlite:///{tmp_path_factory.mktemp('console') / 'runs.db'}"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAL_KEY", "secret-of-the-machine")
        with recorder.open(url) as rec, Console(Archive(rec.database)) as console:
            yield console


def told(console: Console, sql: str, **asked: Any) -> bytes:
    into = io.BytesIO()
    console.ask(Query(sql=sql, **asked), into)
    return into.getvalue()


def rows(console: Console, sql: str, **asked: Any) -> Any:
    return json.loads(told(console, sql, **asked), parse_float=Decimal)["rows"]


def test_the_views_have_the_columns_and_rows_of_what_is_recorded(rec: Recorder) -> None:
    rec.log.append(one_step_run("run-1"))
    rec.log.append(history("run-2", submit("a"), error("a", status=503)))
    rec.projector.catch_up()
    with Console(Archive(rec.database)) as console:
        for name, schema in (("runs", RUNS), ("steps", STEPS), ("events", EVENTS)):
            columns = rows(console, f"SELECT column_name FROM (DESCRIBE {name})")
            assert [column for [column] in columns] == schema.names
        assert rows(console, "SELECT request_id, status FROM Runs ORDER BY 1") == [
            ["run-1", "completed"],
            ["run-2", "failed"],
        ]
        assert rows(
            console,
            "SELECT run_status, node_id, steps.error_status FROM main.steps JOIN runs USING (request_id) "
            "ORDER BY request_id",
        ) == [["completed", "a", None], ["failed", "a", 503]]
        into = io.BytesIO()
        counted = Query(sql="SELECT count(*), min(position), sum(frame_bytes) FROM events")
        answer = console.ask(counted, into)
        [[number, first, frame_bytes]] = json.loads(into.getvalue())["rows"]
    assert (number, first) == (9, 1)
    assert frame_bytes == sum(len(event.frame or b"") for event in rec.log.read())
    assert answer == Answer(rows=1, truncated=False, as_of_position=9, elapsed_us=answer.elapsed_us)


def test_relations_named_in_roundabout_ways_are_there_too(sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(one_step_run("run-1"))
    sqlite_rec.projector.catch_up()
    with Console(Archive(sqlite_rec.database)) as console:
        for sql in (
            "SELECT count(*) FROM query_table('runs')",
            "SELECT * FROM query('SELECT count(*) FROM runs')",
            "WITH events AS (FROM runs) SELECT count(*) FROM events",
            "SELECT (SELECT count(*) FROM steps)",
            "SELECT count(*) FROM range((SELECT count(*) FROM main.runs))",
            "SELECT count(*) FROM runs, range($n)",
        ):
            parameters = {"n": 1} if "$n" in sql else {}
            assert rows(console, sql, parameters=parameters) == [[1]], sql
        assert rows(console, "SHOW TABLES") == [["events"], ["runs"], ["steps"]]


VALUES = {
    "'nan'::DOUBLE": "NaN",
    "'-inf'::FLOAT": "-Infinity",
    "1e300::DOUBLE * 1e300": "Infinity",
    "0.1::DOUBLE": Decimal("0.1"),
    "170141183460469231731687303715884105727::HUGEINT": 2**127 - 1,
    "340282366920938463463374607431768211455::UHUGEINT": 2**128 - 1,
    "'123456789012345678901234567890123456789012345'::BIGNUM": 123456789012345678901234567890123456789012345,
    "sum(-1) OVER ()": -1,
    "1.50::DECIMAL(9, 3)": Decimal("1.500"),
    "'\\xFF\\x00'::BLOB": "/wA=",
    "INTERVAL '1 month 2 days 3.5 seconds'": "1 month 2 days 00:00:03.5",
    "TIMESTAMP '2020-01-31 12:00:00.5'": "2020-01-31T12:00:00.5",
    "TIMESTAMPTZ '2020-01-31 12:00:00+02'": "2020-01-31T10:00:00Z",
    "'infinity'::TIMESTAMP": "infinity",
    "DATE '294000-01-01'": "294000-01-01",
    "TIME '12:00:00.25'": "12:00:00.25",
    "'2d3a1b4e-0000-4000-8000-000000000000'::UUID": "2d3a1b4e-0000-4000-8000-000000000000",
    "'101'::BIT": "101",
    "'a'::ENUM('a', 'b')": "a",
    "NULL": None,
    "true": True,
    "18446744073709551615::UBIGINT": 2**64 - 1,
    "[1.5::DOUBLE, 'nan', NULL]": [Decimal("1.5"), "NaN", None],
    "[1, 2]::INTEGER[2]": [1, 2],
    "{'a': TIMESTAMP '2020-01-01', 'b': [INTERVAL 1 DAY]}": {
        "a": "2020-01-01T00:00:00",
        "b": ["1 day"],
    },
    "MAP {1: 'nan'::DOUBLE}": {"1": "NaN"},
    "row(1, 'x')": "(1, x)",
    "union_value(k := 1)": "1",
    "'{\"a\": 1}'::JSON": '{"a": 1}',
    "chr(0)": "\0",
}


def test_every_type_has_its_form_in_json(empty: Console) -> None:
    select_list = ", ".join(f"{sql} AS c{number}" for number, sql in enumerate(VALUES))
    [row] = rows(empty, f"SELECT {select_list}")
    assert dict(zip(VALUES, row, strict=True)) == VALUES


def test_columns_are_told_by_name_and_type_even_if_a_name_stands_twice(empty: Console) -> None:
    answer = json.loads(told(empty, 'SELECT 1 AS a, \'x\' AS a, INTERVAL 1 DAY AS "q""q"'))
    assert answer["columns"] == [
        {"name": "a", "type": "INTEGER"},
        {"name": "a", "type": "VARCHAR"},
        {"name": 'q"q', "type": "INTERVAL"},
    ]
    assert answer["rows"] == [[1, "x", "1 day"]]


def test_csv_holds_nothing_a_spreadsheet_takes_for_a_formula(empty: Console) -> None:
    sql = """SELECT * FROM (VALUES ('=1+1', -5), ('+1', 0), ('-1', NULL), ('@x', 1), (chr(9) || 'x', 2),
        (chr(13) || 'x', 3), ('fine, "so"', 4), ('', 5), (NULL, 6)) AS t("=name", number)"""
    text = told(empty, sql, format="csv").decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["'=name", "number"],
        ["'=1+1", "-5"],
        ["'+1", "0"],
        ["'-1", ""],
        ["'@x", "1"],
        ["'\tx", "2"],
        ["'\rx", "3"],
        ['fine, "so"', "4"],
        ["", "5"],
        ["", "6"],
    ]
    assert text.splitlines()[-1] == ",6"  # unknown, where the line before has an empty text
    assert '"",5' in text


def test_parquet_and_arrow_keep_types_and_say_what_they_are_as_of(empty: Console) -> None:
    sql = (
        "SELECT range AS i, 1.5::DECIMAL(9, 2) AS d, TIMESTAMP '2020-01-01' AS t, [{'a': INTERVAL 1 DAY}] "
        "AS n, '\\xFF'::BLOB AS b, 7::HUGEINT AS h FROM range(5000)"
    )
    tables = [
        pa.parquet.read_table(io.BytesIO(told(empty, sql, format="parquet"))),
        pa.ipc.open_stream(told(empty, sql, format="arrow")).read_all(),
    ]
    for table in tables:
        assert table.num_rows == 5_000
        assert table.schema.metadata[b"as_of_position"] == b"0"
        assert [str(kind) for kind in table.schema.types[:3]] == [
            "int64",
            "decimal128(9, 2)",
            "timestamp[us]",
        ]
        assert table["n"][0].as_py() == [{"a": "1 day"}]
        assert (table["b"][0].as_py(), table["h"][0].as_py()) == (b"\xff", Decimal(7))


def test_rows_beyond_the_limit_are_left_out_and_the_answer_says_so(empty: Console) -> None:
    for limit, number, expected in ((3, 3, (3, False)), (3, 4, (3, True))):
        sql = f"FROM range({number})"
        answer = json.loads(told(empty, sql, limits=Limits(rows=limit)))
        assert (answer["row_count"], answer["truncated"]) == expected
        assert answer["rows"] == [[each] for each in range(min(limit, number))]


REFUSED = {
    "": "give one statement, not 0",
    "-- nothing": "give one statement, not 0",
    "SELECT 1; SELECT 2": "give one statement, not 2",
    "INSERT INTO runs SELECT * FROM runs": "INSERT is refused",
    "CREATE TABLE x AS SELECT 1": "CREATE is refused",
    "CREATE MACRO f() AS 1": "CREATE is refused",
    "DROP TABLE runs": "DROP is refused",
    "SET threads = 64": "SET is refused",
    "RESET memory_limit": "is refused",
    "PRAGMA database_list": "PRAGMA is refused",
    "CALL duckdb_settings()": "CALL is refused",
    "ATTACH '/tmp/x.db'": "ATTACH is refused",
    "INSTALL httpfs": "LOAD is refused",
    "LOAD httpfs": "LOAD is refused",
    "COPY runs TO '/tmp/x.csv'": "COPY is refused",
    "EXPORT DATABASE '/tmp/x'": "EXPORT is refused",
    "CHECKPOINT": "is refused",
    "BEGIN": "TRANSACTION is refused",
    "PREPARE q AS SELECT 1": "PREPARE is refused",
    "USE memory": "SET is refused",
    "VACUUM": "VACUUM is refused",
    "EXPLAIN ANALYZE COPY runs TO '/tmp/x.csv'": "Permission Error",
    "SELECT * FROM read_text('/etc/passwd')": "Permission Error",
    "SELECT * FROM read_blob('/proc/self/environ')": "Permission Error",
    "SELECT * FROM read_csv('/etc/passwd')": "Permission Error",
    "SELECT * FROM read_json('/etc/passwd')": "Permission Error",
    "SELECT * FROM read_parquet('http://127.0.0.1/x.parquet')": "Permission Error",
    "SELECT * FROM parquet_metadata('/x.parquet')": "Permission Error",
    "SELECT * FROM sniff_csv('/etc/passwd')": "Permission Error",
    "SELECT * FROM glob('/*')": "Permission Error",
    "FROM '/etc/passwd'": "does not exist",
    "FROM '/etc/passwd.csv'": "Permission Error",
    "FROM sqlite_scan('/x.db', 'events')": "not in the catalog",
    "FROM postgres_scan('', 'public', 'events')": "does not exist",
    "FROM connection": "does not exist",  # a variable of ours, were replacements on
    "FROM query": "does not exist",
    "SELECT getenv('FAL_KEY')": "does not exist",
    "SELECT http_get('http://127.0.0.1/')": "does not exist",
    "FROM enable_logging()": "locked",
    "FROM enable_profiling()": "locked",
    "SELECT $missing": "missing",
    "SELECT * FROM nothing": "nothing",
    "SELECT " + "1+" * 20_000 + "1": "Max expression depth",
}


@pytest.fixture(scope="module")
def inside() -> Iterator[duckdb.DuckDBPyConnection]:
    """The DuckDB of a query, in this process."""
    connection = engine.connected()
    engine.lock(connection, TIGHT.memory_bytes)
    yield connection
    connection.close()


@pytest.mark.parametrize("sql", REFUSED)
def test_what_does_not_merely_read_our_views_is_refused(
    inside: duckdb.DuckDBPyConnection, sql: str
) -> None:
    with pytest.raises(duckdb.Error) as refused:
        inside.sql(engine.read_statement(inside, sql)).fetchall()
    assert REFUSED[sql] in str(refused.value)


def test_a_refusal_comes_out_of_the_process_of_its_query(empty: Console) -> None:
    for sql in (
        "INSERT INTO runs SELECT * FROM runs",
        "FROM read_text('/etc/passwd')",
        "SELECT 1\0",
    ):
        with pytest.raises(BadSql):
            told(empty, sql)


@pytest.mark.parametrize(
    ("sql", "limit"),
    [
        ("WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n FROM t) FROM t", "cpu_s"),
        ("SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 9", "cpu_s"),
        ("FROM range(1000000) a, range(1000000) b ORDER BY a.range * b.range", "memory_bytes"),
        ("SELECT repeat('x', 1000000000)", "memory_bytes"),
        ("SELECT DISTINCT range::VARCHAR FROM range(1000000000)", "memory_bytes"),
        ("SELECT repeat('x', 1000) FROM range(1000000)", "result_bytes"),
    ],
)
def test_a_query_that_takes_too_much_is_ended(empty: Console, sql: str, limit: str) -> None:
    limits = Limits(
        rows=10_000_000,
        result_bytes=2_000_000,
        memory_bytes=TIGHT.memory_bytes,
        time_s=60,
        cpu_s=1.0,
    )
    with pytest.raises(SqlLimit) as ended:
        told(empty, sql, limits=limits)
    if ended.value.name != limit:  # a busy machine may come to another end first
        assert ended.value.name in {"cpu_s", "memory_bytes"}


def test_a_query_that_takes_too_long_is_ended(empty: Console) -> None:
    sql = "SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 9"
    with pytest.raises(SqlLimit, match=r"time_s is 0\.3"):
        told(empty, sql, limits=Limits(time_s=0.3))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 200_000 + "1" + ")" * 200_000,
        "SELECT " + "[" * 100_000 + "]" * 100_000,
        "SELECT * FROM " + "(SELECT * FROM " * 20_000 + "runs" + ")" * 20_000,
        "SELECT " + "CASE WHEN true THEN " * 50_000 + "1" + " END" * 50_000,
        "SELECT '" + "x" * 1_000_000 + "'",
        "SELECT regexp_matches(repeat('a', 100000) || 'b', '(a+)+$')",
        "SELECT regexp_extract(repeat('a', 10000), '((a{0,100}){0,100}){0,100}')",
    ],
    ids=["parentheses", "lists", "subqueries", "cases", "a megabyte", "regex", "regex bomb"],
)
def test_whatever_a_hostile_query_does_it_does_to_its_own_process(empty: Console, sql: str) -> None:
    with contextlib.suppress(BadSql, SqlLimit, SqlCrashed):
        told(empty, sql, limits=TIGHT)
    assert rows(empty, "SELECT 1") == [[1]]


def test_the_process_of_a_query_has_no_environment_and_no_files_of_ours(empty: Console) -> None:
    worker = Worker()
    try:
        process = Path(f"/proc/{worker.pid}")
        if not process.exists():
            pytest.skip("this system tells nothing of its processes")
        assert (process / "environ").read_bytes() == b""
        say(worker.to, Query(sql="FROM runs"))
        # Once it says this, it has loaded what it ever will, and waits.
        assert isinstance(hear(worker.answers), Needed)
        open_files = {str(each.readlink()) for each in (process / "fd").iterdir()}
        assert not [name for name in open_files if name.endswith((".db", "-wal", ".py"))]
    finally:
        worker.kill()
        worker.end()


def test_settings_hold_no_path_of_this_machine(empty: Console) -> None:
    told_of = json.dumps(rows(empty, "SELECT name, value FROM duckdb_settings()"))
    for secret in (str(Path.home()), str(Path.cwd()), "secret-of-the-machine"):
        assert secret not in told_of


def test_parameters_go_by_name_or_in_order(empty: Console) -> None:
    assert rows(empty, "SELECT $a::INTEGER + 1, $b", parameters={"a": 1, "b": "x"}) == [[2, "x"]]
    assert rows(empty, "SELECT ?, ?::DOUBLE", parameters=["'; DROP", 1.5]) == [
        ["'; DROP", Decimal("1.5")]
    ]
    for wrong in ({"c": 1}, [1, 2], {"a": 1, "b": 2}):
        with pytest.raises(BadSql):
            told(empty, "SELECT $a", parameters=wrong)


def test_what_is_in_segments_is_read_from_there_and_the_rest_beside_it(
    rec: Recorder, tmp_path: Path
) -> None:
    rec.log.append(one_step_run("run-1"))
    rec.projector.catch_up()
    with Archive(rec.database, LocalFolder(tmp_path), with_events=True) as archive:
        for exporter in archive.exporters():
            exporter.catch_up()
        rec.log.append(history("run-2", submit("a"), error("a", status=503)))
        rec.projector.catch_up()
        with Console(archive) as console:
            assert [
                rows(console, f"SELECT DISTINCT request_id FROM {relation} ORDER BY 1")
                for relation in ("runs", "steps", "events")
            ] == [[["run-1"], ["run-2"]]] * 3
            for sql in (
                f"WITH gone AS (COPY (SELECT 1) TO '{tmp_path}/x.csv') SELECT 1",
                f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{tmp_path}/x.csv'",
                f"FROM read_parquet('{tmp_path}/**/*.parquet')",
            ):
                with pytest.raises(BadSql, match="disabled by configuration"):
                    told(console, sql)


class Losing(LocalFolder):
    """A folder in which a file vanishes or breaks once it has been named, so many times."""

    def __init__(self, root: Path, harm: Callable[[Path], object], times: int) -> None:
        super().__init__(root)
        self.harm, self.times = harm, times

    def local(self, name: str) -> str:
        path = super().local(name)
        if self.times:
            self.times -= 1
            self.harm(Path(path))
        return path


@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["vanishes", "breaks"]
)
def test_a_query_whose_file_goes_while_it_runs_is_asked_once_more(
    sqlite_rec: Recorder, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    sqlite_rec.log.append(one_step_run("run-1"))
    sqlite_rec.projector.catch_up()
    folder = Losing(tmp_path, harm, times=0)
    with Archive(sqlite_rec.database, folder) as archive, Console(archive) as console:
        for exporter in archive.exporters():
            exporter.catch_up()
        told_of_damage: list[bool] = []
        archive.on_damage(lambda: told_of_damage.append(True))
        folder.times = 1
        assert rows(console, "SELECT request_id FROM runs") == [["run-1"]]
        assert told_of_damage


def test_a_mistake_stays_one_though_a_file_goes_as_well(
    sqlite_rec: Recorder, tmp_path: Path
) -> None:
    sqlite_rec.log.append(one_step_run("run-1"))
    sqlite_rec.projector.catch_up()
    folder = Losing(tmp_path, Path.unlink, times=0)
    with Archive(sqlite_rec.database, folder) as archive, Console(archive) as console:
        for exporter in archive.exporters():
            exporter.catch_up()
        folder.times = 1
        into = io.BytesIO()
        with pytest.raises(BadSql, match="Could not convert string 'run-1'"):
            console.ask(Query(sql="SELECT request_id::INTEGER FROM runs"), into)
        with pytest.raises(BadSql, match='Referenced column "nothing" not found'):
            console.ask(Query(sql="SELECT nothing FROM runs"), into)
