"""Two runs side by side: what took longer, what went in and came out differently. Pure.

Steps are matched by node and attempt. Inputs and outputs are compared as JSON values: order of keys, white
space and whether a whole number is written `1` or `1.0` make no difference.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

import msgspec

from recorder.documents import as_bytes, beginning_in
from recorder.events import Answer, Completion, Exchange, LoggedEvent, Output
from recorder.projections.runs import Run, steps_told_of
from recorder.projections.steps import Step, StepKey

MAX_CHANGES: Final = 200
"""Changes told of one value; more are counted."""

MAX_VALUE_CHARACTERS: Final = 500
"""Of a value's JSON text; a longer one is cut."""

_MAX_DEPTH: Final = 100
_HUGE: Final = 10**308
"""Integers from here on do not fit a double."""

Kind = Literal["added", "removed", "changed"]


class Change(msgspec.Struct, frozen=True):
    """One place where two JSON values differ.

    Attributes:
        path: The place, as a JSON Pointer (RFC 6901); "" for the whole value.
        kind: Whether only b has it, only a, or both have it and differ.
        old: The value in a; None where it has none. JSON any parser takes: NaN and the like are text.
        new: The value in b, likewise.
        cut: Whether `old` or `new` is but the beginning of the value's JSON text.
    """

    path: str
    kind: Kind
    old: Any = None
    new: Any = None
    cut: bool = False


class Difference(msgspec.Struct, frozen=True):
    """How one JSON value differs from another.

    Attributes:
        changes: In the order of a's keys, then of b's; lists are compared place by place.
        left_out: How many changes more there are.
    """

    changes: list[Change] = []
    left_out: int = 0


class Side(msgspec.Struct, frozen=True):
    """What of a run is compared. Payloads are JSON text as it came; None where not recorded.

    Attributes:
        run: The run's state.
        input: What went in.
        output: What came out in the end.
        outputs: What came out of its steps.
    """

    run: Run
    input: bytes | None
    output: bytes | None
    outputs: dict[StepKey, bytes]


class ComparedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step in both runs, or in one.

    Attributes:
        a, b: The step; None where that run has none.
        output: How the second output differs; None where one of them is not recorded.
    """

    node_id: str
    attempt: int
    a: Step | None
    b: Step | None
    output: Difference | None

    @property
    def duration_delta_us(self) -> int | None:
        """How much longer b took."""
        if self.a is None or self.b is None:
            return None
        return _delta(self.a.duration_us, self.b.duration_us)

    @property
    def inference_delta_us(self) -> int | None:
        """How much more inference b had."""
        if self.a is None or self.b is None:
            return None
        return _delta(self.a.inference_us, self.b.inference_us)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs side by side.

    Attributes:
        a, b: The runs.
        input, output: How b's differs from a's; None where one of them is not recorded.
        steps: In the order of a, then those only b has.
    """

    a: Run
    b: Run
    input: Difference | None
    output: Difference | None
    steps: list[ComparedStep]

    @property
    def same_outcome(self) -> bool:
        """Whether both ended, or go on, with the same status."""
        return self.a.status == self.b.status

    @property
    def duration_delta_us(self) -> int | None:
        """How much longer b took."""
        return _delta(self.a.duration_us, self.b.duration_us)


def side(run: Run, events: Iterable[LoggedEvent]) -> Side:
    """Gathers what of a run is compared, from its events in order."""
    given: bytes | None = None
    result: list[bytes] = []
    outputs: dict[StepKey, bytes] = {}
    for logged, step in steps_told_of(events):
        event = logged.event
        if (began := beginning_in(event)) is not None:
            given = as_bytes(began.input, began.input_base64) or None
        if isinstance(event, Completion):
            if step is not None and event.output is not None:
                outputs[step] = event.output
        elif (part := result_part(logged)) is not None:
            goes_on = isinstance(event, Answer) or (isinstance(event, Exchange) and event.part > 0)
            result = [*result, part] if goes_on else [part]
    return Side(run, given, b"".join(result) if result else None, outputs)


