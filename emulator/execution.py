"""Running a definition: an asynchronous generator of the events a stream carries."""

from __future__ import annotations

import asyncio
import graphlib
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from emulator import references
from emulator.apps import Call, StepError, find_app
from emulator.definition import INPUT, Definition, Node
from emulator.faults import draw_step, step_random
from emulator.media import Media
from emulator.problems import Invalid, Problem, invalid
from emulator.references import UnresolvedReference
from emulator.settings import Faults

Event: TypeAlias = dict[str, Any]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One execution of a workflow. ``run_number`` enters every seeded draw."""

    definition: Definition
    input: Mapping[str, Any]
    media: Media
    faults: Faults
    run_number: int = 0


@dataclass(frozen=True)
class _Submission:
    node: Node
    request_id: str


def initial_outputs(definition: Definition, body: Mapping[str, Any]) -> dict[str, Any]:
    """What references can read before anything has run: the input, under all its names."""
    inputs = [node for node in definition.nodes.values() if node.type == "input"]
    merged: dict[str, Any] = {}
    for node in inputs:
        merged |= node.payload
    merged |= body
    names = {INPUT} | {name for node in inputs for name in (node.id, node.own_id)}
    return dict.fromkeys(names, merged)


def check_input_references(definition: Definition, outputs: Mapping[str, Any]) -> None:
    """Refuse references to input values that this request does not have.

    Raises:
        Invalid: locations are paths inside the input.
    """
    problems = []
    for reference in definition.references:
        if reference.node not in outputs:
            continue
        try:
            references.look_up(reference, outputs)
        except UnresolvedReference:
            msg = f"field required, the workflow reads {reference}"
            problems.append(Problem(reference.path, msg, "value_error.missing"))
    if problems:
        raise Invalid(dict.fromkeys(problems))


async def run_workflow(run: Run) -> AsyncGenerator[Event]:
    """Execute every node, independent ones at the same time, and yield events as they happen.

    A failing step yields ``error`` and ends the run: steps still at work are cancelled and report
    nothing. Closing the generator cancels them as well.
    """
    outputs = initial_outputs(run.definition, run.input)
    sorter = graphlib.TopologicalSorter(run.definition.edges)
    sorter.prepare()
    at_work: dict[asyncio.Task[Any], _Submission] = {}
    try:
        while sorter.is_active():
            for node_id in sorter.get_ready():
                node = run.definition.nodes[node_id]
                try:
                    payload = _payload(node, outputs)
                except UnresolvedReference as error:
                    yield _unresolved(node_id, error)
                    return
                if node.type != "run":
                    _publish(outputs, node, payload)
                    sorter.done(node_id)
                    continue
                submission = _Submission(node, str(uuid.uuid4()))
                yield _submit(submission)
                at_work[asyncio.create_task(_execute(run, node, payload))] = submission
            if not at_work:
                continue
            done, _ = await asyncio.wait(at_work, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in at_work if task in done]:
                submission = at_work.pop(task)
                try:
                    output = task.result()
                except StepError as error:
                    yield _failed(submission, error)
                    return
                yield {"type": "completion", "node_id": submission.node.id, "output": output}
                _publish(outputs, submission.node, output)
                sorter.done(submission.node.id)
    finally:
        await _cancel(at_work)
    yield _final_event(run.definition, outputs)


async def _execute(run: Run, node: Node, payload: Any) -> Any:
    if not isinstance(payload, dict):
        raise StepError.unprocessable(invalid((), "value is not a valid dict", "type_error.dict"))
    random = step_random(run.faults, run.run_number, node.id)
    drawn = draw_step(run.faults.of_app(node.app), random)
    latency_started = time.perf_counter()
    if drawn.latency_s > 0:
        await asyncio.sleep(drawn.latency_s)
    latency_s = time.perf_counter() - latency_started
    if drawn.error is not None:
        raise drawn.error
    call = Call(node.app, payload, run.media, random, run.definition.paths_into(node))
    output, work_s = await asyncio.to_thread(_work, call)
    if isinstance(output.get("timings"), dict):
        output["timings"]["inference"] = round(latency_s + work_s, 6)
    return output


def _work(call: Call) -> tuple[dict[str, Any], float]:
    """Do a step's work in the current thread and measure it, without time spent in a queue."""
    started = time.perf_counter()
    try:
        output = find_app(call.app)(call)
    except Invalid as error:
        raise StepError.unprocessable(error) from None
    except StepError:
        raise
    except Exception:
        logger.exception("app %s failed", call.app)
        raise StepError(500, {"detail": "Internal Server Error"}) from None
    return output, time.perf_counter() - started


def _payload(node: Node, outputs: Mapping[str, Any]) -> Any:
    return outputs[node.id] if node.type == "input" else references.resolve(node.payload, outputs)


def _publish(outputs: dict[str, Any], node: Node, output: Any) -> None:
    outputs[node.id] = output
    outputs[node.own_id] = output


async def _cancel(tasks: Mapping[asyncio.Task[Any], Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _final_event(definition: Definition, outputs: Mapping[str, Any]) -> Event:
    try:
        return {"type": "output", "output": _final_output(definition, outputs)}
    except UnresolvedReference as error:
        return _unresolved(error.reference.node, error)


def _final_output(definition: Definition, outputs: Mapping[str, Any]) -> Any:
    """``output`` of the definition, else the fields of display nodes, else the sinks' outputs."""
    if definition.output:
        return references.resolve(definition.output, outputs)
    displays = [node for node in definition.nodes.values() if node.type == "display"]
    if displays:
        merged: dict[str, Any] = {}
        for node in displays:
            fields = outputs[node.id]
            merged |= fields if isinstance(fields, dict) else {node.id: fields}
        return merged
    sinks = definition.sinks()
    if len(sinks) == 1:
        return outputs[sinks[0].id]
    return {node.id: outputs[node.id] for node in sinks}


def _submit(submission: _Submission) -> Event:
    return {
        "type": "submit",
        "node_id": submission.node.id,
        "app_id": submission.node.app,
        "request_id": submission.request_id,
    }


def _failed(submission: _Submission, error: StepError) -> Event:
    return {
        "type": "error",
        "node_id": submission.node.id,
        "message": f"Error while fetching the result of the request {submission.request_id}",
        "error": {"status": error.status, "body": error.body},
    }


def _unresolved(node_id: str, error: UnresolvedReference) -> Event:
    problem = Problem((str(error.reference),), error.reason, "value_error.reference")
    return {
        "type": "error",
        "node_id": node_id,
        "message": str(error),
        "error": {"status": 422, "body": {"detail": [problem.as_json()]}},
    }
