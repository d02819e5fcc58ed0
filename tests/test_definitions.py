"""Definitions: brought along or looked up, kept once, and never in a recording's way."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import SecretStr

import recorder
from recorder.bootstrap import Recorder
from recorder.definitions import FRESH_US, INLINE, MAX_BYTES, RETRY_US, Definitions
from recorder.documents import Closed, as_text
from recorder.errors import DefinitionNotFound, LogUnavailable, SourceError
from recorder.events import Opened
from recorder.recording import Recording
from recorder.settings import Settings
from recorder.sources.http import new_client
from recorder.sources.platform import definitions_at, read_definition
from recorder.store.definitions import DefinitionStore
from recorder.store.engine import Database
from tests.builders import WORKFLOW, opened, output
from tests.clocks import ManualClock
from tests.logs import WAIT_S
from tests.serving import Page, Site, site

KEY = "id:not-a-real-key"
NODES = b'{"a": {"type": "run", "app": "x", "seed": 1.0}}'
CANONICAL = b'{"a":{"app":"x","seed":1,"type":"run"}}'
DIGEST = hashlib.sha256(CANONICAL).hexdigest()


def executed(brought: bytes | None, **fields: Any) -> Opened:
    """The opening of a run that brought this along as its `workflow`."""
    body = b"{}" if brought is None else b'{"input": {}, "workflow": %b}' % brought
    text, in_base64 = as_text(body)
    return opened("run-1", workflow=INLINE, input=text, input_base64=in_base64, **fields)


class Shelf:
    """Where definitions are kept, and who is asked for them."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, bytes]] = []
        self.asked: list[str] = []
        self.answer: bytes | Exception = NODES
        self.failure: Exception | None = None
        self.clock = ManualClock()
        self.definitions = Definitions(self._keep, self._look_up, clock=self.clock)

    def _keep(self, digest: str, definition: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.kept.append((digest, definition))

    def _look_up(self, workflow: str) -> bytes:
        self.asked.append(workflow)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def open(self, document: Opened) -> str | None:
        """What a run is told that begins now, all that follows from it done."""
        told = self.definitions.of_opened(document)
        assert self.definitions.wait(WAIT_S)
        return told


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    shelf = Shelf()
    yield shelf
    shelf.definitions.close(WAIT_S)


class TestBroughtAlong:
    def test_a_definition_is_named_at_once_and_kept_once_in_canonical_form(
        self, shelf: Shelf
    ) -> None:
        assert [shelf.open(executed(NODES)) for _ in range(3)] == [DIGEST] * 3
        assert shelf.open(executed(CANONICAL)) == DIGEST
        assert (shelf.kept, shelf.asked) == ([(DIGEST, CANONICAL)], [])

    def test_one_with_a_number_no_double_holds_is_kept_as_it_was_sent(self, shelf: Shelf) -> None:
        odd = b'{ "a": 1e999 }'
        assert shelf.open(executed(odd)) == hashlib.sha256(odd).hexdigest()
        assert [kept for _, kept in shelf.kept] == [odd]

    def test_one_that_upstream_refused_is_kept_too(self, shelf: Shelf) -> None:
        assert shelf.open(executed(NODES, status=422)) == DIGEST

    @pytest.mark.parametrize(
        "definition",
        [
            None,
            b"null",
            b'"text"',
            b"[]",
            b"{",
            b"\xff",
            b"[" * 100_000,
            b'{"a": "%b"}' % (b"x" * MAX_BYTES),
            b'{"a": "\xff"}',
        ],
        ids=[
            "none",
            "null",
            "text",
            "list",
            "no JSON",
            "no text",
            "too deep",
            "too long",
            "no text within",
        ],
    )
    def test_what_is_no_definition_has_no_name(
        self, shelf: Shelf, definition: bytes | None
    ) -> None:
        assert shelf.open(executed(definition)) is None
        assert shelf.kept == []

    def test_one_that_could_not_be_kept_is_named_and_kept_the_next_time(self, shelf: Shelf) -> None:
        shelf.failure = LogUnavailable("nobody answers")
        assert shelf.open(executed(NODES)) == DIGEST
        assert shelf.kept == []
        shelf.failure = None
        assert shelf.open(executed(NODES)) == DIGEST
        assert shelf.kept == [(DIGEST, CANONICAL)]


class TestLookedUp:
    def test_a_definition_is_known_once_it_has_been_found(self, shelf: Shelf) -> None:
        assert shelf.open(opened("run-1")) is None
        assert shelf.definitions.known(WORKFLOW) == DIGEST
        assert shelf.open(opened("run-2")) == DIGEST
        assert (shelf.asked, shelf.kept) == ([WORKFLOW], [(DIGEST, CANONICAL)])

    def test_one_older_than_a_day_is_looked_up_again_and_may_have_changed(
        self, shelf: Shelf
    ) -> None:
        shelf.open(opened("run-1"))
        shelf.answer = b"{}"
        shelf.clock.advance(FRESH_US - 1)
        assert shelf.open(opened("run-2")) == DIGEST
        assert shelf.definitions.known(WORKFLOW) == DIGEST
        shelf.clock.advance(1)
        assert shelf.open(opened("run-3")) == DIGEST
        assert shelf.definitions.known(WORKFLOW) == hashlib.sha256(b"{}").hexdigest()
        assert shelf.asked == [WORKFLOW] * 2

    def test_one_that_cannot_be_had_is_asked_for_again_after_an_hour(
        self, shelf: Shelf, caplog: pytest.LogCaptureFixture
    ) -> None:
        for failure in (SourceError("404"), LogUnavailable("away"), RuntimeError(KEY)):
            shelf.answer = failure
            assert shelf.open(opened("run-1")) is None
            assert shelf.open(opened("run-2")) is None
            shelf.clock.advance(RETRY_US)
        assert shelf.asked == [WORKFLOW] * 3
        assert KEY not in caplog.text
        shelf.answer = NODES
        shelf.open(opened("run-3"))
        assert shelf.definitions.known(WORKFLOW) == DIGEST

    def test_one_that_cannot_be_had_any_more_is_not_known_any_more(self, shelf: Shelf) -> None:
        shelf.open(opened("run-1"))
        shelf.clock.advance(FRESH_US)
        shelf.answer = SourceError("gone")
        shelf.open(opened("run-2"))
        assert shelf.definitions.known(WORKFLOW) is None

    def test_one_that_cannot_be_kept_is_not_known(self, shelf: Shelf) -> None:
        shelf.failure = LogUnavailable("nobody answers")
        shelf.open(opened("run-1"))
        assert shelf.definitions.known(WORKFLOW) is None

    @pytest.mark.parametrize(
        "workflow",
        [
            "",
            "fal-ai/flux",
            "workflows/acme",
            "workflows/acme/../x",
            "workflows/../poster",
            "workflows/acme/..",
            "workflows/acme/poster/more",
            "workflows/acme/po ster",
            "workflows/acme/poster?x",
            "workflows/acme/poster\n",
        ],
    )
    def test_only_ids_of_workflows_are_looked_up(self, shelf: Shelf, workflow: str) -> None:
        assert shelf.open(opened("run-1", workflow=workflow)) is None
        assert shelf.asked == []

    def test_a_run_that_upstream_refused_is_no_reason_to_look(self, shelf: Shelf) -> None:
        assert shelf.open(opened("run-1", status=404)) is None
        assert shelf.asked == []
        shelf.open(opened("run-2", status=None))
        assert shelf.open(opened("run-3", status=422)) == DIGEST

    def test_nobody_is_asked_where_there_is_nobody(self) -> None:
        definitions = Definitions(lambda *_: None, None)
        assert definitions.of_opened(opened("run-1")) is None
        definitions.close()


class TestTheThread:
    def test_is_asked_once_for_what_many_want_and_nobody_waits_for_it(self) -> None:
        asked, answer, kept = threading.Event(), threading.Event(), list[str]()

        def look_up(_: str) -> bytes:
            asked.set()
            assert answer.wait(WAIT_S)
            return NODES

        definitions = Definitions(lambda digest, _: kept.append(digest), look_up)
        assert definitions.of_opened(opened("run-1")) is None
        assert asked.wait(WAIT_S)
        assert [definitions.of_opened(opened("run")) for _ in range(500)] == [None] * 500
        assert not definitions.wait(0)
        answer.set()
        assert definitions.wait(WAIT_S)
        definitions.close(WAIT_S)
        assert kept == [DIGEST]

    def test_is_left_behind_where_it_hangs_and_what_was_brought_along_is_kept(self) -> None:
        asked, answer, kept = threading.Event(), threading.Event(), list[str]()

        def look_up(_: str) -> bytes:
            asked.set()
            assert answer.wait(WAIT_S)
            return b"{}"

        definitions = Definitions(lambda digest, _: kept.append(digest), look_up)
        definitions.of_opened(opened("run-1"))
        assert asked.wait(WAIT_S)
        definitions.of_opened(executed(NODES))
        definitions.of_opened(opened("run-2", workflow="workflows/acme/never"))
        definitions.close(timeout_s=0)
        assert kept == [DIGEST]
        answer.set()
        definitions.close(WAIT_S)
        assert kept == [DIGEST]
        assert definitions.of_opened(executed(b'{"b": {}}')) is not None
        assert kept == [DIGEST]

    def test_has_a_limit_to_what_waits_for_it(self) -> None:
        asked, answer, found = threading.Event(), threading.Event(), list[str]()

        def look_up(workflow: str) -> bytes:
            found.append(workflow)
            asked.set()
            assert answer.wait(WAIT_S)
            return NODES

        definitions = Definitions(lambda *_: None, look_up)
        definitions.of_opened(opened("run"))
        assert asked.wait(WAIT_S)
        for number in range(1_000):
            definitions.of_opened(opened("run", workflow=f"workflows/acme/{number}"))
        answer.set()
        assert definitions.wait(WAIT_S)
        definitions.close(WAIT_S)
        assert len(found) == 101


class TestTheRecording:
    def test_names_in_its_opening_what_is_known_then(self, sqlite_rec: Recorder) -> None:
        recording = Recording(sqlite_rec.writer, definitions=sqlite_rec.definitions)
        recording.open(executed(NODES))
        recording.close("eof")
        first, last = sqlite_rec.events("run-1")
        assert isinstance(first.event, Opened)
        assert first.event.definition == DIGEST
        assert last.event == Closed(reason="eof")
        assert sqlite_rec.run("run-1").definition == DIGEST

    def test_names_at_its_end_what_became_known_meanwhile(
        self, sqlite_rec: Recorder, shelf: Shelf
    ) -> None:
        for request_id, at_open, at_close in [
            ("run-1", None, DIGEST),
            ("run-2", DIGEST, None),
        ]:
            recording = Recording(sqlite_rec.writer, definitions=shelf.definitions)
            recording.open(opened(request_id))
            assert shelf.definitions.wait(WAIT_S)
            recording.close("eof")
            first, last = sqlite_rec.events(request_id)
            assert isinstance(first.event, Opened)
            assert first.event.definition == at_open
            assert last.event == Closed(reason="eof", definition=at_close)
            assert sqlite_rec.run(request_id).definition == DIGEST

    def test_keeps_the_name_its_caller_gave(self, sqlite_rec: Recorder, shelf: Shelf) -> None:
        recording = Recording(sqlite_rec.writer, definitions=shelf.definitions)
        recording.open(executed(b"{}", definition="given"))
        recording.close("eof")
        assert sqlite_rec.run("run-1").definition == "given"
        assert shelf.kept == []


class TestTheStore:
    def test_keeps_what_it_is_given_once(self, database: Database) -> None:
        store = DefinitionStore(database)
        assert store.read("digest") is None
        store.keep("digest", b"\x00{}")
        store.keep("digest", b"another")
        assert store.read("digest") == b"\x00{}"

    def test_is_what_a_recorder_reads(self, rec: Recorder) -> None:
        rec.definitions.of_opened(executed(NODES))
        assert rec.definitions.wait(WAIT_S)
        assert rec.definition(DIGEST) == CANONICAL
        with pytest.raises(DefinitionNotFound, match=f"^no definition {'0' * 64}$"):
            rec.definition("0" * 64)


class TestThePlatform:
    def test_is_asked_with_the_key_for_the_contents(self) -> None:
        told = b'{"workflow": {"name": "sdxl-sticker", "contents": %b}}' % NODES
        with site({f"/v1/{WORKFLOW}": Page(told)}) as api:
            assert definitions_at(api.url, KEY)(WORKFLOW) == NODES
            [asked] = api.asked
            assert asked.headers["authorization"] == f"Key {KEY}"
            with pytest.raises(SourceError, match="answered 404"):
                definitions_at(api.url, KEY)("workflows/no/such")

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"[]",
            b'{"workflow": {}}',
            b'{"workflow": {"contents": []}}',
            b'{"workflow": {"contents": "\xff"}}',
            b'{"workflow": {"contents": ' + b"[" * 100_000,
            b'{"workflow": {"contents": {"a": "%b"}}}' % (b"x" * MAX_BYTES),
        ],
        ids=range(7),
    )
    def test_that_tells_no_contents_is_an_error(self, answer: bytes) -> None:
        with pytest.raises(SourceError, match="contents of the workflow"):
            read_definition(answer)