def result_part(logged: LoggedEvent) -> bytes | None:
    """What an event says the run came to, or a piece of it; None for all other events."""
    match logged.event:
        case Output(output=output):
            return output
        case Answer():
            return logged.frame
        case Exchange(what="result", status=200, body=body, body_base64=in_base64):
            return as_bytes(body, in_base64)
        case _:
            return None


def compare(a: Side, b: Side) -> Comparison:
    """Puts two runs side by side."""
    keys = [(step.node_id, step.attempt) for step in a.run.ordered_steps()]
    keys += [
        (step.node_id, step.attempt)
        for step in b.run.ordered_steps()
        if (step.node_id, step.attempt) not in a.run.steps
    ]
    return Comparison(
        a=a.run,
        b=b.run,
        input=_payload_difference(a.input, b.input),
        output=_payload_difference(a.output, b.output),
        steps=[
            ComparedStep(
                node_id=node_id,
                attempt=attempt,
                a=a.run.steps.get((node_id, attempt)),
                b=b.run.steps.get((node_id, attempt)),
                output=_payload_difference(
                    a.outputs.get((node_id, attempt)), b.outputs.get((node_id, attempt))
                ),
            )
            for node_id, attempt in keys
        ],
    )


def difference(old: Any, new: Any) -> Difference:
    """How one JSON value differs from another; nested no deeper than `_MAX_DEPTH`."""
    changes: list[Change] = []
    left_out = 0
    for path, *values in _changes("", old, new):
        if len(changes) < MAX_CHANGES:
            changes.append(_change(path, *values))
        else:
            left_out += 1
    return Difference(changes, left_out)


def _payload_difference(old: bytes | None, new: bytes | None) -> Difference | None:
    if old is None or new is None:
        return None
    return difference(_read(old), _read(new))


def _read(payload: bytes) -> Any:
    """The JSON value; the text itself where it is none, or nested too deeply."""
    try:
        value = json.loads(payload)
        return value if _is_within(value, _MAX_DEPTH) else payload.decode("utf-8", "replace")
    except (ValueError, RecursionError):
        return payload.decode("utf-8", "replace")


def _is_within(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    children = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_within(child, levels - 1) for child in children)


_ABSENT: Final = object()


def _changes(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            place = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from _changes(place, old.get(name, _ABSENT), new.get(name, _ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            place = f"{path}/{index}"
            yield from _changes(place, _item(old, index), _item(new, index))
    elif not _same(old, new):
        yield path, old, new


def _item(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else _ABSENT


def _same(old: Any, new: Any) -> bool:
    """Whether two values, not both of which are containers, are the same: true is not 1, NaN is NaN."""
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, float) and isinstance(new, float) and math.isnan(old):
        return math.isnan(new)
    return bool(old == new)


def _change(path: str, old: Any, new: Any) -> Change:
    kind: Kind = "added" if old is _ABSENT else "removed" if new is _ABSENT else "changed"
    shown_old, old_is_cut = _shown(old)
    shown_new, new_is_cut = _shown(new)
    return Change(_plain(path), kind, shown_old, shown_new, old_is_cut or new_is_cut)


def _shown(value: Any) -> tuple[Any, bool]:
    if value is _ABSENT:
        return None, False
    plain = _plain(value)
    text = json.dumps(plain, ensure_ascii=False)
    if len(text) <= MAX_VALUE_CHARACTERS:
        return plain, False
    return f"{text[: MAX_VALUE_CHARACTERS - 1]}…", True


def _plain(value: Any) -> Any:
    """The value as JSON any parser takes: what only some do is text, unpaired surrogates are U+FFFD."""
    if isinstance(value, dict):
        return {_plain(name): _plain(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_plain(child) for child in value]
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, int) and abs(value) >= _HUGE:
        return str(value)
    return value


def _delta(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else b - a
