"""Commits of other processes are heard at once on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine, text

import recorder
from recorder.store import listening
from recorder.store.engine import connect
from recorder.store.listening import Listener
from recorder.store.log import SqlLog
from recorder.store.signal import CommitSignal
from tests.builders import one_step_run
from tests.logs import WAIT_S

FOR_EVER_S = 3_600.0


@contextmanager
def listening_to(url: str, commits: CommitSignal) -> Iterator[None]:
    database, stop = connect(url), threading.Event()
    thread = threading.Thread(target=Listener(database, commits).run, args=(stop,))
    thread.start()
    try:
        _wait_until_heard(url, commits)
        yield
    finally:
        stop.set()
        thread.join()
        database.close()


def _wait_until_heard(url: str, commits: CommitSignal) -> None:
    """Until a notice of nothing wakes somebody, the listener is not there yet."""
    heard = threading.Event()

    def wait() -> None:
        commits.wait_beyond(0, WAIT_S)
        heard.set()

    threading.Thread(target=wait, daemon=True).start()
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    while not heard.is_set():
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_notify('recorder_log', '1')"))
        heard.wait(0.05)
    engine.dispose()


def test_a_commit_of_another_process_wakes_a_reader_at_once(postgres_url: str) -> None:
    commits = CommitSignal()
    with listening_to(postgres_url, commits), recorder.open(postgres_url) as other:
        woken = threading.Event()

        def wait() -> None:
            commits.wait_beyond(4, FOR_EVER_S)
            woken.set()

        threading.Thread(target=wait, daemon=True).start()
        other.log.append(one_step_run("run"))
        assert woken.wait(WAIT_S)


def test_what_is_no_position_is_passed_over(postgres_url: str) -> None:
    commits = CommitSignal()
    with listening_to(postgres_url, commits):
        engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            for payload in ("", "x", "-1", "٣"):
                connection.execute(text("SELECT pg_notify('recorder_log', :p)"), {"p": payload})
            connection.execute(text("SELECT pg_notify('recorder_log', '7')"))
        engine.dispose()
        commits.wait_beyond(6, FOR_EVER_S)


def test_a_connection_that_breaks_is_made_anew(
    own_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_AGAIN_S", 0.01)
    commits = CommitSignal()
    with listening_to(own_postgres_url, commits):
        database = connect(own_postgres_url)
        with database.writing() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE starts_with(query, 'LISTEN') AND datname = current_database()"
            )
        log, woken = SqlLog(database), threading.Event()

        def wait() -> None:
            commits.wait_beyond(1, WAIT_S)
            woken.set()

        waiter = threading.Thread(target=wait)
        waiter.start()
        for number in range(1_000):
            log.append(one_step_run(f"run-{number}"))
            if woken.wait(0.05):
                break
        heard = commits._position
        waiter.join()
        database.close()
    assert heard > 1
