"""Numbers to watch, in the text format of Prometheus (exposition format 0.0.4).

Written here, as the official client is none of our dependencies and keeps a registry of its own: each
number below is read when it is asked for. Nothing in it comes from what was recorded but counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Final, Literal, get_args

import msgspec

from api.reading import Progress, Service
from recorder.bootstrap import Recorder
from recorder.errors import LogUnavailable
from recorder.gauges import RunCounts, count_runs, count_spool
from recorder.projections.runs import RunStatus

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_LEAST_S: Final = 5.0
_SHARE: Final = 20
"""Runs are counted at most so small a part of the time, however many there are."""


class Family(msgspec.Struct, frozen=True):
    """A metric.

    Attributes:
        name: By Prometheus' conventions: the unit last, `_total` for counters.
        kind: Whether it only grows, but for restarts.
        help: One line.
        samples: By the value of the label; None for no label. Of no samples nothing is told.
        label: The label's name.
    """

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    samples: dict[str | None, float]
    label: str = ""


def exposition(families: Iterator[Family]) -> str:
    """The text of some metrics."""
    return "".join(line for family in families if family.samples for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {_escaped(family.help)}\n"
    yield f"# TYPE {family.name} {family.kind}\n"
    for value, number in family.samples.items():
        labels = "" if value is None else f'{{{family.label}="{_quoted(value)}"}}'
        yield f"{family.name}{labels} {number:.17g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(value: str) -> str:
    return _escaped(value).replace('"', '\\"')


class Metrics:
    """Reads the numbers of a service. For several threads.

    Args:
        rec: What is served.
        service: How.
    """

    def __init__(self, rec: Recorder, service: Service) -> None:
        self._rec = rec
        self._service = service
        self._counting = threading.Lock()
        self._counted: RunCounts | None = None
        self._again_at_s = 0.0

    def of_process(self, passing: int) -> Iterator[Family]:
        """What is known without asking the database or the disk.

        Args:
            passing: Requests on their way through the proxy.
        """
        known = version("fal-flight-recorder")
        yield Family("recorder_build_info", "gauge", "The release.", {known: 1}, "version")
        yield _gauge("recorder_proxy_requests", "Requests passing through the proxy.", passing)
        streams = self._service.streams.count
        yield _gauge("recorder_streams", "Live streams, replays and downloads being sent.", streams)
        yield _gauge(
            "recorder_followers", "Clients that follow the log.", self._service.live.followers
        )
        yield _gauge(
            "recorder_backlog",
            "Events that are not in the log yet, in memory or the spool.",
            self._rec.writer.waiting,
        )
        yield _gauge(
            "recorder_projection_failed",
            "1 while runs and steps are not kept up, for a fault.",
            self._service.projection_failure is not None,
        )
        yield _gauge(
            "recorder_segments_failed",
            "1 while segments are not kept up, for a fault.",
            self._service.columns.failure is not None,
        )

    def of_log(self) -> Iterator[Family]:
        """What the database and the disk tell; takes its time."""
        progress = self._service.progress()
        up = progress.log_position is not None
        yield _gauge("recorder_log_up", "Whether the log answers.", up)
        yield from _positions(progress)
        yield from self._spool()
        if up:
            yield from self._runs()

    def _spool(self) -> Iterator[Family]:
        spool = count_spool(self._rec.spool_folder)
        files: dict[str | None, float] = {
            "waiting": spool.waiting_files,
            "refused": spool.refused_files,
            "damaged": spool.damaged_files,
        }
        told = "Files in the spool: to be appended, refused by the log, or not readable to the end."
        yield Family("recorder_spool_files", "gauge", told, files, "state")
        told = "What waits in the spool to be appended."
        yield _gauge("recorder_spool_waiting_bytes", told, spool.waiting_bytes)

    def _runs(self) -> Iterator[Family]:
        try:
            counts = self._count()
        except LogUnavailable:
            return
        by_status: dict[str | None, float] = {
            status: counts.by_status.get(status, 0) for status in get_args(RunStatus)
        }
        told = "Runs by status; counted anew every few seconds."
        yield Family("recorder_runs", "gauge", told, by_status, "status")
        quarantined: dict[str | None, float] = dict(counts.quarantined.items())
        told = "Payloads that are none of fal's events, kept as they came; counted likewise."
        yield Family("recorder_quarantined_payloads_total", "counter", told, quarantined, "reason")
        told = "Runs of which events were lost."
        yield _gauge("recorder_runs_with_gaps", told, counts.with_gaps)

    def _count(self) -> RunCounts:
        with self._counting:
            began_s = time.monotonic()
            if self._counted is None or began_s >= self._again_at_s:
                self._counted = count_runs(self._rec.database)
                now_s = time.monotonic()
                self._again_at_s = now_s + max(_LEAST_S, _SHARE * (now_s - began_s))
            return self._counted


def _positions(progress: Progress) -> Iterator[Family]:
    head, projected, columns = (
        progress.log_position,
        progress.projection_position,
        progress.columns_position,
    )
    if head is None:
        return
    told = "Events in the log, its last position."
    yield Family("recorder_events_total", "counter", told, {None: head})
    if projected is not None:
        told = "Events that runs and steps are behind the log; readers catch up first."
        yield _gauge("recorder_projection_lag_events", told, head - projected)
    if columns is not None:
        told = "Events that segments are behind the log; answers never wait for them."
        yield _gauge("recorder_segments_lag_events", told, head - columns)


def _gauge(name: str, told: str, number: float) -> Family:
    return Family(name, "gauge", told, {None: number})
