"""What questions are measured against answers them: hand-written SQL tells the figures that we do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.columns_material import Material, material
from bench.questions import ASKED, answer, bare_connection
from bench.questions_floor import FLOORS
from bench.questions_floor_time import FLOORS_OF_TIME

OF_TIME = set(FLOORS_OF_TIME)  # see test_floors_of_time.py


@pytest.fixture(scope="module")
def made() -> Iterator[Material]:
    with material(30_000) as made:
        yield made


@pytest.mark.parametrize("name", [name for name in ASKED if name not in OF_TIME])
def test_the_floor_of_a_question_tells_its_figures(made: Material, name: str) -> None:
    bare = bare_connection(made, name)
    [text] = FLOORS[name]
    floor = bare.sql(text).to_arrow_table()
    bare.close()
    ours = answer(made.archive, name)
    assert floor.num_rows or name == "repeated-seeds"  # of so few steps none has another's
    assert ours.num_rows == floor.num_rows
    for column in floor.column_names:
        expected = list(map(_comparable, ours.column(column).to_pylist()))
        assert list(map(_comparable, floor.column(column).to_pylist())) == expected, column


def test_an_answer_of_many_rows_comes_in_the_order_of_its_question(made: Material) -> None:
    told = [answer(made.archive, "heatmap") for _ in range(20)]  # DuckDB's threads may race
    for table in told:
        rows = list(zip(table.column("bucket_at"), table.column("low_us"), strict=True))
        assert table.num_rows > 2_048  # the rows of a vector of DuckDB's
        assert rows == sorted(rows, key=lambda row: (row[0].as_py(), row[1].as_py()))


def _comparable(value: Any) -> Any:
    is_number = isinstance(value, int | float) or type(value).__name__ == "Decimal"
    return pytest.approx(float(value), rel=1e-9, abs=0.0011) if is_number else value