class TestARun:
    @contextmanager
    def recording(
        self, database_url: str, fal: Site, api_url: str | None = None, key: str | None = KEY
    ) -> Iterator[Recorder]:
        given = None if key is None else SecretStr(key)
        settings = Settings(
            database_url=database_url, fal_url=fal.url, api_url=api_url, fal_key=given
        )
        with recorder.open(database_url, settings=settings) as rec:
            yield rec

    def run(self, rec: Recorder, workflow: str, body: bytes = b"{}") -> str | None:
        """What a run through the recorder names, its definition looked up while it was under way."""
        with new_client() as client:
            running = rec.workflow_run(workflow, body, client)
            for _ in running:
                assert rec.definitions.wait(WAIT_S)
        assert running.recording.request_id is not None
        return rec.run(running.recording.request_id).definition

    @pytest.fixture
    def fal(self) -> Iterator[Site]:
        told = b'{"workflow": {"contents": %b}}' % NODES
        stream = Page(output(), headers={"content-type": "text/event-stream"})
        pages = {
            f"/v1/{WORKFLOW}": Page(told),
            f"/{WORKFLOW}/stream": stream,
            f"/{INLINE}/stream": stream,
        }
        with site(pages) as served:
            yield served

    def test_is_kept_with_the_definition_of_its_workflow(
        self, database_url: str, fal: Site
    ) -> None:
        with self.recording(database_url, fal, api_url=f"{fal.url}/") as rec:
            assert [self.run(rec, WORKFLOW) for _ in range(2)] == [DIGEST] * 2
            assert rec.definition(DIGEST) == CANONICAL
        assert [asked.path for asked in fal.asked].count(f"/v1/{WORKFLOW}") == 1

    def test_is_kept_with_the_definition_it_brought_along(
        self, database_url: str, fal: Site
    ) -> None:
        with self.recording(database_url, fal, key=None) as rec:
            body = json.dumps({"input": {}, "workflow": json.loads(NODES)}).encode()
            assert self.run(rec, INLINE, body) == DIGEST
        with self.recording(database_url, fal, key=None) as rec:
            assert rec.definition(DIGEST) == CANONICAL

    @pytest.mark.parametrize("missing", ["key", "api_url"])
    def test_names_none_without_a_key_or_an_address_to_ask(
        self, sqlite_url: str, fal: Site, missing: str
    ) -> None:
        given = {"key": KEY, "api_url": fal.url} | {missing: None}
        with self.recording(sqlite_url, fal, **given) as rec:
            assert self.run(rec, WORKFLOW) is None
        assert [asked.path for asked in fal.asked] == [f"/{WORKFLOW}/stream"]
