"""Server-sent events without a socket: bytes in, frames out, and not one byte lost.

The decoder follows the WHATWG rules ("Server-sent events", sections 9.2.5 and 9.2.6 of the HTML
standard) to the letter, at any chunking. What it adds to them is the raw side: every frame carries
the exact bytes it came from, and the raw bytes of all frames followed by what `Decoder.close`
returns are the exact body that was fed.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

MAX_FRAME_BYTES: Final = 32 * 1024 * 1024
"""A block longer than this comes out in pieces, each a frame with `oversize` set."""

_MAX_RETRY_DIGITS: Final = 4_000
"""Python refuses to read longer integers; a pause of 10^4000 ms is no pause anyone meant."""

_BOM: Final = b"\xef\xbb\xbf"
_CR: Final = 0x0D
_LF: Final = 0x0A
_NEWLINE = re.compile("\r\n|\r|\n")


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One dispatched block.

    Attributes:
        raw: The block's exact bytes, led by whatever came before it and dispatched nothing.
        data: The `data` lines joined by LF; bytes that are not UTF-8 read as U+FFFD.
        event: The event type, `message` where the block names none.
        id: The last event id at dispatch; it stays in force until a block changes it.
        retry: The reconnection time this block set, in milliseconds.
        oversize: The frame is a piece of a block longer than the decoder's limit, or of blocks
            that dispatched nothing and together are: its bytes are kept, its fields are not read,
            and it never holds a block's closing blank line, so it dispatches nothing by itself.
    """

    raw: bytes
    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = None
    oversize: bool = False


class Decoder:
    """Cuts a byte stream into frames; sans-IO, in time linear in what is fed.

    A frame comes out of the very `feed` that brings the first byte of its closing line end, so a
    CR closes a block at once; should the LF of a CRLF follow in a later chunk, that LF leads the
    raw bytes of the next frame.

    Args:
        max_frame_bytes: Longest block to read; see `MAX_FRAME_BYTES`.
        strip_bom: Take a leading byte order mark as such. Off when decoding bytes out of the
            middle of a stream.
    """

    def __init__(self, *, max_frame_bytes: int = MAX_FRAME_BYTES, strip_bom: bool = True) -> None:
        self.last_event_id = ""
        self.reconnection_time_ms: int | None = None
        self._max_frame_bytes = max_frame_bytes
        self._bom_possible = strip_bom
        self._buffer = bytearray()  # bytes of the frame under way, from its first byte
        self._block_start = 0  # where its last block starts; what is before dispatched nothing
        self._line_start = 0  # where the line under way starts in the buffer
        self._searched = 0  # no line end before this offset
        self._skip_lf = False  # the last byte taken was a CR that ended a line
        self._oversize = False  # the block under way has already lost a piece
        # The fields of the block under way; `_clear_block` sets them back.
        self._data: list[bytes] | None = None
        self._event = b""
        self._id: bytes | None = None
        self._retry: int | None = None

    def feed(self, chunk: bytes) -> list[Frame]:
        """Takes the next bytes of the body and returns the frames they complete, in order."""
        self._buffer += chunk
        if self._bom_possible and not self._settle_bom():
            return []
        frames: list[Frame] = []
        self._read_lines(frames)
        if len(self._buffer) > self._max_frame_bytes:
            frames.append(self._cut_piece())
        return frames

    def close(self) -> bytes:
        """Ends the stream; returns the bytes that never became a frame (WHATWG discards them)."""
        rest = bytes(self._buffer)
        self._take(len(rest))
        self._clear_block()
        return rest

    def _settle_bom(self) -> bool:
        """Steps over a byte order mark; False while it may still be arriving."""
        head = bytes(self._buffer[:3])
        if len(head) < 3 and _BOM.startswith(head):
            return False
        self._bom_possible = False
        if head == _BOM:
            self._line_start = self._searched = 3
        return True

    def _read_lines(self, frames: list[Frame]) -> None:
        buffer, size = self._buffer, len(self._buffer)
        if self._skip_lf and self._searched < size:
            self._skip_lf = False
            if buffer[self._searched] == _LF:
                if self._block_start == self._searched:
                    self._block_start += 1
                self._line_start = self._searched = self._searched + 1
        # The next LF and CR are each looked for once and remembered, so that a stream without
        # one of them is not searched to its end again for every line.
        lf = buffer.find(b"\n", self._searched)
        cr = buffer.find(b"\r", self._searched)
        base = 0  # bytes taken off the front of the buffer since the two were found
        while lf >= 0 or cr >= 0:
            end = lf - base if cr < 0 or 0 <= lf < cr else cr - base
            after = end + 1
            if buffer[end] == _CR:
                if after == len(buffer):
                    self._skip_lf = True
                elif buffer[after] == _LF:
                    after += 1
            base += self._end_line(end, after, frames)
            position = self._searched
            if 0 <= lf < position + base:
                lf = _shifted(buffer.find(b"\n", position), base)
            if 0 <= cr < position + base:
                cr = _shifted(buffer.find(b"\r", position), base)
        self._searched = len(buffer)

    def _end_line(self, end: int, after: int, frames: list[Frame]) -> int:
        """Handles the line that ends at `end`; returns how many bytes left the buffer."""
        start = self._line_start
        self._line_start = self._searched = after
        if start < end:
            if not self._oversize:
                self._field(bytes(self._buffer[start:end]))
            return 0
        # A block's length counts one byte of its closing line end, so that it does not depend on
        # whether the LF of a CRLF came in the same chunk.
        taken = 0
        if self._oversize or end + 1 - self._block_start > self._max_frame_bytes:
            if end > 0:
                frames.append(self._piece(end))
                taken = end
            self._oversize = False
        elif self._data is None:
            self._settle_id()
        else:
            frames.append(self._dispatch(self._data, after))
            taken = after
        self._clear_block()
        self._line_start = self._searched = self._block_start = after - taken
        return taken

    def _dispatch(self, data: list[bytes], size: int) -> Frame:
        self._settle_id()
        return Frame(
            raw=self._take(size),
            data=b"\n".join(data).decode("utf-8", "replace"),
            event=self._event.decode("utf-8", "replace") or "message",
            id=self.last_event_id,
            retry=self._retry,
        )

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            if self._data is None:
                self._data = [value]
            else:
                self._data.append(value)
        elif name == b"event":
            self._event = value
        elif name == b"id":
            if b"\0" not in value:
                self._id = value
        elif name == b"retry" and value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
            self._retry = self.reconnection_time_ms = int(value)

    def _settle_id(self) -> None:
        if self._id is not None:
            self.last_event_id = self._id.decode("utf-8", "replace")

    def _clear_block(self) -> None:
        self._data = None
        self._event = b""
        self._id = None
        self._retry = None

    def _cut_piece(self) -> Frame:
        """Hands on an over-long block's bytes so far, so that memory stays bounded.

        Where the block under way is within the limit, only what dispatched nothing before it goes.
        """
        size, line_start, block_start = len(self._buffer), self._line_start, self._block_start
        if size - block_start <= self._max_frame_bytes:
            piece = self._piece(block_start)
            self._line_start = line_start - block_start
            self._searched = len(self._buffer)
            return piece
        self._oversize = True
        self._clear_block()
        piece = self._piece(size)
        if line_start < size:
            # A line under way stays under way: it must not look blank once its start is gone.
            self._line_start = -1
        return piece

    def _piece(self, size: int) -> Frame:
        return Frame(raw=self._take(size), data="", id=self.last_event_id, oversize=True)

    def _take(self, size: int) -> bytes:
        raw = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._line_start = self._searched = self._block_start = 0
        return raw


