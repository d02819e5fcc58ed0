"""The PyPI library `eventsourcing` doing the same: events of streams into a durable log."""

from __future__ import annotations

import tempfile
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from eventsourcing.persistence import StoredEvent
from sqlalchemy import make_url

from tests.postgres import PostgresServer


class Peer:
    """An application recorder of the library, and our two loads on it."""

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder
        recorder.create_table()

    def batches(self, raw: bytes, events: int, batch: int) -> float:
        """Events/s, one transaction a batch."""
        streams = [uuid.uuid4() for _ in range(50)]
        stored = [
            StoredEvent(streams[number % 50], number // 50, "completion", raw)
            for number in range(events)
        ]
        started = time.perf_counter()
        for start in range(0, events, batch):
            self._recorder.insert_events(stored[start : start + batch])
        return events / (time.perf_counter() - started)

    def producers(self, raw: bytes, producers: int, *, seconds: float = 1.5) -> float:
        """Events/s of producers that each wait for their event to be durable."""
        counts = [0] * producers
        stop = time.perf_counter() + seconds

        def produce(number: int) -> None:
            stream = uuid.uuid4()
            while time.perf_counter() < stop:
                event = StoredEvent(stream, counts[number], "completion", raw)
                self._recorder.insert_events([event])
                counts[number] += 1

        threads = [threading.Thread(target=produce, args=(n,)) for n in range(producers)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - started)


class SqlitePeer:
    """On a SQLite file."""

    def __enter__(self) -> Peer:
        from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._store = SQLiteDatastore(str(Path(self._folder.name) / "peer.db"), pool_timeout=60)
        return Peer(SQLiteApplicationRecorder(self._store))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._store.close()
        self._folder.cleanup()


class PostgresPeer:
    """In a database of its own on a server of the tests."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def __enter__(self) -> Peer:
        from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

        self._name = self._server.create()
        url = make_url(self._server.url(self._name))
        self._store = PostgresDatastore(
            self._name,
            str(url.host or url.query.get("host", "")),
            url.port or 5432,
            url.username or "",
            url.password or "",
            pool_size=20,
        )
        return Peer(PostgresApplicationRecorder(self._store))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._store.close()
        self._server.drop(self._name)
