"""Runs of the synthetic history, as a recorder would have written each."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from cli.demo.history.load import load_at
from cli.demo.history.payloads import Inputs, answer, failure, new_id, text
from cli.demo.history.planting import Planted
from cli.demo.history.workloads import NEW_POSTER, Node, Workload
from recorder import sse
from recorder.definitions import digest_of
from recorder.events import (
    Closed,
    CloseReason,
    Event,
    Exchange,
    NewEvent,
    Opened,
    encode_document,
    new_event,
    parse,
)

_SECOND_US: Final = 1_000_000
_PING_US: Final = 15 * _SECOND_US
_IDLE_US: Final = 60 * 60 * _SECOND_US
"""An app nobody used for this long has to be started first."""

_FAILS: Final = 0.012
_STATUSES: Final = (422, 422, 422, 500, 503, 504)
_TRIED_AGAIN: Final = 0.5
"""Of the steps that failed for no fault of the input."""

_ENDS_EARLY: Final[tuple[tuple[float, CloseReason, str | None], ...]] = (
    (0.006, "cut", "RemoteProtocolError"),
    (0.009, "client_gone", None),
    (0.001, "recorder_lost", "its recorder gave no sign of life"),
)
_REFUSED: Final = 0.004


class _Happening(msgspec.Struct, frozen=True):
    """Something at a time of the run: a payload of its stream, or an exchange."""

    at_us: int
    what: dict[str, Any] | Exchange


class Maker:
    """Makes runs one after the other; deterministic in the generator it is given.

    Args:
        random_: Where all chance comes from.
        planted: What is to be found.
    """

    def __init__(self, random_: random.Random, planted: Planted) -> None:
        self._random = random_
        self._planted = planted
        self._inputs = Inputs(random_)
        self._busy_until: dict[str, int] = {}
        self._digests: dict[str, str] = {}

    def run(self, workload: Workload, opened_at: int) -> list[NewEvent]:
        """The events of a run, `opened` and `closed` included, in order.

        Args:
            workload: What is run.
            opened_at: When, not before the run made last.
        """
        changed = self._planted.change
        if workload.workflow == changed.workflow and opened_at >= changed.at:
            workload = NEW_POSTER
        events = _Events(new_id(self._random), opened_at)
        asked = self._inputs.next(workload.workflow)
        begin_us = self._lasting(0.12, 0.4)
        if self._random.random() < _REFUSED:
            return _refused(events, self._opened(events, workload, asked, 429), begin_us)
        events.add(self._opened(events, workload, asked, 200), begin_us)
        if workload.queued:
            happenings = self._queued(workload, events, asked, begin_us)
        else:
            happenings = self._steps(workload, opened_at, asked, begin_us)
        return self._end(events, happenings, may_end_early=not workload.queued)

    def _opened(
        self, events: _Events, workload: Workload, asked: dict[str, Any], status: int
    ) -> Opened:
        queued = workload.queued
        host, path = ("queue.fal.run", "") if queued else ("fal.run", "/stream")
        streams = status == 200 and not queued
        media_type = "text/event-stream; charset=utf-8" if streams else "application/json"
        return Opened(
            workflow=workload.workflow,
            source="proxy",
            mode="queue" if queued else "stream",
            recorder="demo",
            recording=events.request_id,
            upstream_request_id=events.request_id,
            url=f"https://{host}/{workload.workflow}{path}",
            input=text(asked),
            request_headers={"content-type": "application/json"},
            status=status,
            response_headers={"content-type": media_type, "x-fal-request-id": events.request_id},
            definition=self._digest(workload),
        )

    def _digest(self, workload: Workload) -> str:
        known = f"{workload.workflow} {workload is NEW_POSTER}"
        if known not in self._digests:
            self._digests[known] = digest_of(workload.definition)
        return self._digests[known]

    def _steps(
        self, workload: Workload, opened_at: int, asked: dict[str, Any], begin_us: int
    ) -> list[_Happening]:
        done_us: dict[str, int] = {}
        happenings: list[_Happening] = []
        outputs: dict[str, Any] = {}
        failed_us: int | None = None
        for node in workload.nodes:
            if not all(one in done_us for one in node.after):
                continue  # behind one that failed
            ready_us = max((done_us[one] for one in node.after), default=begin_us)
            at_us = ready_us + self._lasting(0.015, 0.5)
            status = self._failing(workload, node, opened_at + at_us)
            if status is not None:
                at_us = self._fail(happenings, node, at_us, opened_at, status)
                if status == 422 or self._random.random() >= _TRIED_AGAIN:
                    failed_us = min(failed_us or at_us, at_us)
                    continue
                at_us += self._lasting(0.8, 0.3)
            took_us = self._inference_us(workload, node, opened_at + at_us)
            end_us = at_us + self._overhead_us(node, opened_at + at_us, took_us) + took_us
            output = outputs[node.id] = answer(self._random, node, asked, took_us)
            happenings.append(_Happening(at_us, self._submit(node)))
            completed = {"type": "completion", "node_id": node.id, "output": output}
            happenings.append(_Happening(end_us, completed))
            done_us[node.id] = end_us
        if failed_us is not None:
            return [each for each in happenings if each.at_us <= failed_us]
        last = workload.nodes[-1].id
        end_us = done_us[last] + self._lasting(0.01, 0.4)
        happenings.append(_Happening(end_us, {"type": "output", "output": outputs[last]}))
        return happenings

    def _fail(
        self, happenings: list[_Happening], node: Node, at_us: int, opened_at: int, status: int
    ) -> int:
        submitted = self._submit(node)
        took_us = self._lasting(0.15 if status == 422 else node.median_s, 0.4)
        end_us = at_us + self._overhead_us(node, opened_at + at_us, took_us) + took_us
        error = {
            "type": "error",
            "node_id": node.id,
            "message": f"Error while fetching the result of the request {submitted['request_id']}",
            "error": failure(self._random, status),
        }
        happenings += [_Happening(at_us, submitted), _Happening(end_us, error)]
        return end_us

    def _submit(self, node: Node) -> dict[str, Any]:
        return {
            "type": "submit",
            "node_id": node.id,
            "app_id": node.app,
            "request_id": new_id(self._random),
        }

    def _failing(self, workload: Workload, node: Node, at: int) -> int | None:
        chance = self._random.random()
        for burst in self._planted.bursts:
            here = (burst.workflow, burst.node_id) == (workload.workflow, node.id)
            if here and burst.since <= at < burst.until and chance < burst.share:
                return burst.status
        return self._random.choice(_STATUSES) if chance < _FAILS else None

    def _inference_us(self, workload: Workload, node: Node, at: int) -> int:
        slow = self._planted.slowdown
        here = (slow.workflow, slow.node_id) == (workload.workflow, node.id)
        factor = slow.factor if here and at >= slow.at else 1.0
        return self._lasting(node.median_s * factor, node.sigma)

    def _overhead_us(self, node: Node, at: int, took_us: int) -> int:
        """Waiting for the app: longer the busier it is, much longer where it has to be started."""
        waiting_us = self._lasting(0.16 * (0.5 + 0.5 * load_at(at)), 0.45)
        idle_us = at - self._busy_until.get(node.app, at)
        if idle_us > _IDLE_US:
            waiting_us += self._lasting(9.0, 0.35)
        self._busy_until[node.app] = max(self._busy_until.get(node.app, 0), at + took_us)
        return waiting_us

    def _lasting(self, median_s: float, sigma: float) -> int:
        return round(median_s * self._random.lognormvariate(0, sigma) * _SECOND_US)

    def _queued(
        self, workload: Workload, events: _Events, asked: dict[str, Any], begin_us: int
    ) -> list[_Happening]:
        """What a client that polls was told."""
        base = f"https://queue.fal.run/{workload.workflow}/requests/{events.request_id}"
        started_us = begin_us + self._lasting(3.0, 0.8)
        took_us = sum(self._lasting(node.median_s, node.sigma) for node in workload.nodes)
        done_us = started_us + took_us
        position = self._random.randrange(6)
        fails = self._random.random() < _FAILS * len(workload.nodes)
        metrics = {"inference_time": took_us / _SECOND_US}
        result: Any = answer(self._random, workload.nodes[-1], asked, took_us)
        if fails:
            result = failure(self._random, 422)["body"]

        def told(at_us: int, what: Any, status: int, path: str, body: Any) -> _Happening:
            method = "POST" if what == "submit" else "GET"
            exchange = Exchange(
                what=what, method=method, url=base + path, status=status, body=text(body)
            )
            return _Happening(at_us, exchange)

        waiting = {"status": "IN_QUEUE", "queue_position": position}
        submitted = {**waiting, "request_id": events.request_id, "response_url": base}
        return [
            told(begin_us, "submit", 200, "", submitted),
            told(begin_us + (started_us - begin_us) // 2, "status", 200, "/status", waiting),
            told(started_us, "status", 200, "/status", {"status": "IN_PROGRESS"}),
            told(done_us, "status", 200, "/status", {"status": "COMPLETED", "metrics": metrics}),
            told(done_us + self._lasting(0.1, 0.4), "result", 422 if fails else 200, "", result),
        ]

    def _end(
        self, events: _Events, happenings: list[_Happening], *, may_end_early: bool
    ) -> list[NewEvent]:
        happenings.sort(key=lambda each: each.at_us)
        end_us = happenings[-1].at_us + self._lasting(0.02, 0.5)
        reason, detail = self._early_end() if may_end_early else ("eof", None)
        if reason != "eof":
            end_us = round(end_us * self._random.uniform(0.1, 0.95))
        for each in happenings:
            if each.at_us <= end_us:
                events.happen(each)
        end_us = max(end_us, events.last_us)
        return events.close(Closed(reason=reason, detail=detail), end_us)

    def _early_end(self) -> tuple[CloseReason, str | None]:
        chance = self._random.random()
        for share, reason, detail in _ENDS_EARLY:
            if chance < share:
                return reason, detail
            chance -= share
        return "eof", None


def _refused(events: _Events, document: Opened, at_us: int) -> list[NewEvent]:
    events.add(document, at_us)
    body = text({"detail": "Rate limit exceeded"})
    return events.close(Closed(reason="refused", trailing=body), at_us)


class _Events:
    """The events of one run, as they add up."""

    def __init__(self, request_id: str, opened_at: int) -> None:
        self.request_id = request_id
        self.last_us = 0
        self._opened_at = opened_at
        self._made: list[NewEvent] = []

    def add(self, document: Opened | Exchange | Closed, at_us: int) -> None:
        """A document of the recorder's own."""
        self._append(document, encode_document(document), at_us)

    def happen(self, happening: _Happening) -> None:
        """A frame of the stream, led by the pings since the one before; or an exchange."""
        if isinstance(happening.what, Exchange):
            self.add(happening.what, happening.at_us)
            return
        data = text(happening.what)
        frame = self._pings(happening.at_us) + sse.encode(data, newline="\r\n")
        self._append(parse(data), frame, happening.at_us)

    def close(self, document: Closed, at_us: int) -> list[NewEvent]:
        """Ends the run; all its events."""
        self.add(document, at_us)
        return self._made

    def _pings(self, until_us: int) -> bytes:
        numbers = range(self.last_us // _PING_US + 1, until_us // _PING_US + 1)
        return b"".join(self._ping(number * _PING_US) for number in numbers)

    def _ping(self, at_us: int) -> bytes:
        at = datetime.fromtimestamp((self._opened_at + at_us) / _SECOND_US, UTC)
        return sse.comment(f"ping - {at}", newline="\r\n")

    def _append(self, event: Event, frame: bytes, at_us: int) -> None:
        stamp = (self._opened_at + at_us, at_us)
        self._made.append(new_event(self.request_id, len(self._made), event, frame, stamp))
        self.last_us = at_us
