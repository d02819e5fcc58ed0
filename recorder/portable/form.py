"""The form of a portable file: its manifest, and an event as a line.

Pure; what stands in the zip around it is `recorder.portable.writing` and `reading`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final

import msgspec

from recorder.events import EventType, LoggedEvent

FORMAT: Final = "fal-flight-recorder/runs"
VERSION: Final = 1

MANIFEST: Final = "manifest.json"
MAX_RUNS: Final = 10_000
"""Runs in one file."""

MAX_LINE_BYTES: Final = 256 * 1024 * 1024
"""An event may carry a request body of 64 MiB, which its document and its line escape."""

_SLACK_BYTES: Final = 1_024
"""Escapes that a frame may have beyond the length of its base64 and still be written as text."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member of the zip beside the manifest; its size is that of its content, unpacked."""

    name: str
    size_bytes: _Count
    sha256: _Digest


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The log the runs are from, and where it stood."""

    epoch: str
    position: _Count
    chain: _Digest


class RunEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run of the file.

    Attributes:
        request_id: The run.
        workflow: Its endpoint id; "" where nothing tells.
        member: Where its events are.
        events: How many.
        closed: Whether the run had ended.
        definition: The digest of the workflow's definition, in the member `definitions/{digest}.json`
            where it is in the file.
    """

    request_id: str
    workflow: str
    member: str
    events: _Count
    closed: bool
    definition: _Digest | None = None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is in a file.

    Attributes:
        recorder: The version that wrote it.
        log: Where the runs are from.
        runs: In the order of the log.
        members: All but the manifest itself.
    """

    format: str
    version: int
    recorder: str
    log: Origin
    runs: list[RunEntry]
    members: list[Member]


class _Kind(msgspec.Struct):
    format: str
    version: int


class _Line(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    position: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    seq: _Count
    type: EventType
    received_at_us: _Int64
    elapsed_us: _Int64
    frame_digest: _Digest
    chain: _Digest
    node_id: str | None = None
    app_id: str | None = None
    step_request_id: str | None = None
    frame: str | None = None
    frame_base64: str | None = None
    salt: str | None = None
    previous: _Digest | None = None


class Entry(msgspec.Struct, frozen=True):
    """An event of the file.

    Attributes:
        logged: The event as it stands in its log.
        previous: The chain value before it; None where the event before it in the log is the one
            before it in the run.
    """

    logged: LoggedEvent
    previous: bytes | None


_decode_line: Final = msgspec.json.Decoder(_Line).decode
_decode_kind: Final = msgspec.json.Decoder(_Kind).decode
_decode_manifest: Final = msgspec.json.Decoder(Manifest).decode
_encode: Final = msgspec.json.Encoder().encode


def member_of_run(number: int) -> str:
    """The member that holds the file's run of this number, from 1."""
    return f"runs/{number}.ndjson"


def member_of_definition(digest: str) -> str:
    """The member that holds the definition of this digest."""
    return f"definitions/{digest}.json"


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest's bytes: JSON, readable."""
    return msgspec.json.format(_encode(manifest), indent=2) + b"\n"


def decode_manifest(text: bytes) -> Manifest:
    """Reads a manifest.

    Raises:
        ValueError: It is none, or of another format or version; the message says so.
    """
    try:
        kind = _decode_kind(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise ValueError("is no portable run file: its manifest cannot be read") from None
    if kind.format != FORMAT:
        raise ValueError("is no portable run file: its manifest is of another format")
    if kind.version != VERSION:
        raise ValueError(
            f"is of version {kind.version} of the format; this recorder reads {VERSION}"
        )
    try:
        return _decode_manifest(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ValueError(f"has a manifest that makes no sense: {error}") from None


def encode_entry(entry: Entry) -> bytes:
    """An event as a line, its end included."""
    logged = entry.logged
    text, in_base64 = _frame_out(logged.frame)
    line = _Line(
        position=logged.position,
        seq=logged.seq,
        type=logged.type,
        received_at_us=logged.received_at,
        elapsed_us=logged.elapsed_us,
        frame_digest=logged.frame_digest.hex(),
        chain=logged.chain.hex(),
        node_id=logged.node_id,
        app_id=logged.app_id,
        step_request_id=logged.step_request_id,
        frame=text,
        frame_base64=in_base64,
        salt=None if logged.salt is None else logged.salt.hex(),
        previous=None if entry.previous is None else entry.previous.hex(),
    )
    return _encode(line) + b"\n"


def decode_entry(request_id: str, line: bytes) -> Entry:
    """Reads an event of a run.

    Raises:
        ValueError: It is none; the message says so.
    """
    try:
        read = _decode_line(line)
        frame = _frame_in(read)
        salt = None if read.salt is None else bytes.fromhex(read.salt)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ValueError(str(error)) from None
    logged = LoggedEvent(
        position=read.position,
        request_id=request_id,
        seq=read.seq,
        type=read.type,
        node_id=read.node_id,
        app_id=read.app_id,
        step_request_id=read.step_request_id,
        received_at=read.received_at_us,
        elapsed_us=read.elapsed_us,
        frame=frame,
        salt=salt,
        frame_digest=bytes.fromhex(read.frame_digest),
        chain=bytes.fromhex(read.chain),
    )
    return Entry(logged, None if read.previous is None else bytes.fromhex(read.previous))


def _frame_out(frame: bytes | None) -> tuple[str | None, str | None]:
    """A frame as text, which people can read; in base64 where it is not UTF-8, or text is much longer."""
    if frame is None:
        return None, None
    longest_bytes = len(frame) * 4 // 3 + _SLACK_BYTES
    try:
        text = frame.decode()
    except UnicodeDecodeError:
        text = None
    if text is not None and len(_encode(text)) <= longest_bytes:
        return text, None
    return None, base64.b64encode(frame).decode()


def _frame_in(line: _Line) -> bytes | None:
    if line.frame is not None and line.frame_base64 is not None:
        raise ValueError("has its frame twice")
    if line.frame_base64 is None:
        return None if line.frame is None else line.frame.encode()
    try:
        return base64.b64decode(line.frame_base64, validate=True)
    except binascii.Error:
        raise ValueError("has a frame that is not base64") from None
