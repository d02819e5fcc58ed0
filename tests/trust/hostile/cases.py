"""Bodies no stream should have, and the run that is expected of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from recorder.events import CloseReason, lift
from recorder.projections.runs import RunStatus
from recorder.sse import MAX_FRAME_BYTES
from tests.builders import completion, error, frame, output, submit

MIB: Final = 1024 * 1024
LONG_ID: Final = "n" * 10_240
LOOK_ALIKES: Final = ("node", "n\u043ede", "n\u200bode", "node ", "Node", "no\u0301de", "n\u00f3de")
ODD_IDS: Final = (
    LONG_ID,
    "",
    "a\0b",
    "\U0001f4a9",
    "../../etc",
    "a\r\nb",
    "\u202e",
    "'); DROP TABLE steps; --",
)
BOTTOMLESS: Final = 200_000

Steps = tuple[tuple[str, int, str], ...]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A body, and what becomes of it.

    Attributes:
        body: The bytes, or what makes them where they are many.
        status: The run's.
        steps: Node, attempt and status, in the order they came up.
        anomalies: All that are counted.
        reason: How the stream ended.
    """

    body: bytes | Callable[[], bytes]
    status: RunStatus = "completed"
    steps: Steps = ()
    anomalies: Mapping[str, int] = {}
    reason: CloseReason = "eof"

    def make(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else self.body()


def data(text: str | bytes) -> bytes:
    """A block with this data, whatever it is."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return b"data: " + raw + b"\r\n\r\n"


def done(*nodes: str | None) -> Steps:
    """Steps that completed, one a node."""
    return tuple((lift(node) or "", 1, "completed") for node in nodes)


def within(odd: str | bytes, **anomalies: int) -> Case:
    """One odd block in the middle of a run of one step that goes well."""
    body = submit("a") + data(odd) + completion("a") + output()
    return Case(body=body, steps=done("a"), anomalies=anomalies)


def output_of(text: str, **anomalies: int) -> Case:
    """A step that completes with an output of this JSON text."""
    payload = f'{{"type": "completion", "node_id": "a", "output": {text}}}'
    body = submit("a") + data(payload) + output()
    return Case(body=body, steps=done("a"), anomalies=anomalies)


def named(*texts: str, reads_as: tuple[str, ...], **anomalies: int) -> Case:
    """Steps whose node ids are these JSON texts."""
    body = b"".join(
        data(f'{{"type": "{kind}", "node_id": {text}}}')
        for text in texts
        for kind in ("submit", "completion")
    )
    return Case(body=body + output(), steps=done(*reads_as), anomalies=anomalies)


def _oversize_frame() -> bytes:
    return submit("a") + data(b"x" * (33 * MIB)) + completion("a") + output()


def _endless_comments() -> bytes:
    pings = b": ping" + b" " * 1_000 + b"\r\n\r\n"
    return submit("a") + pings * (MAX_FRAME_BYTES // len(pings) + 128) + completion("a") + output()


def _ten_thousand_nodes() -> bytes:
    names = [f"node/{number}" for number in range(10_000)]
    return b"".join([*map(submit, names), *map(completion, reversed(names)), output()])


PAYLOADS: Final = {
    "truncated-json": within('{"type": "completion", "node_id": "a", "output": {', invalid_json=1),
    "two-documents": within('{"type": "submit"}{"type": "submit"}', invalid_json=1),
    "array": within('[{"type": "submit", "node_id": "b"}]', not_an_object=1),
    "scalars": within('"submit"', not_an_object=1),
    "no-data": within("", invalid_json=1),
    "done-marker": within("[DONE]", done_marker=1),
    "deep-array": within("[" * BOTTOMLESS + "]" * BOTTOMLESS, invalid_json=1),
    "deep-object": within('{"type":' * BOTTOMLESS, invalid_json=1),
    "deep-output": within(
        '{"type": "output", "output": ' + "[" * BOTTOMLESS + "]" * BOTTOMLESS + "}", invalid_json=1
    ),
    "raw-controls": within('{"type": "submit", "node_id": "a\tb\x1b[2J"}', invalid_json=1),
    "raw-nul": within('{"type": "submit", "node_id": "\0"}', invalid_json=1),
    "proto-only": within('{"__proto__": {"type": "output"}}', no_type=1),
    "type-in-a-list": within('{"type": ["output"]}', no_type=1),
    "own-types": within('{"type": "closed", "reason": "eof"}', unknown_type=1),
    "proto-beside": output_of('{"__proto__": {"timings": 1}, "constructor": {"prototype": []}}'),
    "nan-output": output_of('{"score": NaN}', lenient_json=1),
    "infinite-output": output_of("[Infinity, -Infinity]", lenient_json=1),
    "huge-exponent": output_of('{"score": 1e400}'),
    "surrogate-output": output_of('"\\ud800"', lenient_json=1),
    "long-integer-output": output_of('{"seed": ' + "9" * 5_000 + "}"),
    "inference-nan": output_of('{"timings": {"inference": NaN}}', lenient_json=1, bad_inference=1),
    "inference-1e400": output_of('{"timings": {"inference": 1e400}}', bad_inference=1),
    "inference-5000-digits": output_of(
        '{"timings": {"inference": ' + "9" * 5_000 + "}}", bad_inference=1
    ),
    "inference-negative": output_of('{"timings": {"inference": -1}}', bad_inference=1),
    "inference-text": output_of('{"timings": {"inference": "fast"}}', bad_inference=1),
    "inference-of-a-year": output_of('{"timings": {"inference": 31536000}}', bad_inference=1),
    "inference-true": output_of('{"timings": {"inference": true}}', bad_inference=1),
    "inference-null": output_of('{"timings": {"inference": null}}'),
    "timings-text": output_of('{"timings": "soon"}'),
    "type-twice": Case(
        body=submit("a") + data('{"type": "error", "node_id": "a", "type": "completion"}') + output(),
        steps=done("a"), anomalies={"duplicate_keys": 1},
    ),
    "type-twice-in-disguise": Case(
        body=submit("a") + data('{"type": "error", "node_id": "a", "\\u0074ype": "completion"}') + output(),
        steps=done("a"), anomalies={"duplicate_keys": 1},
    ),
    "type-twice-and-unknown": within('{"type": "output", "type": "progress"}', unknown_type=1),
    "output-twice": within('{"type": "completion", "node_id": "a", "output": 1, "output": {"timings": {"inference": -1}}}', duplicate_keys=1, bad_inference=1, repeated_completion=1),
    "nan-twice": output_of('NaN, "output": NaN', duplicate_keys=1),
    "keys-twice-within": output_of('{"type": "error", "type": "output", "timings": {}, "timings": {"inference": 1}}'),
    "ten-megabytes": Case(
        body=lambda: submit("a") + data(json.dumps({"type": "completion", "node_id": "a", "output": "x" * 10_000_000})) + output(),
        steps=done("a"),
    ),
}  # fmt: skip

IDS: Final = {
    "id-duplicate-keys": Case(
        body=data('{"type": "output", "type": "submit", "node_id": "a", "node_id": "b"}') + output(),
        steps=(("b", 1, "unfinished"),),
        anomalies={"duplicate_keys": 1},
    ),
    "id-nul": named('"a\\u0000b"', reads_as=("a\0b",)),
    "id-lone-surrogates": named('"\\ud800"', '"\\udfff"', reads_as=("\ud800", "\udfff"), lenient_json=4),
    "id-not-utf8": Case(
        body=data(b'{"type": "submit", "node_id": "\xff\xfe"}') + output(),
        steps=(("\ufffd\ufffd", 1, "unfinished"),),
    ),
    "id-10-kb": named(json.dumps(LONG_ID), json.dumps(LONG_ID + "n"), reads_as=(LONG_ID, LONG_ID + "n")),
    "id-emoji": named('"\U0001f4a9"', '"\\ud83d\\ude00"', reads_as=("\U0001f4a9", "\U0001f600")),
    "id-paths": named('"../../etc"', '"a/b%2Fc?d#e"', '""', reads_as=("../../etc", "a/b%2Fc?d#e", "")),
    "id-newlines": named('"a\\r\\nb"', '"a\\u2028b"', reads_as=("a\r\nb", "a\u2028b")),
    "id-escapes": named('"\\u001b[2J\\u202e"', reads_as=("\x1b[2J\u202e",)),
    "id-sql": named('"\'); DROP TABLE events; --"', '"%s {} :after"', reads_as=("'); DROP TABLE events; --", "%s {} :after")),
    "id-look-alikes": named(*map(json.dumps, LOOK_ALIKES), reads_as=LOOK_ALIKES),
    "id-not-text": named("7", "true", '["a"]', '{"x": 1}', reads_as=("7", "true", '["a"]', '{"x": 1}'), not_text=8),
    "id-5000-digits": named("9" * 5_000, reads_as=("Infinity",), not_text=2),
    "id-in-every-field": Case(
        body=b"".join(
            data(f'{{"type": "{kind}", "node_id": "{number}", "app_id": {text}, "request_id": {text}}}')
            for number, text in enumerate(map(json.dumps, ODD_IDS))
            for kind in ("submit", "completion")
        ) + output(),
        steps=done(*map(str, range(len(ODD_IDS)))),
    ),
    "id-null": Case(
        body=submit(None) + completion(None) + output(), steps=done(None), anomalies={"no_node_id": 2}
    ),
}  # fmt: skip

ORDERS: Final = {
    "nothing": Case(body=b"", status="interrupted"),
    "only-a-bom": Case(body=b"\xef\xbb\xbf", status="interrupted", anomalies={"trailing_bytes": 1}),
    "bom-first": Case(body=b"\xef\xbb\xbf" + output()),
    "cr-only": Case(body=output().replace(b"\n", b"\r")),
    "mixed-line-ends": Case(body=submit("a").replace(b"\n", b"\r\n") + completion("a") + output().replace(b"\n", b"\r"), steps=done("a")),
    "completion-first": Case(
        body=completion("a") + submit("a") + output(),
        steps=(("a", 1, "completed"), ("a", 2, "unfinished")),
        anomalies={"completion_without_submit": 1, "repeated_submit": 1},
    ),
    "completion-alone": Case(
        body=completion("a") + output(), steps=done("a"), anomalies={"completion_without_submit": 1}
    ),
    "repeats": Case(
        body=submit("a") * 2 + completion("a") * 3 + output(),
        steps=(("a", 1, "unfinished"), ("a", 2, "completed")),
        anomalies={"repeated_submit": 1, "repeated_completion": 2},
    ),
    "error-without-node": Case(
        body=submit("a") + error(), status="failed",
        steps=(("a", 1, "unfinished"),), anomalies={"error_without_node": 1},
    ),
    "error-of-nobody": Case(
        body=error("b"), status="failed",
        steps=(("b", 1, "failed"),), anomalies={"error_without_submit": 1},
    ),
    "bare-error": Case(body=frame({"type": "error"}), status="failed", anomalies={"error_without_node": 1}),
    "after-output": Case(
        body=output() + submit("a") + error("a") + data("[DONE]"),
        steps=(("a", 1, "failed"),), anomalies={"event_after_output": 3, "done_marker": 1},
    ),
    "after-error": Case(
        body=submit("a") + error("a") + completion("a") + error("a"), status="failed",
        steps=(("a", 1, "failed"),),
        anomalies={"event_after_error": 2, "repeated_completion": 1, "repeated_error": 1},
    ),
    "output-after-error": Case(
        body=submit("a") + error("a") + output(),
        steps=(("a", 1, "failed"),), anomalies={"event_after_error": 1},
    ),
    "two-outputs": Case(
        body=output() + output(), anomalies={"event_after_output": 1, "repeated_output": 1}
    ),
    "two-runs": Case(
        body=(submit("a") + completion("a") + output()) * 2,
        steps=(("a", 1, "completed"), ("a", 2, "completed")),
        anomalies={"event_after_output": 3, "repeated_output": 1, "repeated_submit": 1},
    ),
    "ten-thousand-nodes": Case(
        body=_ten_thousand_nodes, steps=done(*(f"node/{number}" for number in range(10_000)))
    ),
    "no-last-blank-line": Case(
        body=output()[:-1], status="interrupted", anomalies={"trailing_bytes": 1}
    ),
    "cut-in-a-character": Case(
        body=submit("a") + b'data: {"type": "completion", "output": "\xe2\x82', status="interrupted", reason="cut",
        steps=(("a", 1, "unfinished"),), anomalies={"trailing_bytes": 1},
    ),
}  # fmt: skip

SIZES: Final = {
    "frame-of-33-mib": Case(body=_oversize_frame, steps=done("a"), anomalies={"oversize": 2}),
    "endless-comments": Case(body=_endless_comments, steps=done("a"), anomalies={"oversize": 1}),
}

CASES: Final[dict[str, Case]] = {**PAYLOADS, **IDS, **ORDERS, **SIZES}
