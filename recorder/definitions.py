"""Definitions of workflows: what a run was made of, kept once, under a name made of its content.

A run of `workflows/execute` brings its definition along. Of any other the definition is looked up by the
workflow's id, once a day at most, in a thread of its own: a recording is never kept waiting, and names
the definition when it is closed if it could not when it was opened.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from recorder.clock import Clock, SystemClock
from recorder.documents import Opened, as_bytes
from recorder.errors import RecorderError
from recorder.inputs import canonical

_log = logging.getLogger(__name__)

INLINE: Final = "workflows/execute"
"""The endpoint whose requests bring their definition along."""

MAX_BYTES: Final = 1024 * 1024
"""A longer definition is not kept."""

FRESH_US: Final = 24 * 3600 * 1_000_000
"""A definition looked up longer ago is looked up again: the workflow may have been changed."""

RETRY_US: Final = 3600 * 1_000_000
"""A workflow whose definition could not be had is not asked for again so soon."""

_MAX_REMEMBERED: Final = 1_000
_MAX_WAITING: Final = 100
_ID: Final = re.compile(r"workflows/(?!\.{1,2}/)[A-Za-z0-9._~-]+/(?!\.{1,2}\Z)[A-Za-z0-9._~-]+")

Job = Callable[[], None]
Value = TypeVar("Value")


def digest_of(definition: bytes) -> str:
    """Names a definition: the sha256 of its bytes, in hex."""
    return hashlib.sha256(definition).hexdigest()


class _Looked(msgspec.Struct, frozen=True):
    """What was last found out about a workflow."""

    digest: str | None
    again_at_us: int


class Definitions:
    """Knows the definitions of workflows, as far as it has been told or could look them up.

    Safe to use from several threads. What a recording calls never raises and never waits.

    Args:
        keep: Keeps a definition under its digest, idempotently; may raise.
        look_up: Finds the definition of a workflow by its id, as JSON text; may raise. None where
            there is nobody to ask.
        clock: For the monotonic clock.
    """

    def __init__(
        self,
        keep: Callable[[str, bytes], object],
        look_up: Callable[[str], bytes] | None,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._keep = keep
        self._look_up = look_up
        self._clock = clock or SystemClock()
        self._kept: OrderedDict[str, None] = OrderedDict()
        self._looked: OrderedDict[str, _Looked] = OrderedDict()
        self._asked: set[str] = set()
        self._jobs: deque[Job] = deque()
        self._working = False
        self._closing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def of_opened(self, document: Opened) -> str | None:
        """Names the definition of a run that begins; None where it is not known, or not yet."""
        try:
            if document.workflow == INLINE:
                return self._brought_along(as_bytes(document.input, document.input_base64))
            if (
                document.status is None or document.status < 300
            ):  # else there may be no such workflow
                self._ask_where_due(document.workflow)
        except Exception as error:  # the run is recorded all the same
            _log.error("no definition of %s: %s", document.workflow, type(error).__name__)
        return self.known(document.workflow)

    def known(self, workflow: str) -> str | None:
        """Names a workflow's definition as last looked up; None where it is not known."""
        looked = self._looked.get(workflow)
        return None if looked is None else looked.digest

    def wait(self, timeout_s: float = 10.0) -> bool:
        """Waits until nothing is being kept or looked up; returns whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._jobs or self._working), timeout_s)

    def close(self, timeout_s: float = 1.0) -> None:
        """Gives up looking, keeps what was brought along, and stops; idempotent.

        A look-up under way that takes longer than the timeout is left behind.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
            self._run()  # what a look-up that was left behind has held up

    def _brought_along(self, body: bytes) -> str | None:
        definition = inline_definition(body)
        if definition is None:
            return None
        digest = digest_of(definition)
        with self._changed:
            if digest not in self._kept:
                self._add(lambda: self._keep_once(digest, definition))
        return digest

    def _ask_where_due(self, workflow: str) -> None:
        if self._look_up is None or _ID.fullmatch(workflow) is None:
            return
        with self._changed:
            looked = self._looked.get(workflow)
            due = looked is None or self._clock.monotonic_us() >= looked.again_at_us
            if due and workflow not in self._asked and self._add(lambda: self._find(workflow)):
                self._asked.add(workflow)

    def _add(self, job: Job) -> bool:
        """Queues a job for the thread; false where there is no room or no time for it."""
        if self._closing or len(self._jobs) >= _MAX_WAITING:
            return False
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="definitions", daemon=True)
            thread.start()
            self._thread = thread
        self._jobs.append(job)
        self._changed.notify_all()
        return True

    def _run(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                job()
            except Exception as error:  # whatever it is, runs are recorded without definitions
                _log.warning("a definition could not be kept: %s", type(error).__name__)
            with self._changed:
                self._working = False
                self._changed.notify_all()

    def _next_job(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closing)
            self._working = bool(self._jobs)
            return self._jobs.popleft() if self._jobs else None

    def _find(self, workflow: str) -> None:
        digest = self._looked_up(workflow)
        pause_us = RETRY_US if digest is None else FRESH_US
        with self._changed:
            self._asked.discard(workflow)
            looked = _Looked(digest, self._clock.monotonic_us() + pause_us)
            _remember(self._looked, workflow, looked)

    def _looked_up(self, workflow: str) -> str | None:
        """Finds and keeps a workflow's definition; None where that fails."""
        if self._look_up is None or self._closing:
            return None
        try:
            definition = canonical(self._look_up(workflow))
            digest = digest_of(definition)
            if not self._closing:
                self._keep_once(digest, definition)
        except Exception as error:
            # The message only where it is ours: others may quote what was sent.
            why = error if isinstance(error, RecorderError) else type(error).__name__
            _log.warning("no definition of %s: %s", workflow, why)
            return None
        return digest

    def _keep_once(self, digest: str, definition: bytes) -> None:
        if digest not in self._kept:
            self._keep(digest, definition)
            with self._changed:
                _remember(self._kept, digest, None)


def _remember(memory: OrderedDict[str, Value], key: str, value: Value) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _MAX_REMEMBERED:
        memory.popitem(last=False)


class _Request(msgspec.Struct):
    workflow: msgspec.Raw = msgspec.Raw()


_decode_request: Final = msgspec.json.Decoder(_Request).decode


def inline_definition(body: bytes) -> bytes | None:
    """The definition in the body of a request to `workflows/execute`, in canonical form.

    None where there is none, or it is longer than `MAX_BYTES`. Total.
    """
    try:
        given = bytes(_decode_request(body).workflow)
        given.decode()  # within strings the decoder takes any bytes, and it is answered as JSON
    except (ValueError, RecursionError):  # no JSON
        return None
    if not given.startswith(b"{") or len(given) > MAX_BYTES:
        return None
    return canonical(given)
