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
_LF: Final = 0x0A
_CR: Final = 0x0D
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
        self._pending = bytearray()  # bytes of the frame under way, from its first
        self._block_start = 0  # where the block under way starts in `_pending`, 0 if before it
        self._line_start = 0  # where the line under way starts in `_pending`, -1 if before it
        self._skip_lf = False  # the last byte taken was a CR that ended a line
        self._oversize = False  # the block under way has already lost a piece
        # The fields of the block under way; `_clear_block` sets them back.
        self._data: list[bytes] | None = None
        self._event = b""
        self._id: bytes | None = None
        self._retry: int | None = None

    def feed(self, chunk: bytes) -> list[Frame]:
        """Takes the next bytes of the body and returns the frames they complete, in order."""
        searched = len(self._pending)
        if self._bom_possible:
            searched = 0
            self._pending += chunk
            if not self._settle_bom():
                return []
            chunk = b""
        if searched <= len(chunk):
            # Slices of bytes are cheaper than those of a bytearray; joining stays linear this way.
            joined = bytes(self._pending) + chunk if self._pending else chunk
            self._pending.clear()
            return self._read(joined, searched)
        self._pending += chunk
        return self._read(self._pending, searched)

    def close(self) -> bytes:
        """Ends the stream; returns the bytes that never became a frame (WHATWG discards them)."""
        rest = bytes(self._pending)
        self._pending.clear()
        self._block_start = self._line_start = 0
        self._oversize = self._skip_lf = self._bom_possible = False
        self._clear_block()
        return rest

    def _settle_bom(self) -> bool:
        """Steps over a byte order mark; False while it may still be arriving."""
        head = bytes(self._pending[:3])
        if len(head) < 3 and _BOM.startswith(head):
            return False
        self._bom_possible = False
        if head == _BOM:
            self._line_start = 3
        return True

    def _read(self, buffer: bytes | bytearray, searched: int) -> list[Frame]:
        """Reads all lines that end in the buffer, of which `searched` bytes hold no line end."""
        frames: list[Frame] = []
        size = len(buffer)
        frame_start, block_start, line_start = 0, self._block_start, self._line_start
        position = max(searched, line_start)
        if self._skip_lf and position < size:
            self._skip_lf = False
            line_start = position + (buffer[position] == _LF)
            block_start = line_start if block_start == position else block_start
            position = line_start
        lf = -1
        while position < size:
            # Where the next LF is, or the end: looked for once, however many CRs come before it.
            if lf < position:
                if position == block_start and (
                    after := self._take_plain(buffer, frame_start, position, frames)
                ):
                    frame_start = block_start = line_start = position = after
                    continue
                lf = buffer.find(b"\n", position)
                lf = size if lf < 0 else lf
            end = buffer.find(b"\r", position, lf)
            if end < 0 and lf == size:
                break
            end = lf if end < 0 else end
            position = end + 1
            if position == lf:  # a CRLF, or a CR at the very end whose LF may still come
                self._skip_lf = lf == size
                position = min(lf + 1, size)
            if end > line_start:
                self._field(buffer, line_start, end)
            else:
                # A block's length counts one byte of the blank line's end, so that it does not
                # depend on whether the LF of a CRLF came in the same chunk.
                self._oversize |= end + 1 - block_start > self._max_frame_bytes
                block_start = position
                frame_end = end if self._oversize else position
                frame = self._end_block(buffer, frame_start, frame_end)
                if frame is not None:
                    frames.append(frame)
                    frame_start = frame_end
            line_start = position
        self._block_start = block_start - frame_start
        self._keep(buffer, frame_start, line_start)
        if len(self._pending) > self._max_frame_bytes:
            frames.append(self._cut_piece())
        return frames

    def _take_plain(
        self, buffer: bytes | bytearray, frame_start: int, start: int, frames: list[Frame]
    ) -> int:
        """Takes the blocks from `start` on that are plain, in a third of the time of the long way.

        Plain is one line `data: …` that ends in CRLF twice or LF twice, as nearly all blocks are.
        Returns where the last of them ends, 0 where there is none.
        """
        if self._oversize or not isinstance(buffer, bytes):
            return 0
        end_of_last = 0
        while buffer[start : start + 6] == b"data: ":
            lf = buffer.find(b"\n", start)
            if lf < 0:
                break
            if buffer[lf - 1 : lf + 3] == b"\r\n\r\n":
                end, after = lf - 1, lf + 3
            elif buffer[lf : lf + 2] == b"\n\n":
                end, after = lf, lf + 2
            else:
                break
            data = buffer[start + 6 : end]
            if _CR in data or lf + 2 - start > self._max_frame_bytes:
                break
            text = data.decode("utf-8", "replace")
            raw = buffer[frame_start:after]
            frames.append(Frame(raw, text, "message", self.last_event_id, None))
            frame_start = start = end_of_last = after
        return end_of_last

    def _keep(self, buffer: bytes | bytearray, frame_start: int, line_start: int) -> None:
        """Keeps what no frame has taken, for the next chunk."""
        self._line_start = line_start - frame_start
        if buffer is self._pending:
            del self._pending[:frame_start]
        else:
            self._pending += buffer[frame_start:]

    def _field(self, buffer: bytes | bytearray, start: int, end: int) -> None:
        """Takes the line from `start` to `end`."""
        if self._oversize:
            return
        if buffer.startswith(b"data: ", start):
            self._add_data(bytes(buffer[start + 6 : end]))
            return
        name, _, value = bytes(buffer[start:end]).partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add_data(value)
        elif name == b"event":
            self._event = value
        elif name == b"id":
            if b"\0" not in value:
                self._id = value
        elif name == b"retry" and value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
            self._retry = self.reconnection_time_ms = int(value)

    def _add_data(self, value: bytes) -> None:
        if self._data is None:
            self._data = [value]
        else:
            self._data.append(value)

    def _end_block(self, buffer: bytes | bytearray, start: int, end: int) -> Frame | None:
        """What the block up to its blank line dispatches, None for nothing."""
        if self._oversize:
            self._oversize = False
            self._clear_block()
            return self._piece(bytes(buffer[start:end])) if start < end else None
        if self._id is not None:
            self.last_event_id = self._id.decode("utf-8", "replace")
        data = self._data
        if data is None:
            self._clear_block()
            return None
        frame = Frame(
            bytes(buffer[start:end]),
            (data[0] if len(data) == 1 else b"\n".join(data)).decode("utf-8", "replace"),
            self._event.decode("utf-8", "replace") if self._event else "message",
            self.last_event_id,
            self._retry,
        )
        self._clear_block()
        return frame

    def _clear_block(self) -> None:
        self._data = None
        self._event = b""
        self._id = None
        self._retry = None

    def _cut_piece(self) -> Frame:
        """Hands on bytes so far, so that memory stays bounded.

        Where the block under way is within the limit, only what dispatched nothing before it goes.
        """
        start, self._block_start = self._block_start, 0
        if len(self._pending) - start <= self._max_frame_bytes:
            with memoryview(
                self._pending
            ) as pending:  # a slice of a bytearray would be a copy more
                raw = bytes(pending[:start])
            del self._pending[:start]
            self._line_start -= start
            return self._piece(raw)
        # A line under way stays under way: it must not look blank once its start is gone.
        self._line_start = -1 if self._line_start < len(self._pending) else 0
        self._oversize = True
        self._clear_block()
        raw = bytes(self._pending)
        self._pending.clear()
        return self._piece(raw)

    def _piece(self, raw: bytes) -> Frame:
        return Frame(raw=raw, data="", id=self.last_event_id, oversize=True)


def decode_data(raw: bytes, *, strip_bom: bool = False) -> str | None:
    """Returns the data of a frame's raw bytes, or None where they dispatch nothing.

    Args:
        raw: `Frame.raw` as it was recorded.
        strip_bom: Set for the first frame of a stream, which may carry a byte order mark.
    """
    # One line of data, as fal writes nearly every block, takes a quarter of the time.
    end = raw.find(b"\r")
    if raw[end:] == b"\r\n\r\n" and raw[:6] == b"data: " and raw.find(b"\n", 0, end) < 0:
        return raw[6:end].decode("utf-8", "replace")
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