def _shifted(found: int, base: int) -> int:
    return found if found < 0 else found + base


def decode_data(raw: bytes, *, strip_bom: bool = False) -> str | None:
    """Returns the data of a frame's raw bytes, or None where they dispatch nothing.

    Args:
        raw: `Frame.raw` as it was recorded.
        strip_bom: Set for the first frame of a stream, which may carry a byte order mark.
    """
    frames = Decoder(max_frame_bytes=len(raw) + 1, strip_bom=strip_bom).feed(raw)
    return frames[-1].data if frames else None


def encode(
    data: str,
    *,
    event: str | None = None,
    id: str | None = None,
    retry: int | None = None,
    newline: str = "\n",
) -> bytes:
    """Encodes one block, closing blank line included.

    Data with line breaks becomes several `data` lines, so CR and CRLF in it read back as LF.

    Args:
        data: The payload.
        event: Event type.
        id: Event id.
        retry: Reconnection time in milliseconds.
        newline: Line end to write: LF, CR or CRLF.

    Raises:
        ValueError: `event` or `id` holds a line break, or `id` a NUL, and could not be read back.
    """
    lines = []
    if event is not None:
        lines.append(f"event: {_one_line('event', event)}")
    if id is not None:
        if "\0" in id:
            raise ValueError("an SSE id cannot hold a NUL")
        lines.append(f"id: {_one_line('id', id)}")
    if retry is not None:
        lines.append(f"retry: {retry:d}")
    lines += [f"data: {line}" for line in _NEWLINE.split(data)]
    return (newline.join(lines) + newline * 2).encode("utf-8", "surrogatepass")


def comment(text: str = "", newline: str = "\n") -> bytes:
    """Encodes a comment block, such as a keep-alive ping; it dispatches nothing.

    Raises:
        ValueError: The text holds a line break.
    """
    block = f": {_one_line('comment', text)}{newline}{newline}"
    return block.encode("utf-8", "surrogatepass")


def _one_line(what: str, text: str) -> str:
    if "\r" in text or "\n" in text:
        raise ValueError(f"an SSE {what} cannot hold a line break")
    return text
