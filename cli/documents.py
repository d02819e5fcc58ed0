"""The JSON documents of the command line; docs/cli.md describes them.

A run is the same document the HTTP service gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from recorder.audit import Verdict
from recorder.comparison import Comparison
from recorder.doctor import Finding
from recorder.events import LoggedEvent
from recorder.importing import Imported
from recorder.projections.runs import Run
from recorder.projector import Rebuilt
from recorder.store.views import Page

if TYPE_CHECKING:
    from analytics.reporting.composing import Report

Document = Mapping[str, Any]


def run_document(run: Run) -> Document:
    """A run with its steps."""
    from api.models import RunModel

    document: Document = RunModel.of(run).model_dump(mode="json")
    return document


def comparison_document(compared: Comparison) -> Document:
    """Two runs side by side."""
    from api.comparison_models import ComparisonModel

    document: Document = ComparisonModel.of(compared).model_dump(mode="json")
    return document


def page_document(page: Page) -> Document:
    """A page of runs; `next_before` goes into `--before`."""
    return {
        "runs": [run_document(run) for run in page.runs],
        "next_before": page.next_before,
        "as_of_position": page.as_of_position,
    }


def event_document(logged: LoggedEvent) -> Document:
    """An event; the frame as text, undecodable bytes as U+FFFD, None once erased."""
    from api.times import rfc3339

    frame = None if logged.frame is None else logged.frame.decode("utf-8", "replace")
    return {
        "position": logged.position,
        "request_id": logged.request_id,
        "seq": logged.seq,
        "type": logged.type,
        "node_id": logged.node_id,
        "app_id": logged.app_id,
        "step_request_id": logged.step_request_id,
        "received_at": rfc3339(logged.received_at),
        "elapsed_us": logged.elapsed_us,
        "frame": frame,
    }


def imported_document(imported: Imported) -> Document:
    """What came of an imported file."""
    return {
        "path": imported.path,
        "request_id": imported.request_id,
        "already_there": imported.already_there,
    }


def verdict_document(verdict: Verdict) -> Document:
    """What verifying found."""
    return {
        "intact": verdict.intact,
        "epoch": verdict.epoch,
        "position": verdict.position,
        "chain": verdict.chain.hex(),
        "erased": verdict.erased,
        "broken_at": verdict.broken_at,
        "reason": verdict.reason,
    }


def rebuilt_document(rebuilt: Rebuilt) -> Document:
    """What rebuilding did."""
    return {"position": rebuilt.position, "differences": rebuilt.differences}


def findings_document(findings: Iterable[Finding]) -> Document:
    """What the doctor found, in the order of the checks."""
    return {"findings": [msgspec.to_builtins(finding) for finding in findings]}


def report_document(report: Report) -> Document:
    """A whole report, as the HTTP service tells it; all durations in microseconds."""
    from api.report_models import ReportModel

    document: Document = ReportModel.of(report).model_dump(mode="json")
    return document
