"""Questions that share memory: beside each other, and alone where it ran out."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from analytics.turns import Turns
from tests.logs import WAIT_S


def test_questions_run_beside_each_other() -> None:
    turns, together = Turns(), threading.Barrier(3)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(turns.take, lambda: together.wait(WAIT_S)) for _ in range(3)]
        assert sorted(each.result(WAIT_S) for each in asked) == [0, 1, 2]


def test_one_that_ran_out_of_memory_waits_for_the_others_and_runs_alone() -> None:
    turns = Turns()
    failed, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def holds_memory() -> None:
        assert failed.wait(WAIT_S)
        assert go_on.wait(WAIT_S)
        order.append("other")

    def wants_more() -> str:
        if not failed.is_set():
            failed.set()
            raise duckdb.OutOfMemoryException("out of memory")
        order.append("alone")
        return "answer"

    with ThreadPoolExecutor(3) as pool:
        other = pool.submit(turns.take, holds_memory)
        hungry = pool.submit(turns.take, wants_more)
        assert failed.wait(WAIT_S)
        go_on.set()
        assert hungry.result(WAIT_S) == "answer"
        other.result(WAIT_S)
    assert order == ["other", "alone"]


def test_what_does_not_fit_by_itself_is_an_error() -> None:
    calls: list[int] = []

    def too_much() -> None:
        calls.append(1)
        raise duckdb.OutOfMemoryException("out of memory")

    turns = Turns()
    with pytest.raises(duckdb.OutOfMemoryException):
        turns.take(too_much)
    assert len(calls) == 2
    assert turns.take(lambda: "still answers") == "still answers"
