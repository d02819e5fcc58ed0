"""Definitions, requests and stream readings for the emulator's tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from recorder.sse import Decoder

STICKER = "/workflows/fal-ai/sdxl-sticker"
EXECUTE = "/workflows/execute"

Json = dict[str, Any]


def run_node(app: str, depends: list[str] | None = None, **payload: Any) -> Json:
    return {"type": "run", "app": app, "depends": depends or [], "input": payload}


def display_node(fields: Any, depends: list[str] | None = None) -> Json:
    return {"type": "display", "depends": depends or [], "fields": fields}


def input_node(**defaults: Any) -> Json:
    return {"type": "input", "depends": [], "input": defaults}


def editor(nodes: Json, output: Any = None, schema: Json | None = None) -> Json:
    contents: Json = {"name": "w", "version": "0.1", "nodes": nodes}
    if output is not None:
        contents["output"] = output
    if schema is not None:
        contents["schema"] = {"input": schema, "output": {}}
    return {"name": "w", "title": "W", "contents": contents}


def fault_header(**faults: Any) -> dict[str, str]:
    return {"x-emulator-fault": json.dumps(faults)}


def slow(seconds: float) -> Json:
    """The ``apps`` entry that delays every step."""
    return {"*": {"latency": {"kind": "fixed", "seconds": seconds}}}


@dataclass
class Played:
    """A stream as read to its end. ``broken`` says whether the body was left unfinished."""

    response: httpx.Response
    body: bytes
    broken: bool

    @property
    def events(self) -> list[Json]:
        return [json.loads(frame.data) for frame in Decoder().feed(self.body)]

    @property
    def order(self) -> list[tuple[str, str | None]]:
        return [(event["type"], event.get("node_id")) for event in self.events]

    @property
    def output(self) -> Any:
        assert self.events[-1]["type"] == "output", self.events[-1]
        return self.events[-1]["output"]


def play(client: httpx.Client, path: str, body: Json, **faults: Any) -> Played:
    """Read a stream; a cut is a finding and not an error."""
    received = bytearray()
    headers = fault_header(**faults) if faults else {}
    with client.stream("POST", f"{path}/stream", json=body, headers=headers) as response:
        assert response.status_code == 200, response.read()
        try:
            for chunk in response.iter_raw():
                received += chunk
        except httpx.RemoteProtocolError:
            return Played(response, bytes(received), broken=True)
    return Played(response, bytes(received), broken=False)


def execute(
    client: httpx.Client, workflow: Json, given: Json | None = None, **faults: Any
) -> Played:
    return play(client, EXECUTE, {"input": given or {}, "workflow": workflow}, **faults)


def refuse(client: httpx.Client, workflow: Any, given: Any = None) -> list[Json]:
    """The problems with which a definition or its input is refused before the stream."""
    body = {"input": {} if given is None else given, "workflow": workflow}
    response = client.post(f"{EXECUTE}/stream", json=body)
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/json"
    detail: list[Json] = response.json()["detail"]
    return detail
